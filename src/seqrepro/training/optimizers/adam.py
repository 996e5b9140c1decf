"""Adam (Kingma & Ba 2015), in torch's fused implementation."""

from typing import Any

import torch
from torch import nn

from seqrepro.training.randomness import Randomness


def build(parameters: dict[str, Any], model: nn.Module, randomness: Randomness) -> torch.optim.Optimizer:
    """The optimizer named `adam`; weight decay is coupled (added to the gradient)."""
    return torch.optim.Adam(
        model.parameters(),
        lr=parameters["learning_rate"],
        betas=(parameters["beta1"], parameters["beta2"]),
        eps=parameters["epsilon"],
        weight_decay=parameters.get("weight_decay", 0.0),
        fused=True,
    )

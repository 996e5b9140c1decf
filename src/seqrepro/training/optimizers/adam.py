"""Adam (Kingma & Ba 2015), in torch's fused implementation."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def build(parameters: dict[str, Any], weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer named `adam`; weight decay is coupled (added to the gradient)."""
    return torch.optim.Adam(
        weights,
        lr=parameters["learning_rate"],
        betas=(parameters["beta1"], parameters["beta2"]),
        eps=parameters["epsilon"],
        weight_decay=parameters.get("weight_decay", 0.0),
        fused=True,
    )

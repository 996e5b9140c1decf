"""ASAM: adaptive sharpness-aware minimization (Kwon et al. 2021), in the form of its official code.

    e = rho T^2 g / ||T g||,   T = |w| + eta for the tensors whose name contains 'weight', 1 for all others

The neighbourhood ||T^-1 e|| <= rho scales with the weights (the paper's adaptive sharpness, with p = 2). The official
code leaves biases at T = 1; norms have a tensor named weight and are scaled. Common ports have neither eta nor that
exception.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.training.randomness import Randomness
from seqrepro.training.sharpness import SharpnessAware, Variant, along, marks


def adaptive_ascent(weights: Tensor, gradient: Tensor, rho: float, eta: float, scaled: Tensor) -> Tensor:
    """rho T^2 g / ||T g||, [P].

    Args:
        weights: w [P].
        gradient: g [P].
        rho: the norm of T^-1 e.
        eta: added to |w|.
        scaled: where T = |w| + eta, bool [P].
    """
    scale = torch.where(scaled, weights.abs() + eta, 1.0)
    return scale * along(scale * gradient, rho)


def build(parameters: dict[str, Any], model: nn.Module, randomness: Randomness) -> SharpnessAware:
    """The optimizer named `asam`; parameters eta, and those of `sam`."""
    scaled = marks(model, {name for name, _ in model.named_parameters() if "weight" in name})
    perturb = partial(adaptive_ascent, rho=parameters["rho"], eta=parameters["eta"], scaled=scaled)
    return SharpnessAware(parameters, model, randomness, Variant(perturb))

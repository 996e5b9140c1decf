"""LookSAM: sharpness-aware minimization with a second pass in one step of k (Liu et al. 2022).

    steps 0, k, 2k, ...:   w <- base step with g' of SAM;   keep v, the part of g' that is orthogonal to g
    steps between:         w <- base step with g + alpha (||g|| / ||v||) v

v changes more slowly than g, so it is used again (the paper's algorithm). It and the norms are taken over all
weights together; a common port does so tensor by tensor.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.training.optimizers.sam import ascent
from seqrepro.training.randomness import Randomness
from seqrepro.training.sharpness import SharpnessAware, Variant, across, along


def sharp_part(first: Tensor, second: Tensor) -> Tensor:
    """v [P], the part of g' that is orthogonal to g."""
    return across(second, first)


def reused(gradient: Tensor, kept: Tensor, alpha: float) -> Tensor:
    """g + alpha (||g|| / ||v||) v, [P]."""
    return gradient + along(kept, alpha * torch.linalg.vector_norm(gradient))


def build(parameters: dict[str, Any], model: nn.Module, randomness: Randomness) -> SharpnessAware:
    """The optimizer named `looksam`; parameters period (k), alpha, and those of `sam`."""
    variant = Variant(
        partial(ascent, rho=parameters["rho"]),
        period=parameters["period"],
        keep=sharp_part,
        reuse=partial(reused, alpha=parameters["alpha"]),
    )
    return SharpnessAware(parameters, model, randomness, variant)

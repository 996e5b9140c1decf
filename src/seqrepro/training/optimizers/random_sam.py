"""SAM with a random direction: the control for what the gradient's direction does.

    e = rho z / ||z||,   z ~ N(0, 1) where g is not 0, and 0 elsewhere;   w <- base step from w with g' at w + e

All else is as in SAM: two passes, the same norm, the same weights perturbed. Where g is 0, SAM perturbs nothing either:
padding, and with few sampled negatives the items that are not in the batch.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.training.randomness import Randomness
from seqrepro.training.sharpness import SharpnessAware, Variant, along


def random_ascent(weights: Tensor, gradient: Tensor, rho: float, generator: torch.Generator) -> Tensor:
    """rho z / ||z||, [P]; the numbers are drawn on the CPU, whatever the device."""
    drawn = torch.randn(len(gradient), generator=generator, dtype=gradient.dtype).to(gradient.device)
    return along(drawn * (gradient != 0), rho)


def build(parameters: dict[str, Any], model: nn.Module, randomness: Randomness) -> SharpnessAware:
    """The optimizer named `random_sam`; parameters as in `sam`."""
    perturb = partial(random_ascent, rho=parameters["rho"], generator=randomness.perturbation)
    return SharpnessAware(parameters, model, randomness, Variant(perturb))

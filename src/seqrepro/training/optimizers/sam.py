"""SAM: sharpness-aware minimization (Foret et al. 2021).

    e = rho g / ||g||,   g' = grad L(w + e),   w <- base step from w with g'

It approaches min_w max_{||e|| <= rho} L(w + e) to first order: e is the maximum of the linearised loss (equation 2 of
the paper), and the gradient of the maximum is taken with e held fixed (equation 3).
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from seqrepro.training.randomness import Randomness
from seqrepro.training.sharpness import SharpnessAware, Variant, along


def ascent(weights: Tensor, gradient: Tensor, rho: float) -> Tensor:
    """rho g / ||g||, [P]; it does not depend on the weights."""
    return along(gradient, rho)


def build(parameters: dict[str, Any], model: nn.Module, randomness: Randomness) -> SharpnessAware:
    """The optimizer named `sam`; parameters base, rho, masks, decay, parts."""
    return SharpnessAware(parameters, model, randomness, Variant(partial(ascent, rho=parameters["rho"])))

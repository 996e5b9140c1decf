"""GSAM: surrogate gap guided sharpness-aware minimization (Zhuang et al. 2022).

    e = rho g / ||g||,   g' = grad L(w + e),   w <- base step from w with g' - alpha g_across

g_across is the part of g that is orthogonal to g'. A move against it would raise the gap L(w + e) - L(w) without
lowering L(w + e), to first order; so the step goes along it. The paper lets rho follow the learning
rate, rho_t = rho_min + (rho_max - rho_min) (lr_t - lr_min) / (lr_max - lr_min). The learning rate is constant here, and
so is rho: it is the paper's rho_max.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from seqrepro.training.optimizers.sam import ascent
from seqrepro.training.randomness import Randomness
from seqrepro.training.sharpness import SharpnessAware, Variant, across


def surrogate(first: Tensor, second: Tensor, alpha: float) -> Tensor:
    """g' - alpha g_across, [P]."""
    return second - alpha * across(first, second)


def build(parameters: dict[str, Any], model: nn.Module, randomness: Randomness) -> SharpnessAware:
    """The optimizer named `gsam`; parameters alpha, and those of `sam`."""
    combine = partial(surrogate, alpha=parameters["alpha"])
    variant = Variant(partial(ascent, rho=parameters["rho"]), combine)
    return SharpnessAware(parameters, model, randomness, variant)

"""Sharpness as SAM means it: how much the loss rises at most within a ball around the weights.

    max over ||eps / s|| <= rho of L(theta + eps) - L(theta)

s = 1 gives the ball of SAM (Foret et al. 2021), s = |theta| + 0.01 for weights and 1 for biases that of ASAM (Kwon et
al. 2021), which does not change when the scale of a layer moves to another. With u = eps / s and the gradient in u,
g_u = s g:

    one step    u = rho g_u(0) / ||g_u(0)||                     exact if the loss is linear; the step of SAM and ASAM
    projected   d <- d + g_u(rho d) / ||g_u(rho d)||, d <- d / ||d||,   u = rho d, from there on

The second stays on the sphere and turns towards the gradient found there. The largest rise of all steps counts; it is a
lower bound of the maximum.

Shapes: P weights.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

ETA = 0.01


@dataclass(frozen=True)
class Rise:
    """Increases of the loss."""

    one_step: float
    largest: float


def largest_rise(
    loss: Callable[[Tensor], float],
    gradient: Callable[[Tensor], Tensor],
    point: Tensor,
    scale: Tensor,
    rho: float,
    steps: int,
) -> Rise:
    """How much the loss rises within the ball.

    Args:
        loss: of weights [P].
        gradient: of the loss, [P].
        point: theta [P].
        scale: s [P].
        rho: radius.
        steps: projected steps after the one.
    """
    start, rises = loss(point), []
    direction = _unit(scale * gradient(point))
    for step in range(steps + 1):
        there = point + rho * scale * direction
        rises.append(loss(there) - start)
        if step < steps:
            direction = _unit(direction + _unit(scale * gradient(there)))
    return Rise(rises[0], max(rises))


def adaptive_scale(named: Iterable[tuple[str, Tensor]]) -> Tensor:
    """s [P] of ASAM, for the weights by name, as its authors' code has it."""
    return torch.cat(
        [
            weight.abs().flatten() + ETA if "weight" in name else torch.ones_like(weight).flatten()
            for name, weight in named
        ]
    )


def _unit(vector: Tensor) -> Tensor:
    norm = vector.norm()
    return vector / norm if norm > 0 else vector

"""Directions to look at a loss surface along: random ones, normalised by filter (Li et al. 2018, section 4).

A Gaussian vector of the weights' shapes is rescaled row by row: each row of a matrix (the weights into one unit, or
the embedding of one item or position) gets the norm of the network's own row. Vectors (biases, norms) get 0, as the
authors' code has it by default. So a step of 1 changes each row by its own length, and a network whose rows are scaled
shows the same picture if its loss is the same. Rows that stand for no item, padding and masks, stay where they are.

Shapes: V items, R rows of a matrix.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.probes.curvature.surface import Surface, part_of


def random_direction(surface: Surface, generator: torch.Generator) -> Tensor:
    """A direction [P] through the surface's point; the same numbers are drawn for all networks of the same shape."""
    named = surface.named(surface.point)
    return torch.cat([_direction(name, weight, surface.n_items, generator).flatten() for name, weight in named])


def _direction(name: str, weight: Tensor, n_items: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight.dtype)
    if weight.dim() <= 1:
        return torch.zeros_like(weight)
    scaled = F.normalize(drawn.flatten(1), dim=1) * weight.flatten(1).norm(dim=1, keepdim=True)
    if part_of(name) == "items":
        scaled[0] = 0
        scaled[n_items + 1 :] = 0
    shaped: Tensor = scaled.view_as(weight)
    return shaped

"""Linformer (Wang et al. 2020): keys and values are mapped along time to r rows, of which a softmax is taken.

    out_t = softmax over i of (<q_t, (E K)_i> / sqrt(d)) (F V)_i            E, F [r, L] learned, the same for all heads

E and F belong to positions, so it needs rows of at most L, and extra padding on the left moves every position. There is
no causal form: each of the r rows sums over the whole time. Keys and values at padding are 0 here; other code of the
field leaves them in.

Time T D r. Parameters: 2 r L.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.errors import InputError
from seqrepro.models.attention.interface import Attention, masked


class Linformer(Attention):
    """Dot-product attention over a short summary of the row."""

    causal_form = False

    def __init__(self, max_length: int, rank: int) -> None:
        super().__init__()
        self.of_keys = nn.Parameter(torch.zeros(rank, max_length))
        self.of_values = nn.Parameter(torch.zeros(rank, max_length))

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw both maps from N(0, 1 / L)."""
        for weight in (self.of_keys, self.of_values):
            weight.normal_(0.0, weight.shape[1] ** -0.5, generator=generator)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it, in both directions."""
        if causal:
            raise InputError("attention linformer: found a causal row, expected both directions; it has no causal form")
        length = query.shape[1]
        keys = torch.einsum("rt,bthd->bhrd", self.of_keys[:, :length], masked(key, real))
        values = torch.einsum("rt,bthd->bhrd", self.of_values[:, :length], masked(value, real))
        return F.scaled_dot_product_attention(query.transpose(1, 2), keys, values).transpose(1, 2)


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> Linformer:
    """Linformer for rows of at most `max_length`; `rank` is r."""
    return Linformer(max_length, parameters["rank"])

"""Cottention (Mongaras et al. 2024), of Cotten4Rec: cosines as scores, a learned power of the length as normaliser.

    out_t = sum over s of <q^_t, k^_s> v_s / c_t^sigmoid(p)     q^ = q / ||q|| over the d features of a head, k^ too

c_t is the number of real positions that are summed, p a number for each head, 0.5 at first. The authors' causal code
divides each value v_s by s^sigmoid(p) before the sum, which gives later items less weight: `divide: values`.

Time T D d; the state is d^2 numbers a head.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.models.attention.interface import NORM_FLOOR, State, counts, wide
from seqrepro.models.attention.linear import LinearAttention

FIRST_POWER = 0.5


class Cottention(LinearAttention):
    """Linear attention with cosines."""

    normalised = False

    def __init__(self, heads: int, divide: str) -> None:
        super().__init__()
        self.divide = divide
        self.power = nn.Parameter(torch.full((heads,), FIRST_POWER))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it."""
        with wide(value) as (v,):
            scale = self._scale(counts(v, real, causal))
            if self.divide == "values":
                return super().forward(query, key, v / scale, real, causal).to(value.dtype)
            return (super().forward(query, key, v, real, causal) / scale).to(value.dtype)

    def step(self, query: Tensor, key: Tensor, value: Tensor, state: State) -> tuple[Tensor, State]:
        """As the interface has it."""
        with wide(value) as (v,):
            scale = self._scale((state["place"] + 1)[None].to(v.dtype))[:, 0]
            mixed, after = super().step(query, key, v / scale if self.divide == "values" else v, state)
            return (mixed if self.divide == "values" else mixed / scale).to(value.dtype), after

    def query_features(self, query: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, d]."""
        return F.normalize(query, dim=-1, eps=NORM_FLOOR)

    def key_features(self, key: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, d]."""
        return F.normalize(key, dim=-1, eps=NORM_FLOOR)

    def _scale(self, count: Tensor) -> Tensor:
        """[B or 1, T or 1] -> [B or 1, T or 1, H, 1]."""
        return count[..., None, None] ** self.power.sigmoid()[:, None]


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> Cottention:
    """Cottention; `divide` says what the power of the length divides: the mixture, or the values."""
    return Cottention(heads, parameters.get("divide", "mixture"))

"""LinRec (Liu et al. 2023, arXiv 2411.01537): elu and an L2 norm for queries and keys, no other normaliser.

    f_q(q_t) = elu(q_t) / ||elu(q_t)||                    norm over the d features of a head
    form `code`:   f_k(k_s) = elu(k_s) / ||elu(k_s)||     the same for keys, the mixture over sqrt(d)
    form `paper`:  f_k(k_s)_i = elu(k_si) / || elu(k_.i) ||      norm of a feature over time, real positions only

The paper's text was not available to us; its form is what other code says of it. Over time the norm would look ahead in
a causal model, so there it is that of the positions so far. The authors' code has no causal form either, divides by
norms that may be 0, and does not read its mask: `masked: false` keeps the last, so that padding takes part.

Time T D d; the state is d^2 numbers a head, and d more for `paper`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.models.attention.interface import NORM_FLOOR
from seqrepro.models.attention.linear import LinearAttention


class LinRec(LinearAttention):
    """Linear attention with normalised elu features."""

    normalised = False

    def __init__(self, form: str, masked: bool) -> None:
        super().__init__()
        self.form, self.masked = form, masked

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it, but that padding is mixed in unless `masked`."""
        return super().forward(query, key, value, real if self.masked else None, causal)

    def query_features(self, query: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, d]."""
        unit = F.normalize(F.elu(query), dim=-1, eps=NORM_FLOOR)
        return unit * query.shape[-1] ** -0.5 if self.form == "code" else unit

    def key_features(self, key: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, d]."""
        return F.normalize(F.elu(key), dim=-1, eps=NORM_FLOOR) if self.form == "code" else F.elu(key)

    def summed(self, keys: Tensor) -> Tensor | None:
        """Squares, in the paper's form."""
        return keys.square() if self.form == "paper" else None

    def rescaled(self, queries: Tensor, sums: Tensor) -> Tensor:
        """Queries over the norms of the key features so far, which is the same as keys over them."""
        return queries / torch.sqrt(sums.clamp(min=NORM_FLOOR**2))


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> LinRec:
    """LinRec; the parameters are `form` and `masked`."""
    return LinRec(parameters["form"], parameters.get("masked", True))

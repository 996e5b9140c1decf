"""Performer (Choromanski et al. 2021): random features whose inner products estimate exp(<q, k> / sqrt(d)).

    x' = x d^(-1/4);  f(x)_i = r^(-1/2) (exp(<w_i, x'> - |x'|^2 / 2 - c) + 1e-4)      i = 1..r, with the normaliser

The w_i are the rows of blocks of d orthogonal directions, each with the norm of a Gaussian vector of its own. They are
drawn once, are the same for queries and keys and for all heads, and are saved with the weights. For a query c is the
largest <w_i, x'> of its position, which cancels but for the 1e-4; for keys it is 0. A largest value over time would
look ahead, and one over the batch would look at other users.

Time T D r; the state is r (d + 1) numbers a head.
"""

from math import log, sqrt
from typing import Any

import torch
from torch import Tensor

from seqrepro.models.attention.linear import LinearAttention

OFFSET = 1e-4


class Performer(LinearAttention):
    """Linear attention with positive random features."""

    directions: Tensor

    def __init__(self, head_width: int, features: int | None) -> None:
        super().__init__()
        n_features = features or max(1, int(head_width * log(head_width)))
        self.register_buffer("directions", torch.zeros(n_features, head_width))

    def draw(self, generator: torch.Generator) -> None:
        """Draw the directions [r, d]."""
        n_features, width = self.directions.shape
        blocks = [_orthogonal(width, generator) for _ in range(-(-n_features // width))]
        norms = torch.randn(n_features, width, generator=generator).norm(dim=1, keepdim=True)
        self.directions.copy_(torch.cat(blocks)[:n_features] * norms)

    def query_features(self, query: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, r]."""
        return self._features(query, stabilised=True)

    def key_features(self, key: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, r]."""
        return self._features(key, stabilised=False)

    def _features(self, vectors: Tensor, stabilised: bool) -> Tensor:
        scaled: Tensor = vectors * vectors.shape[-1] ** -0.25
        projected = scaled @ self.directions.to(vectors.dtype).T
        exponents = projected - scaled.square().sum(-1, keepdim=True) / 2
        if stabilised:
            exponents = exponents - projected.amax(-1, keepdim=True)
        return (exponents.exp() + OFFSET) / sqrt(len(self.directions))


def _orthogonal(width: int, generator: torch.Generator) -> Tensor:
    """Orthogonal directions [d, d], uniform: QR with the signs of R's diagonal taken out."""
    q, r = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
    directions: Tensor = (q * r.diagonal().sign()).T
    return directions.float()


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> Performer:
    """FAVOR+; `features` is the number r of random features, int(d ln d) if it is not given."""
    return Performer(width // heads, parameters.get("features"))

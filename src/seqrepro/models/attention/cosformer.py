"""cosFormer (Qin et al. 2022): scores relu(q_t) . relu(k_s) cos(pi (t - s) / 2 M), which favour the near.

    f(x_t) = [relu(x_t) sin(th_t), relu(x_t) cos(th_t)],  th_t = pi t / 2 M                    with the normaliser

M is the longest length of the model. In the authors' code it is that of the batch, so that a score depends on how long
other rows are. Only t - s counts, so padding on the left changes nothing. Where relu leaves nothing of a query, the
mixture is 0; the normaliser is at least 1e-6.

Time 2 T D d; the state is 2 d (d + 1) numbers a head.
"""

from math import pi
from typing import Any

import torch
from torch import Tensor

from seqrepro.models.attention.linear import LinearAttention


class CosFormer(LinearAttention):
    """Linear attention with a cosine of the distance."""

    def __init__(self, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length

    def query_features(self, query: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, 2 d]."""
        angles = (places.to(query.dtype) * (pi / (2 * self.max_length)))[:, None, None]
        positive = query.relu()
        return torch.cat([positive * angles.sin(), positive * angles.cos()], dim=-1)

    def key_features(self, key: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, 2 d]."""
        return self.query_features(key, places)

    def quotient(self, mixed: Tensor, normaliser: Tensor) -> Tensor:
        """[..., d] over [..., 1]."""
        return mixed / normaliser.clamp(min=1e-6)


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> CosFormer:
    """cosFormer for rows of at most `max_length`; there are no parameters."""
    return CosFormer(max_length)

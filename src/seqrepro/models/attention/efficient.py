"""Efficient Attention (Shen et al. 2021): softmax over features for queries, and over time for keys.

    w_ts = sum over i of softmax(q_t)_i  exp(k_si) / z_ti,   z_ti = sum over s of exp(k_si)

with s real, and s <= t if causal. Published for both directions. In the causal form, of which the authors say nothing,
the softmax over time is one over the past. Its stabiliser has to be a constant, for the largest key so far may come
late: keys are cut off at 30 in absolute value, and e^30 times any length is far from an overflow.

Time T D d; the state is d (d + 1) numbers a head.
"""

from typing import Any

from torch import Tensor

from seqrepro.models.attention.linear import LinearAttention

CUT = 30.0
FLOOR = 1e-30


class EfficientAttention(LinearAttention):
    """Linear attention whose key features are weights over time."""

    normalised = False

    def query_features(self, query: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, d]."""
        return query.softmax(-1)

    def key_features(self, key: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, d]."""
        return key.clamp(-CUT, CUT).exp()

    def summed(self, keys: Tensor) -> Tensor:
        """The weights themselves."""
        return keys

    def rescaled(self, queries: Tensor, sums: Tensor) -> Tensor:
        """Queries over the sums of the weights, feature by feature."""
        return queries / sums.clamp(min=FLOOR)


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> EfficientAttention:
    """Efficient attention; there are no parameters."""
    return EfficientAttention()

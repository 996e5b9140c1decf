"""Linear Transformer (Katharopoulos et al. 2020): f(x) = elu(x) + 1 for queries and keys, with the normaliser.

Time T D d; the state is d (d + 1) numbers a head.
"""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from seqrepro.models.attention.linear import LinearAttention


class LinearTransformer(LinearAttention):
    """Linear attention with positive features."""

    def query_features(self, query: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, d]."""
        return F.elu(query) + 1

    def key_features(self, key: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, d]."""
        return F.elu(key) + 1


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> LinearTransformer:
    """Linear attention with elu + 1; there are no parameters."""
    return LinearTransformer()

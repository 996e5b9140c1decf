"""Rows that stand one behind the other, without padding, mixed by any method.

Shapes: B rows, T length, H heads, d width of a head, N positions of all rows.
"""

import torch
from torch import Tensor

from seqrepro.data.sequences import length_groups, ranges
from seqrepro.models.attention.interface import Attention


def packed(attention: Attention, query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, causal: bool) -> Tensor:
    """Mix rows that stand one behind the other, computed in groups of similar length.

    Args:
        attention: the method.
        query: [N, H, d], and so are key and value.
        key: as query.
        value: as query.
        offsets: [B+1], row b is at `offsets[b]:offsets[b + 1]`.
        causal: as in `forward`.

    Returns:
        [N, H, d].
    """
    lengths = offsets.diff()
    mixed = torch.zeros_like(value)
    for rows in length_groups(lengths):
        own = lengths[rows]
        places = ranges(offsets[rows], own)
        real = torch.arange(int(own.max()), device=own.device) < own[:, None]
        padded = [_padded(one[places], real) for one in (query, key, value)]
        mixed[places] = attention(*padded, real, causal)[real].to(value.dtype)
    return mixed


def _padded(values: Tensor, real: Tensor) -> Tensor:
    rows = values.new_zeros(*real.shape, *values.shape[1:])
    rows[real] = values
    return rows

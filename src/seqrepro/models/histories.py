"""Histories as sparse rows of item weights, and what the closed-form models compute from them.

Shapes: B rows, V items, K stored pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences, offsets_of, ranges

COLUMNS = 1024


@dataclass(frozen=True)
class Pairs:
    """A sparse matrix: one (row, item, weight) for each stored pair, ordered by row, then item."""

    rows: Tensor  # [K] int64
    items: Tensor  # [K] int64
    weights: Tensor  # [K] float32
    n_rows: int


def item_weights(histories: Sequences, position_decay: float = 1.0) -> Pairs:
    """The distinct items of each history, weighted by position_decay^(number of later items of the same history).

    An item that occurs more than once has the weight of its newest occurrence. Decay 1 gives the binary matrix X.
    """
    width = histories.n_items + 1
    keys, inverse = torch.unique(histories.rows * width + histories.values, return_inverse=True)
    weights = position_decay ** histories.later_items.float()
    newest = torch.zeros(len(keys)).scatter_reduce(0, inverse, weights, "amax")
    return Pairs(keys // width, keys % width, newest, len(histories))


def cooccurrence_blocks(train: Sequences) -> Iterator[tuple[int, Tensor]]:
    """The columns of G = X^T X in blocks, with X in {0, 1}^(users x items).

    Yields:
        The first item of the block, and float32 [V+1, at most 1024]: the number of users with both items.
    """
    pairs = item_weights(train)
    shape = (train.n_items + 1, pairs.n_rows)
    indices = torch.stack([pairs.items, pairs.rows])
    transposed = torch.sparse_coo_tensor(indices, pairs.weights, shape, check_invariants=False).coalesce()
    for first in range(0, train.n_items + 1, COLUMNS):
        width = min(COLUMNS, train.n_items + 1 - first)
        block = torch.zeros(pairs.n_rows, width)
        inside = (pairs.items >= first) & (pairs.items < first + width)
        block[pairs.rows[inside], pairs.items[inside] - first] = 1.0
        yield first, torch.sparse.mm(transposed, block)


@dataclass(frozen=True)
class ItemLinks:
    """A sparse matrix [V+1, V+1] by rows: the links of item i are at `offsets[i]:offsets[i + 1]`."""

    offsets: Tensor  # [V+2] int64
    items: Tensor  # [K] int64, the column of each link
    values: Tensor  # [K] float32

    def spread(self, histories: Pairs) -> Tensor:
        """The product of the sparse histories [B, V+1] with this matrix, dense [B, V+1] float32."""
        width = len(self.offsets) - 1
        lengths = self.offsets.diff()[histories.items]
        index = ranges(self.offsets[histories.items], lengths)
        cells = torch.repeat_interleave(histories.rows, lengths) * width + self.items[index]
        weights = torch.repeat_interleave(histories.weights, lengths) * self.values[index]
        return torch.zeros(histories.n_rows * width).index_add_(0, cells, weights).view(histories.n_rows, width)

    def state(self) -> dict[str, Tensor]:
        """The three tensors by name."""
        return {"offsets": self.offsets, "items": self.items, "values": self.values}


def item_links(sources: Tensor, items: Tensor, values: Tensor, n_items: int) -> ItemLinks:
    """Links given as (source, item, value) in any order, [K] each."""
    order = torch.argsort(sources * (n_items + 1) + items)
    counts = torch.bincount(sources, minlength=n_items + 1)
    return ItemLinks(offsets_of(counts), items[order], values[order].float())

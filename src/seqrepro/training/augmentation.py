"""Two random views of each row of a batch: crop, mask and reorder (CL4SRec, Xie et al. 2022).

For a row s_1..s_n:
- `crop` keeps max(1, floor(crop n)) items in a row, from a uniform start,
- `mask` puts the mask, id V + 1, in place of floor(mask n) different items, all sets equally likely,
- `reorder` shuffles floor(reorder n) items in a row, from a uniform start.

The two views of a row come from two different operations, all six ordered pairs equally likely. So both views of a
single item are that item. The ratios are shares of what is kept, masked and shuffled; the items masked may be all.

Every number is drawn on the CPU from the generator given, and as many of them whatever was chosen.

Shapes: B rows, L the longest row, V items.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.training.masking import random_ranks

PAIRS = torch.tensor([(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)])
CROP, MASK, REORDER = range(3)


@dataclass(frozen=True)
class Augmentation:
    """The strengths of the three operations."""

    crop: float  # share of the items that is kept, in (0, 1]
    mask: float  # share of the items that is masked, in [0, 1]
    reorder: float  # share of the items that is shuffled, in [0, 1]

    def two_views(self, rows: Sequences, generator: torch.Generator) -> tuple[Sequences, Sequences]:
        """Two views of each row, on the device of the rows; their items are 1..V, and V + 1 for the mask."""
        padded_BL, lengths = rows.last(max(1, int(rows.lengths.max())))
        padded_BL, lengths = padded_BL.cpu(), lengths.cpu()
        chosen = PAIRS[torch.randint(len(PAIRS), (len(rows),), generator=generator)]  # [B, 2]
        first, second = (self._view(rows, padded_BL, lengths, chosen[:, view], generator) for view in (0, 1))
        return first, second

    def _view(
        self, rows: Sequences, padded_BL: Tensor, lengths: Tensor, operation: Tensor, generator: torch.Generator
    ) -> Sequences:
        """What the operation [B] of each row makes of it."""
        places, n, of_row = torch.arange(padded_BL.shape[1]), lengths[:, None], operation[:, None]
        kept, masked, shuffled = _share(n, self.crop).clamp(min=1), _share(n, self.mask), _share(n, self.reorder)
        length = torch.where(of_row == CROP, kept, n)
        begin = _start(n - length, generator)
        order_BL = reordered(n, torch.where(of_row == REORDER, shuffled, 0), places, generator)
        hidden_BL = (of_row == MASK) & (random_ranks(lengths, len(places), generator) < masked)
        items_BL = padded_BL.gather(1, order_BL).masked_fill(hidden_BL, rows.n_items + 1)
        shown_BL = (places >= begin) & (places < begin + length)
        view = Sequences(rows.users.cpu(), items_BL[shown_BL], offsets_of(length[:, 0]), None, rows.n_items)
        return view.to(rows.values.device)


def reordered(n: Tensor, shuffled: Tensor, places: Tensor, generator: torch.Generator) -> Tensor:
    """The place that the item of each place comes from, [B, L]: of n [B, 1] items `shuffled` [B, 1] in a row change."""
    start = _start(n - shuffled, generator)
    inside = (places >= start) & (places < start + shuffled)
    anywhere = torch.rand(len(n), len(places), generator=generator, dtype=torch.float64)
    return torch.where(inside, start - 0.5 + shuffled * anywhere, places.double()).argsort(dim=1)


def _share(n: Tensor, ratio: float) -> Tensor:
    return (n.double() * ratio).floor().long()


def _start(last: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform over 0..last, the shape of `last`."""
    return (torch.rand(last.shape, generator=generator, dtype=torch.float64) * (last + 1)).long()

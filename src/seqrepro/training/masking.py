"""The Cloze task: some items of a row are hidden behind a mask, and predicted from what is left on both sides.

The rule of BERT4Rec (Sun et al. 2019; its code replaces every chosen item by the mask, none by another item). For each
row of n >= 2 items, by itself:

- with probability `last_share`, only the last item is masked, as in evaluation;
- otherwise k = max(1, round(ratio n)) different positions, all sets of k equally likely, but never all n: k <= n - 1.

So every row has at least one masked item and at least one that is seen. Halves are rounded to the even number. The code
also has a cap on k, which is ratio times the longest row in its own settings and so never binds. It writes each row ten
times with masks that are drawn once, and once with the last item masked: a `last_share` of 1/11. Here the masks are
drawn anew whenever a row is shown.

Shapes: B rows, L length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqrepro.errors import InputError


@dataclass(frozen=True)
class Masking:
    """How items are chosen to be masked, and from which generator."""

    ratio: float  # share of a row's items that is masked, in (0, 1)
    last_share: float  # probability that only the last item of a row is masked, in [0, 1]
    generator: torch.Generator  # of masks, on the CPU

    def draw(self, lengths: Tensor, max_length: int) -> Tensor:
        """Which items are masked: [B, L] bool, False at padding, on the device of `lengths`.

        Args:
            lengths: items of each row, padded on the right, [B].
            max_length: L, at least the longest row.

        Raises:
            InputError: a row of fewer than 2 items, which would be masked wholly or not at all.
        """
        if len(lengths) and int(lengths.min()) < 2:
            raise InputError(f"masking: a row of {int(lengths.min())} items; expected at least 2")
        n = lengths.cpu()[:, None]
        rank = random_ranks(lengths.cpu(), max_length, self.generator)
        only_last = torch.rand(len(n), 1, generator=self.generator, dtype=torch.float64) < self.last_share
        masked = torch.where(only_last, torch.arange(max_length) == n - 1, rank < self.count(n))
        return masked.to(lengths.device)

    def count(self, lengths: Tensor) -> Tensor:
        """How many items of rows of these lengths are masked when it is not only the last; the shape of `lengths`."""
        return (lengths * self.ratio).round().long().clamp(min=1).minimum(lengths - 1)

    def expected(self, lengths: Tensor) -> int:
        """How many items of all rows are masked on average, rounded."""
        return round(float((self.last_share + (1 - self.last_share) * self.count(lengths)).sum()))


def random_ranks(lengths: Tensor, max_length: int, generator: torch.Generator) -> Tensor:
    """The ranks 0..n-1 of each row's n items in a random order, [B, L]; padding comes last.

    Args:
        lengths: n of each row, [B], on the CPU.
        max_length: L, at least the longest row.
        generator: a CPU generator.
    """
    order = torch.rand(len(lengths), max_length, generator=generator, dtype=torch.float64)
    order.masked_fill_(torch.arange(max_length) >= lengths[:, None], 2.0)
    return order.argsort(dim=1, stable=True).argsort(dim=1)

"""Training views: which examples a training row gives, and which items are predicted from what.

- `all_positions`: a row s_1..s_n is one example. It gives the targets s_2..s_n, each predicted from all items before
  it, cut to the last `max_length` of the row; targets before that window are not predicted.
- `prefixes`: each target is an example of its own: s_1..s_k, cut to the last `max_length`, predicts s_{k+1}. A row
  gives n - 1 examples, and a batch holds as many targets as examples (RecBole trains so). Items of the histories may
  be hidden behind the mask V + 1 (SSD4Rec trains so).
- `cloze`: a row is one example; some of its last `max_length` items are replaced by a mask, V + 1, and are the targets,
  predicted where they stand (BERT4Rec trains so). For models that see both sides of a position.

At dropout 0 the sum over all examples has the same gradient under the first two views if the model is strictly causal,
its positions are counted from the oldest item shown, every target has the same weight, and no row is longer than
max_length + 1. Longer rows can be cut first (`last` in the recipe). Batches, and so the path of the optimizer, differ.

Shapes: B examples of a batch, E all examples, L length, D width, T targets of the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences, index_range, length_groups, ranges
from seqrepro.models.interfaces import SequentialModel
from seqrepro.training.masking import Masking

Represent = Callable[[SequentialModel, Sequences], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Batch:
    """What an objective gets: training rows, some of whose items are targets, and how these are represented."""

    rows: Sequences  # [B]
    represent: Represent

    def representations(self, model: SequentialModel) -> tuple[Tensor, Tensor]:
        """The representations [T, D] from which the targets [T] are predicted, in the type of the item embeddings."""
        hidden, targets = self.represent(model, self.rows)
        return hidden.to(model.item_table().dtype), targets


@dataclass(frozen=True)
class View:
    """All examples of a training: the first `lengths[e]` items of row `rows[e]`, the last of them a target."""

    train: Sequences
    rows: Tensor  # [E]
    lengths: Tensor  # [E]
    last_only: bool  # the last item is the only target of an example

    def __len__(self) -> int:
        return len(self.rows)

    def n_targets(self, max_length: int) -> int:
        """How many targets all examples give to a model that sees `max_length` items."""
        return int((self.lengths - 1).clamp(max=1 if self.last_only else max_length).sum())

    def batch(self, examples: Tensor) -> Batch:
        """The given examples (integer indices [B])."""
        return Batch(self.shown(examples), last_position if self.last_only else all_positions)

    def shown(self, examples: Tensor) -> Sequences:
        """The items of the given examples, a row each."""
        examples = examples.to(self.rows.device)
        rows, train = self.rows[examples], self.train
        return train.window(train.users[rows], train.offsets[rows], self.lengths[examples])


@dataclass(frozen=True)
class ClozeView(View):
    """A view whose masks are drawn when a batch is made, so that they are a part of it."""

    masking: Masking
    max_length: int  # L, the longest row that is shown

    def n_targets(self, max_length: int) -> int:
        """How many items of all examples are masked on average."""
        return self.masking.expected(self.lengths.clamp(max=max_length))

    def batch(self, examples: Tensor) -> Batch:
        """The given examples (integer indices [B]), the newest L items of each."""
        rows = self.shown(examples).tail(self.max_length)
        longest = int(rows.lengths.max())
        real_BL = torch.arange(longest, device=rows.lengths.device) < rows.lengths[:, None]
        masked = self.masking.draw(rows.lengths, longest)[real_BL]  # [N]
        return Batch(rows, partial(masked_positions, masked))


@dataclass(frozen=True)
class HidingView(View):
    """A view of prefixes that hides items of the histories, drawn when a batch is made, behind the mask V + 1."""

    share: float  # probability of each item of a history to be hidden, in [0, 1]
    generator: torch.Generator  # of masks, on the CPU

    def batch(self, examples: Tensor) -> Batch:
        """The given examples (integer indices [B])."""
        rows = self.shown(examples)
        drawn = torch.rand(len(rows.values), generator=self.generator, dtype=torch.float64).to(rows.values.device)
        hidden = (drawn < self.share) & (rows.later_items > 0)  # the last item of a row is the target
        return Batch(replace(rows, values=rows.values.masked_fill(hidden, rows.n_items + 1)), last_position)


def make_hiding_view(train: Sequences, share: float, generator: torch.Generator, last: int | None = None) -> HidingView:
    """The view `prefixes` of the training rows with items hidden."""
    plain = make_view("prefixes", train, last)
    return HidingView(plain.train, plain.rows, plain.lengths, True, share, generator)


def make_cloze_view(train: Sequences, masking: Masking, max_length: int, last: int | None = None) -> ClozeView:
    """A view of rows that have at least two items."""
    plain = make_view("all_positions", train, last)
    return ClozeView(plain.train, plain.rows, plain.lengths, False, masking, max_length)


def all_positions_view(train: Sequences) -> View:
    """An example a row that has a target, that is, at least two items."""
    rows = (train.lengths >= 2).nonzero().flatten()
    return View(train, rows, train.lengths[rows], last_only=False)


def prefixes_view(train: Sequences) -> View:
    """An example a target."""
    counts = (train.lengths - 1).clamp(min=0)
    rows = torch.repeat_interleave(index_range(counts), counts)
    return View(train, rows, ranges(torch.full_like(counts, 2), counts), last_only=True)


VIEWS = {"all_positions": all_positions_view, "prefixes": prefixes_view}


def all_prefixes_view(train: Sequences) -> View:
    """An example a prefix, whole rows and single items included; there is no target."""
    counts = train.lengths
    rows = torch.repeat_interleave(index_range(counts), counts)
    return View(train, rows, ranges(torch.ones_like(counts), counts), last_only=False)


def make_view(name: str, train: Sequences, last: int | None = None) -> View:
    """The view of that name of the training rows, or of the `last` interactions of each."""
    return VIEWS[name](train if last is None else train.tail(last))


def all_positions(model: SequentialModel, batch: Sequences) -> tuple[Tensor, Tensor]:
    """The representations [T, D] from which the targets [T] of all positions are predicted.

    Rows are computed in groups of similar length, and nothing at padding is returned; the targets come in the order
    of the groups.
    """
    hidden, targets = [], []
    for rows in length_groups((batch.lengths - 1).clamp(max=model.max_length)):
        window = batch.select(rows).tail(model.max_length + 1)
        group_targets = window.last(model.max_length + 1)[0][:, 1:]
        real = group_targets != 0
        hidden.append(model.read(window.head(window.lengths - 1))[real])  # a row's last item is a target only
        targets.append(group_targets[real])
    return torch.cat(hidden), torch.cat(targets)


def masked_positions(masked: Tensor, model: SequentialModel, batch: Sequences) -> tuple[Tensor, Tensor]:
    """The representations [T, D] of the masks, and the items [T] behind them; `masked` [N] says which values those are.

    Rows are computed in groups of similar length; the targets come in the order of the groups.
    """
    hidden, targets, flags = [], [], replace(batch, values=masked.long())
    for rows in length_groups(batch.lengths):
        padded_BL, _ = batch.select(rows).last(model.max_length)
        masked_BL = flags.select(rows).last(model.max_length)[0].bool()
        hidden.append(model.hidden(padded_BL.masked_fill(masked_BL, batch.n_items + 1))[masked_BL])
        targets.append(padded_BL[masked_BL])
    return torch.cat(hidden), torch.cat(targets)


def last_position(model: SequentialModel, batch: Sequences) -> tuple[Tensor, Tensor]:
    """The representations [B, D] from which the last items [B] are predicted, in the order of the rows."""
    return model.last_hidden(batch.head(batch.lengths - 1)), batch.values[batch.offsets[1:] - 1]

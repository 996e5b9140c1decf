"""Negative items: how they are drawn, and the scores of a few items a target.

Two laws for classifiers of one item at a time, both uniform and with replacement, over
- `other_items`: 1..V without the target,
- `items_outside`: 1..V without the items of the target's row (the target is one of them), or of another row of its
  user, such as the one with everything.

Proposals q for sampled softmax draw from all of 1..V with replacement, and say their probabilities:
- `uniform`: q(i) = 1 / V,
- `log_uniform`: q(i) = log((i + 1) / i) / log(V + 1), Zipf's law for ids that go from popular to rare (other ids are
  drawn as unevenly, for no reason),
- `popularity`: q(i) in proportion to the number of training interactions of item i.

Numbers are drawn on the CPU from the generator given, whatever the device, and never target by target.

Shapes: T targets, K negatives a target, C targets of a chunk, D width, V items, R rows, N their values.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seqrepro.data.sequences import Sequences, index_range, offsets_of
from seqrepro.errors import InputError
from seqrepro.models.interfaces import SequentialModel
from seqrepro.training.views import Batch

CHUNK_ELEMENTS = {"cpu": 2**16, "cuda": 2**26}  # numbers of embeddings gathered at a time


@dataclass(frozen=True)
class Negatives:
    """K negatives a target, drawn outside what `exclude` names.

    - `target`: the target,
    - `history`: all items of the example that the target belongs to,
    - `history_and_held_out`: all items of the user, those held out for validation and test too. S3-Rec's code does so.
      It leaks: a user's held-out item is the one that is never shown to be wrong.
    """

    exclude: str
    k: int
    whole: Sequences  # everything of each user who may be in a batch, by user id

    def draw(self, model: SequentialModel, batch: Batch, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Item ids [T, K], in the order that the batch gives its targets.

        Args:
            model: only its `max_length` is asked for, on which the targets of a batch depend.
            batch: where the targets come from.
            targets: item ids 1..V, [T].
            generator: the CPU generator of negatives.

        Raises:
            InputError: nothing is left to draw from.
        """
        if self.exclude == "target":
            return other_items(targets.cpu(), batch.rows.n_items, self.k, generator).to(targets.device)
        on_cpu = replace(batch, rows=batch.rows.to(torch.device("cpu")))
        known = on_cpu.rows if self.exclude == "history" else self._whole_rows(on_cpu.rows.users)
        return items_outside(known, rows_of_targets(model, on_cpu), self.k, generator).to(targets.device)

    def _whole_rows(self, users: Tensor) -> Sequences:
        return self.whole.select(torch.searchsorted(self.whole.users, users))


def other_items(targets: Tensor, n_items: int, k: int, generator: torch.Generator) -> Tensor:
    """K items [T, K] for each target [T], uniform over 1..V without the target.

    Raises:
        InputError: there is no other item.
    """
    if n_items < 2:
        raise InputError(f"negatives: {n_items} item in the catalogue; expected at least 2")
    drawn = torch.randint(1, n_items, (len(targets), k), generator=generator)
    return drawn + (drawn >= targets[:, None])


def items_outside(rows: Sequences, owners: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """K items [T, K] for each owner [T] (a row number), uniform over 1..V without the items of that row.

    If e_1 < e_2 < ... are the distinct items of a row, e_j - j items below e_j are not in it. So the item not in the
    row that has r others below it is r + 1 + #{j: e_j - j <= r}.

    Raises:
        InputError: a row holds all items.
    """
    width = rows.n_items + 1
    keys = torch.unique(rows.rows * width + rows.values)  # ascending
    row, item = keys // width, keys % width
    first = offsets_of(torch.bincount(row, minlength=len(rows)))
    free = rows.n_items - first.diff()  # [R]
    if len(free) and free.min() < 1:
        user = int(rows.users[free.argmin()])
        raise InputError(f"negatives: user {user} has all {rows.n_items} items; expected one to draw")
    ladder = row * width + item - (index_range(keys) - first[row]) - 1
    others_below = (torch.rand(len(owners), k, generator=generator, dtype=torch.float64) * free[owners, None]).long()
    above = torch.searchsorted(ladder, owners[:, None] * width + others_below, right=True) - first[owners, None]
    return others_below + 1 + above


def rows_of_targets(model: SequentialModel, batch: Batch) -> Tensor:
    """The row number [T] of each target of the batch, in the order of `batch.representations(model)`.

    The view is asked itself: it gets the same rows with their own numbers for items.
    """
    numbered = replace(batch.rows, values=batch.rows.rows + 1)
    _, numbers = batch.represent(_NoModel(model.max_length), numbered)
    return numbers - 1


class _NoModel(SequentialModel):
    """What a view needs to find its targets: no computation, nothing drawn."""

    def __init__(self, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """Nothing [B, L, 1]."""
        return torch.zeros(*padded_BL.shape, 1, device=padded_BL.device)

    def item_table(self) -> Tensor:
        """Nothing [1, 1]."""
        return torch.zeros(1, 1)


class Proposal:
    """A law over the items 1..V, in proportion to weights [V+1] float64; an item of weight 0 is never drawn."""

    def __init__(self, weights: Tensor) -> None:
        if weights[0] != 0 or weights.min() < 0 or weights.sum() <= 0:
            raise InputError("proposal: expected weights of at least 0, none for padding and not all of them 0")
        self.ladder = weights.cumsum(0)
        self.probabilities = weights / weights.sum()

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Independent items of that shape, on the CPU."""
        steps = torch.rand(shape, generator=generator, dtype=self.ladder.dtype) * self.ladder[-1]
        return torch.searchsorted(self.ladder, steps, right=True)

    def log_expected(self, items: Tensor, k: int) -> Tensor:
        """log(k q(item)): of the expected number of times that each item is among k draws; the shape of `items`."""
        return (k * self.probabilities[items]).log()


def uniform_weights(n_items: int) -> Tensor:
    """Equal weights [V+1]."""
    return (torch.arange(n_items + 1) > 0).double()


def log_uniform_weights(n_items: int) -> Tensor:
    """log((i + 1) / i) for i = 1..V, and 0 for padding, [V+1]."""
    return torch.cat([torch.zeros(1, dtype=torch.float64), (1 / torch.arange(1, n_items + 1).double()).log1p()])


def popularity_weights(train: Sequences) -> Tensor:
    """How often each item occurs in the training rows, [V+1]."""
    return torch.bincount(train.values.cpu(), minlength=train.n_items + 1).double()


WEIGHTS: dict[str, Callable[[Sequences], Tensor]] = {
    "uniform": lambda train: uniform_weights(train.n_items),
    "log_uniform": lambda train: log_uniform_weights(train.n_items),
    "popularity": popularity_weights,
}


def make_proposal(name: str, train: Sequences) -> Proposal:
    """The proposal of that name over the items 1..V of the training rows."""
    return Proposal(WEIGHTS[name](train))


def scores_of(hidden: Tensor, table: Tensor, items: Tensor) -> Tensor:
    """Inner products [T, K] of each representation with its own items, without keeping their embeddings.

    There is no second derivative. The products are in the precision of E, under autocast too: they wait for memory, and
    narrower factors would not make them faster.

    Args:
        hidden: representations h [T, D].
        table: item embeddings E [V+1, D].
        items: item ids, [T, K].
    """
    return cast(Tensor, _Scores.apply(hidden.to(table.dtype), table, items))  # type: ignore[no-untyped-call]


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, items: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, table, items)
        scores = hidden.new_empty(items.shape)
        size = max(1, CHUNK_ELEMENTS[hidden.device.type] // max(1, items.shape[1] * hidden.shape[1]))
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(items), size):
                rows = slice(start, start + size)
                scores[rows] = torch.bmm(F.embedding(items[rows], table), hidden[rows, :, None])[:, :, 0]  # [C, K]
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Both gradients are sums of weighted embeddings: of a target's items, and of an item's targets."""
        hidden, table, items = ctx.saved_tensors
        ordered, places = items.flatten().sort(stable=True)
        first = torch.searchsorted(ordered, index_range(table))
        of_hidden = F.embedding_bag(items, table, per_sample_weights=gradient.contiguous(), mode="sum")
        of_table = F.embedding_bag(
            places // items.shape[1], hidden, first, per_sample_weights=gradient.flatten()[places], mode="sum"
        )
        return of_hidden, of_table, None

"""What a training sees of the training rows: all, a drawn share of them, or all with noise.

The recipe's `data` says which. It is drawn by the run's seed with a generator of its own, so that two models with one
seed learn from the same rows, and no other random number moves. What is evaluated stays that of the full data:
histories, targets, saved negatives, the users, and the items that are no candidates.

The rest of the split becomes that of a dataset in which the training part is what is seen:
- `train_and_validation` and `whole` are those rows, followed by what they had behind the training part. So a negative
  `outside all items of the user` is outside what the training sees of him, and outside his held-out items.
- With `users` all of these have the drawn users only. The draw is among all users who are known before the test.

Items that noise inserts are any but those that the row holds out: a held-out item would tell what is to be predicted.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqrepro.data.disturbances import disturb, share_of_items, share_of_rows
from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.data.splits import Split
from seqrepro.request import Request
from seqrepro.training.inputs import read_split
from seqrepro.training.negatives import items_outside
from seqrepro.training.randomness import generator_for

Parameters = dict[str, Any]


def read_seen(request: Request) -> Split:
    """The split of a run with the rows that its training sees. Parameters of the request: seed, config."""
    data = request.parameters["config"]["training"].get("data")
    return seen(read_split(request), data, request.parameters["seed"])


def seen(split: Split, data: Parameters | None, seed: int) -> Split:
    """The same split with other training rows.

    Args:
        split: of the full data.
        data: the recipe's parameter; None leaves everything as it is.
        seed: of the run.
    """
    if data is None:
        return split
    generator = generator_for(seed, "data")
    if data["kind"] == "users":
        known = split.train_and_validation
        return _of_users(split, known.users[share_of_rows(known, data["share"], generator)])
    return _with_rows(split, _changed(split, data, generator))


def _of_users(split: Split, users: Tensor) -> Split:
    """The training rows of some users."""
    train, known, whole = (
        rows.select(torch.isin(rows.users, users).nonzero().flatten())
        for rows in (split.train, split.train_and_validation, split.whole)
    )
    return replace(split, train=train, train_and_validation=known, whole=whole)


def _changed(split: Split, data: Parameters, generator: torch.Generator) -> Sequences:
    """Every training row, with fewer or other items."""
    if data["kind"] == "interactions":
        return share_of_items(split.train, data["share"], generator)
    held_out = split.whole.after(split.train.lengths)
    return disturb(split.train, data, generator, partial(_item_outside, held_out))


def _with_rows(split: Split, train: Sequences) -> Split:
    """Other items in every training row; what stood behind them still does."""
    known, whole = (
        _joined(train, rows.after(_lengths_of(split.train, rows.users)))
        for rows in (split.train_and_validation, split.whole)
    )
    return replace(split, train=train, train_and_validation=known, whole=whole)


def _lengths_of(rows: Sequences, users: Tensor) -> Tensor:
    """How many items each of some users [U] has, among them all users of the rows; both ascending."""
    lengths = torch.zeros_like(users)
    lengths[torch.searchsorted(users, rows.users)] = rows.lengths
    return lengths


def _joined(first: Sequences, second: Sequences) -> Sequences:
    """One row a user who has an item: those of the first, then those of the second. Timestamps stay if both have them.

    The users ascend.
    """
    owners = torch.cat([rows.users[rows.rows] for rows in (first, second)])
    order = torch.argsort(owners, stable=True)
    users, lengths = torch.unique(owners, return_counts=True)
    stamps = None
    if first.timestamps is not None and second.timestamps is not None:
        stamps = torch.cat([first.timestamps, second.timestamps])[order]
    values = torch.cat([first.values, second.values])[order]
    return Sequences(users, values, offsets_of(lengths), stamps, first.n_items)


def _item_outside(rows: Sequences, owners: Tensor, generator: torch.Generator) -> Tensor:
    """A random item [K] that is not in the row of each owner [K]."""
    return items_outside(rows, owners, 1, generator)[:, 0]

"""Splits: which interactions a model learns from, and which it is asked to predict."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences, concatenate

SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Split:
    """Training rows, and for each evaluation split the histories with their held-out items."""

    train: Sequences  # all users
    histories: dict[str, Sequences]  # evaluated users only
    targets: dict[str, Tensor]  # [U'] the held-out item, aligned with the histories


def leave_one_out(sequences: Sequences) -> Split:
    """Last item for the test, the one before for validation, the rest for training.

    With a row s_1..s_m: train s_1..s_{m-2}; validation history s_1..s_{m-2}, target s_{m-1}; test history
    s_1..s_{m-1}, target s_m. A user with fewer than 3 interactions keeps them all in train and is not evaluated.
    """
    evaluated = sequences.lengths >= 3
    train = sequences.head(sequences.lengths - 2 * evaluated)
    rows = evaluated.nonzero().flatten()
    whole = sequences.select(rows)
    ends = whole.offsets[1:]
    return Split(
        train=train,
        histories={"validation": train.select(rows), "test": whole.head(whole.lengths - 1)},
        targets={"validation": whole.values[ends - 2], "test": whole.values[ends - 1]},
    )


def train_and_validation(split: Split) -> Sequences:
    """The training rows of all users with the validation items of the evaluated ones (these users come last)."""
    evaluated = split.histories["test"]
    others = (~torch.isin(split.train.users, evaluated.users)).nonzero().flatten()
    return concatenate(split.train.select(others), evaluated)

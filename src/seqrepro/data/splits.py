"""Splits: which interactions a model learns from, and which it is asked to predict.

- `leave_one_out`: a user's last interaction is the test, the one before is validation. Order: that of the prepared
  sequences, i.e. timestamp, and then row of the source.
- `leave_one_out_recbole`: the same, but the order is a stable sort by the timestamp as a 32-bit float, and then row of
  the source. RecBole 1.2 turns float columns to 32 bits before it sorts; in Unix seconds of this century neighbouring
  values lie 128 s apart (64 s before 2004), so interactions nearer than that stand in the order of the file.
- `global_temporal`: one moment for all users after which nothing is learned.

A model may ask for other gaps between a user's items (`gaps.py`). What is held out is then what it would be with the
real ones, and the gaps are the same for all runs. One that asks from the time of the next event (`query_time: next`) is
told it with each item, at the end of a history that of the held-out item.

Shapes: U users, U' evaluated users of a split, N interactions, C negatives, A attributes.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from torch import Tensor

from seqrepro.data.gaps import with_gaps
from seqrepro.data.sequences import Sequences, offsets_of, read_sequences, sorted_within
from seqrepro.errors import InputError
from seqrepro.files import read_json
from seqrepro.training.randomness import generator_for

SPLITS = ("validation", "test")
NAMES = ("leave_one_out", "leave_one_out_recbole", "global_temporal")
Parameters = dict[str, Any]


@dataclass(frozen=True)
class Split:
    """Training rows, and for each evaluation split the histories with their held-out items."""

    train: Sequences  # all users who have an interaction to learn from
    train_and_validation: Sequences  # the same rows with all that is known before the test
    whole: Sequences  # the same users with everything, held-out items too: for methods that look at what they must not
    histories: dict[str, Sequences]  # evaluated users only
    targets: dict[str, Tensor]  # [U'] the held-out item, aligned with the histories
    negatives: dict[str, Tensor] = field(default_factory=dict)  # [U', C] int64 saved candidates; {}: none are used
    attributes: Tensor | None = None  # [V+1, A+1] bool: which items have which; None: not asked for, or there are none

    def evaluation(self, name: str) -> tuple[Sequences, Tensor, Tensor | None]:
        """What is ranked in one evaluation split: histories, targets [U'] and the negatives, if there are any."""
        return self.histories[name], self.targets[name], self.negatives.get(name)


def read_rows(config: Parameters, data: Path, statistics: Path) -> Sequences:
    """The whole sequences of a dataset in the order of the split that a run's configuration names.

    Args:
        config: with the key `split`.
        data: sequences.parquet, or interactions.parquet for leave_one_out_recbole.
        statistics: statistics.json, which knows the number of items.

    Raises:
        InputError: an unknown split, a file that is not what it must be, or timestamps that are needed and not there.
    """
    if config["split"] not in NAMES:
        raise InputError(f"split: found '{config['split']}', expected one of {', '.join(NAMES)}")
    n_items = read_json(statistics).get("n_items")
    if not isinstance(n_items, int) or n_items < 1:
        raise InputError(f"{statistics}: n_items is {n_items!r}; expected a positive whole number")
    if config["split"] == "leave_one_out_recbole":
        return read_float32_order(data, n_items)
    return read_sequences(data, n_items)


def make_split(config: Parameters, sequences: Sequences) -> Split:
    """The split of a run's configuration: keys `split`, `temporal`, and of the model `gaps` and `query_time`."""
    model = config.get("model", {})
    told = {"gaps": model.get("gaps", "real"), "tell_next": model.get("query_time") == "next"}
    if config["split"] == "global_temporal":
        return global_temporal(sequences, **config["temporal"], **told)
    return leave_one_out(sequences, **told)


def leave_one_out(sequences: Sequences, gaps: str = "real", tell_next: bool = False) -> Split:
    """Last item for the test, the one before for validation, the rest for training.

    With a row s_1..s_m: train s_1..s_{m-2}; validation history s_1..s_{m-2}, target s_{m-1}; test history
    s_1..s_{m-1}, target s_m. A user with fewer than 3 interactions keeps them all in train and is not evaluated.
    Interactions of one moment stand in the order of the source's rows, so that row decides which of them is the last.
    """
    evaluated = (sequences.lengths >= 3).long()
    validation, test = (evaluated * (sequences.lengths - back) for back in (2, 1))
    known = sequences.lengths - evaluated
    return _split(sequences, known - evaluated, known, {"validation": validation, "test": test}, gaps, tell_next)


def global_temporal(
    sequences: Sequences,
    validation_share: float,
    test_share: float,
    target: str,
    gaps: str = "real",
    tell_next: bool = False,
) -> Split:
    """Train before one moment, validate before a second one, test after it.

    The moments are `temporal_cutoffs`. Training sees the interactions before t_validation. The validation target of a
    user is the `first` or the `last` interaction in [t_validation, t_test), the test target that in [t_test, inf);
    its history is all that stands before it. Users without a history are not evaluated. The order within a user is
    that of the timestamps; ties keep the order of the prepared sequence.

    Raises:
        InputError: no timestamps, or nobody to train on, to validate with or to test.
    """
    if sequences.timestamps is None:
        raise InputError("split: global_temporal needs timestamps, and this dataset has none; expected leave_one_out")
    ordered = by_time(sequences, sequences.timestamps)
    cutoffs = temporal_cutoffs(sequences.timestamps, validation_share, test_share)
    validation, test = (_before(ordered, moment) for moment in cutoffs)
    windows = {"validation": (validation, test), "test": (test, ordered.lengths)}
    positions = {name: _in_window(begin, end, target) for name, (begin, end) in windows.items()}
    counts = {"train": validation, **positions}
    if empty := [name for name, count in counts.items() if not count.any()]:
        raise InputError(f"split: global_temporal leaves no user for {' and '.join(empty)}; expected other shares")
    return _split(ordered, validation, test, positions, gaps, tell_next)


def temporal_cutoffs(timestamps: Tensor, validation_share: float, test_share: float) -> tuple[int, int]:
    """The moments (t_validation, t_test) that cut off the latest shares of the interactions [N].

    With the timestamps sorted, t_test is that of the first of the latest ceil(test_share N) interactions, t_validation
    that of the first of the latest ceil((validation_share + test_share) N); shares are taken as the decimal numbers
    that are written. What happens at a cutoff belongs after it, so with ties a window holds more than its share, and
    no interaction at or after a cutoff is seen before it.
    """
    test, validation = Fraction(str(test_share)), Fraction(str(validation_share))
    latest = timestamps.sort(descending=True).values
    t_validation, t_test = (int(latest[math.ceil(share * len(latest)) - 1]) for share in (validation + test, test))
    return t_validation, t_test


def by_time(sequences: Sequences, keys: Tensor) -> Sequences:
    """The same rows, each sorted by its keys [N]; equal keys keep their order."""
    order = sorted_within(sequences.rows, keys)
    stamps = None if sequences.timestamps is None else sequences.timestamps[order]
    return Sequences(sequences.users, sequences.values[order], sequences.offsets, stamps, sequences.n_items)


def read_float32_order(path: Path, n_items: int) -> Sequences:
    """The sequences of interactions.parquet by 32-bit float timestamp, then row; the timestamps stay exact.

    Raises:
        InputError: no such file, other columns, or no timestamps.
    """
    rows = read_source_order(path, n_items)
    if rows.timestamps is None:
        raise InputError(f"{path}: no timestamps; the split leave_one_out_recbole needs them, expected leave_one_out")
    return by_time(rows, rows.timestamps.float())


def read_source_order(path: Path, n_items: int) -> Sequences:
    """The sequences of interactions.parquet (user, item, timestamp) in the order of its rows.

    Raises:
        InputError: no such file, or other columns.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    table = pq.read_table(path)
    if missing := {"user", "item", "timestamp"} - set(table.column_names):
        raise InputError(f"{path}: no column {sorted(missing)}; expected user, item and timestamp")
    users, items = (torch.tensor(table[name].to_numpy(), dtype=torch.int64) for name in ("user", "item"))
    timed = table["timestamp"].null_count == 0
    order = torch.argsort(users, stable=True)
    ids, lengths = torch.unique(users, return_counts=True)
    stamps = torch.tensor(table["timestamp"].to_numpy(), dtype=torch.int64)[order] if timed else None
    return Sequences(ids, items[order], offsets_of(lengths), stamps, n_items)


def _before(sequences: Sequences, moment: int) -> Tensor:
    """How many interactions of each row happened before a moment, [U]."""
    assert sequences.timestamps is not None
    return torch.bincount(sequences.rows[sequences.timestamps < moment], minlength=len(sequences))


def _in_window(begin: Tensor, end: Tensor, target: str) -> Tensor:
    """The position [U] of the first or last interaction in `begin` .. `end` - 1; 0 where there is none."""
    return torch.where(end > begin, begin if target == "first" else end - 1, 0)


def _split(
    real: Sequences, train: Tensor, known: Tensor, positions: dict[str, Tensor], gaps: str, tell_next: bool
) -> Split:
    """Learn from the first `train` [U] (`known`: before the test) items of each row; predict those at `positions` [U].

    A target at position 0 has no history: it stands for a user who is not evaluated.
    """
    sequences = real if gaps == "real" else with_gaps(real, gaps, generator_for(0, "gaps"))
    sequences = sequences.with_next_times() if tell_next else sequences
    rows = {name: position.nonzero().flatten() for name, position in positions.items()}
    whole = {name: sequences.select(rows[name]) for name in rows}
    lengths = {name: positions[name][rows[name]] for name in rows}
    return Split(
        train=_without_empty(sequences.head(train)),
        train_and_validation=_without_empty(sequences.head(known)),
        whole=sequences.select(train.nonzero().flatten()),
        histories={name: whole[name].head(lengths[name]) for name in rows},
        targets={name: whole[name].values[whole[name].offsets[:-1] + lengths[name]] for name in rows},
    )


def _without_empty(sequences: Sequences) -> Sequences:
    return sequences.select(sequences.lengths.nonzero().flatten())

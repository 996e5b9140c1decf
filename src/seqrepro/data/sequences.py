"""Interaction sequences as tensors: many rows of different lengths stored one behind the other, without padding.

Shapes: U rows (users), N values (interactions), B rows of a batch, L length, V items.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from seqrepro.errors import InputError

LENGTH_GROUPS = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Sequences:
    """The items of row u are `values[offsets[u]:offsets[u + 1]]`, oldest first."""

    users: Tensor  # [U] int64 ids
    values: Tensor  # [N] int64 item ids 1..V; 0 is padding and never occurs
    offsets: Tensor  # [U+1] int64
    timestamps: Tensor | None  # [N] int64, or None
    n_items: int  # V
    next_times: Tensor | None = None  # [N] int64: when the item behind each was chosen; None: that is not told

    def __len__(self) -> int:
        return len(self.users)

    @property
    def lengths(self) -> Tensor:
        """Number of items of each row, [U]."""
        return self.offsets.diff()

    @property
    def rows(self) -> Tensor:
        """The row that each value belongs to, [N]."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.values.device), self.lengths)

    @property
    def later_items(self) -> Tensor:
        """How many items of the same row come after each value, [N]."""
        return torch.repeat_interleave(self.offsets[1:], self.lengths) - 1 - index_range(self.values)

    def to(self, device: torch.device) -> "Sequences":
        """The same sequences on another device."""
        users, values, offsets = self.users.to(device), self.values.to(device), self.offsets.to(device)
        stamps, behind = (None if one is None else one.to(device) for one in (self.timestamps, self.next_times))
        return Sequences(users, values, offsets, stamps, self.n_items, behind)

    def select(self, rows: Tensor) -> "Sequences":
        """The given rows (integer indices [B]), in the given order."""
        rows = rows.to(self.offsets.device)
        return self.window(self.users[rows], self.offsets[rows], self.lengths[rows])

    def head(self, lengths: Tensor) -> "Sequences":
        """The oldest `lengths[u]` items of each row; `lengths` [U] is at most the row's length."""
        return self.window(self.users, self.offsets[:-1], lengths)

    def after(self, lengths: Tensor) -> "Sequences":
        """What `head` leaves out: the items of each row behind its oldest `lengths[u]`."""
        return self.window(self.users, self.offsets[:-1] + lengths, self.lengths - lengths)

    def tail(self, max_length: int) -> "Sequences":
        """The newest `max_length` items of each row."""
        lengths = self.lengths.clamp(max=max_length)
        return self.window(self.users, self.offsets[1:] - lengths, lengths)

    def last(self, max_length: int) -> tuple[Tensor, Tensor]:
        """The newest `max_length` items as a matrix padded on the right with 0, and the row lengths.

        Returns:
            padded [B, L] with L the longest row shown (at least 1), lengths [B].
        """
        shown = self.tail(max_length)
        return shown._padded(shown.values), shown.lengths

    def last_times(self, max_length: int) -> Tensor:
        """The timestamps of what `last` shows, padded in the same way [B, L].

        Raises:
            InputError: there are none.
        """
        shown = self.tail(max_length)
        if shown.timestamps is None:
            raise InputError("timestamps: found none in these sequences; expected one an item, which the model reads")
        return shown._padded(shown.timestamps)

    def last_next_times(self, max_length: int) -> Tensor:
        """When the item behind each of those that `last` shows was chosen, padded in the same way [B, L].

        Raises:
            InputError: that is not told.
        """
        shown = self.tail(max_length)
        if shown.next_times is None:
            raise InputError(
                "next_times: found none in these sequences; expected the time of the event behind each item, which "
                "query_time: next reads, and which rows with changed items or gaps do not have"
            )
        return shown._padded(shown.next_times)

    def with_next_times(self) -> "Sequences":
        """The same rows, which tell of each item when the one behind it was chosen; of a row's last item, its own time.

        Cut into histories later, they tell when the held-out item behind each was chosen.

        Raises:
            InputError: there are no timestamps.
        """
        if self.timestamps is None:
            raise InputError("next_times: these sequences have no timestamps; expected one an item")
        behind = (index_range(self.values) + 1).minimum(torch.repeat_interleave(self.offsets[1:] - 1, self.lengths))
        return replace(self, next_times=self.timestamps[behind])

    def _padded(self, numbers: Tensor) -> Tensor:
        """A number an item [N] as a matrix [U, L] padded on the right with 0; L is at least 1."""
        padded = numbers.new_zeros(len(self), max(1, int(self.lengths.max()) if len(self) else 1))
        rows = self.rows
        padded[rows, index_range(numbers) - self.offsets[rows]] = numbers
        return padded

    def window(self, users: Tensor, starts: Tensor, lengths: Tensor) -> "Sequences":
        """Rows [B] of the given users: `lengths` values from `starts` on."""
        index = ranges(starts, lengths)
        stamps, behind = (None if one is None else one[index] for one in (self.timestamps, self.next_times))
        return Sequences(users, self.values[index], offsets_of(lengths), stamps, self.n_items, behind)


def read_sequences(path: Path, n_items: int) -> Sequences:
    """Read `sequences.parquet` (user int64, items list<int32>, timestamps list<int64> or null).

    Raises:
        InputError: no such file, a missing column, an item outside 1..n_items, timestamps that do not match the items.
    """
    table = _read_table(path)
    lengths = _tensor(pc.list_value_length(table["items"]))
    values = _tensor(pc.list_flatten(table["items"]))
    sequences = Sequences(_tensor(table["user"]), values, offsets_of(lengths), _timestamps(path, table), n_items)
    _check_items(path, sequences)
    return sequences


def offsets_of(lengths: Tensor) -> Tensor:
    """Row borders [U+1] of rows of the given lengths [U]."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def ranges(starts: Tensor, lengths: Tensor) -> Tensor:
    """The ranges `starts[u] .. starts[u] + lengths[u] - 1` one behind the other, [sum of lengths]."""
    offsets = offsets_of(lengths)
    shift = torch.repeat_interleave(starts - offsets[:-1], lengths)
    return index_range(shift) + shift


def sorted_within(rows: Tensor, keys: Tensor) -> Tensor:
    """The order [N] that gathers the rows [N] and sorts the keys [N] within each; equal keys keep their order."""
    order = torch.argsort(keys, stable=True)
    return order[torch.argsort(rows[order], stable=True)]


def index_range(values: Tensor) -> Tensor:
    """0, 1, ... up to the number of values, [N] on the device of the values."""
    return torch.arange(len(values), device=values.device)


def length_groups(lengths: Tensor) -> Iterator[Tensor]:
    """Indices of rows of similar length, so that a batch can be computed with little padding.

    Every row of `lengths` [B] is in exactly one group; the groups go from short to long.
    """
    group = torch.bucketize(lengths, lengths.new_tensor(LENGTH_GROUPS))
    for number in range(len(LENGTH_GROUPS) + 1):
        rows = (group == number).nonzero().flatten()
        if len(rows):
            yield rows


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    table = pq.read_table(path)
    missing = {"user", "items"} - set(table.column_names)
    if missing:
        raise InputError(f"{path}: no column {sorted(missing)}; expected user, items and optionally timestamps")
    return table


def _timestamps(path: Path, table: pa.Table) -> Tensor | None:
    if "timestamps" not in table.column_names or table["timestamps"].null_count == len(table):
        return None
    if not pc.list_value_length(table["timestamps"]).equals(pc.list_value_length(table["items"])):
        raise InputError(f"{path}: a row's timestamps and items differ in number; expected one timestamp an item")
    return _tensor(pc.list_flatten(table["timestamps"]))


def _check_items(path: Path, sequences: Sequences) -> None:
    wrong = ((sequences.values < 1) | (sequences.values > sequences.n_items)).nonzero().flatten()
    if len(wrong):
        first = int(wrong[0])
        user = int(sequences.users[sequences.rows[first]])
        item = int(sequences.values[first])
        raise InputError(f"{path}: user {user} has item {item}; expected ids 1..{sequences.n_items}")


def _tensor(column: pa.ChunkedArray) -> Tensor:
    return torch.tensor(column.to_numpy(), dtype=torch.int64)

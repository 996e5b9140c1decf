"""Disturbances of sequences: what noise is, in histories that a finished model is shown and in rows to train on.

With n items in a row and ratio r, each kind with its own draws from the generator given:
- `drop_last` (count): the newest `count` items are missing; the oldest item always stays.
- `shuffle`: the items come in random order.
- `insert_random` (ratio): ceil(r n) random items stand at random places. The product is taken in single precision, in
  which all results so far were made.
- `swap` (ratio): min(ceil(r n / 2), floor(n / 2)) disjoint pairs of neighbours trade places, all such sets of pairs
  equally likely; so a share r of the items moves, each by one place.
- `delete` (ratio): min(ceil(r n), n - 1) random items are missing.
- `duplicate` (ratio): ceil(r n) random items stand twice in a row.
- `replace_random` (ratio): ceil(r n) random items give way to random ones.
- `repeat_recent` (share): the newest ceil(s n) items, again and again, take the place of the older ones.
- `repeat_users` (share): ceil(s U) random rows (`share_of_rows`) and the longest one stay, and take the place of the
  others: in the order of lengths, equal ones shuffled, each row shows the newest items of the next one that stays.
- `constant_gaps`, `shuffle_gaps`: the items stay, the gaps between them change (`gaps.py`).

`replace_random`, `repeat_recent` and `repeat_users` leave every row its length, and every place its timestamp: through
any window there are as many tokens as before, and only their entropy is another.

`share_of_rows` and `share_of_items` draw what is left of rows. They are nested: with the same seed, a larger share has
all that a smaller one has.

A ratio is taken as the decimal number that is written: 0.1 of 30 is 3. Timestamps
stay where an item keeps its place among the others; `shuffle`, `insert_random`, `swap` and `duplicate` lose them.

Shapes: U rows, N values, K drawn items.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from seqrepro.data.gaps import with_gaps
from seqrepro.data.sequences import Sequences, index_range, offsets_of, ranges, sorted_within
from seqrepro.errors import InputError

Parameters = dict[str, Any]
Draw = Callable[[Tensor, torch.Generator], Tensor]  # row numbers [K] -> an item to insert into each of these rows [K]


def disturb(rows: Sequences, wanted: Parameters, generator: torch.Generator, draw: Draw) -> Sequences:
    """The rows as a disturbance leaves them.

    Args:
        rows: any number of items each.
        wanted: `kind`, and its strength `count` or `ratio`.
        generator: of all that is drawn.
        draw: says which items are inserted.

    Raises:
        InputError: an unknown kind, or a missing or impossible strength.
    """
    kind = wanted["kind"]
    if kind not in DISTURBANCES:
        raise InputError(f"disturbances: found kind '{kind}', expected one of {', '.join(DISTURBANCES)}")
    return DISTURBANCES[kind](rows, wanted, generator, draw)


def share_of_rows(rows: Sequences, share: float, generator: torch.Generator) -> Tensor:
    """The numbers of ceil(share U) random rows, ascending."""
    order = torch.randperm(len(rows), generator=generator)
    return order[: math.ceil(decimal(share) * len(rows))].sort().values


def share_of_items(rows: Sequences, share: float, generator: torch.Generator) -> Sequences:
    """ceil(share n) random items of each row, in their order."""
    return _kept(rows, _chosen(rows.lengths, _share(rows.lengths, decimal(share)), generator))


def decimal(number: float) -> Fraction:
    """The decimal number that is written."""
    return Fraction(str(number))


def _drop_last(rows: Sequences, wanted: Parameters, _: torch.Generator, __: Draw) -> Sequences:
    count = wanted.get("count", 0)
    if not isinstance(count, int) or count < 1:
        raise InputError(f"disturbances: drop_last has count {count!r}, expected a whole number of at least 1")
    return rows.head((rows.lengths - count).clamp(min=1).minimum(rows.lengths))


def _shuffle(rows: Sequences, _: Parameters, generator: torch.Generator, __: Draw) -> Sequences:
    keys = torch.rand(len(rows.values), generator=generator)
    return _ordered(rows, rows.rows, rows.values, keys)


def _insert_random(rows: Sequences, wanted: Parameters, generator: torch.Generator, draw: Draw) -> Sequences:
    counts = (rows.lengths * _ratio(wanted)).ceil().long()
    owners = torch.repeat_interleave(torch.arange(len(rows)), counts)
    inserted = draw(owners, generator)
    places = torch.rand(owners.shape, generator=generator) * (rows.lengths[owners] + 1) - 1
    positions = torch.arange(len(rows.values)) - rows.offsets[rows.rows]
    keys = torch.cat([positions.float(), places])
    return _ordered(rows, torch.cat([rows.rows, owners]), torch.cat([rows.values, inserted]), keys)


def _swap(rows: Sequences, wanted: Parameters, generator: torch.Generator, _: Draw) -> Sequences:
    """A set of m disjoint pairs is a choice of m of n - m places, each of which then is a pair instead of an item."""
    pairs = _share(rows.lengths, decimal(_ratio(wanted)) / 2).minimum(rows.lengths // 2)
    widths = 1 + _chosen(rows.lengths - pairs, pairs, generator).long()
    first = (widths.cumsum(0) - widths)[widths == 2]
    order = index_range(rows.values)
    order[first], order[first + 1] = first + 1, first
    return _with_values(rows, rows.values[order], rows.offsets)


def _delete(rows: Sequences, wanted: Parameters, generator: torch.Generator, _: Draw) -> Sequences:
    counts = _share(rows.lengths, decimal(_ratio(wanted))).minimum((rows.lengths - 1).clamp(min=0))
    return _kept(rows, ~_chosen(rows.lengths, counts, generator))


def _duplicate(rows: Sequences, wanted: Parameters, generator: torch.Generator, _: Draw) -> Sequences:
    counts = _share(rows.lengths, decimal(_ratio(wanted)))
    times = 1 + _chosen(rows.lengths, counts, generator).long()
    return _with_values(rows, rows.values.repeat_interleave(times), offsets_of(rows.lengths + counts))


def _replace_random(rows: Sequences, wanted: Parameters, generator: torch.Generator, draw: Draw) -> Sequences:
    places = _chosen(rows.lengths, _share(rows.lengths, decimal(_ratio(wanted))), generator)
    values = rows.values.clone()
    values[places] = draw(rows.rows[places], generator)
    return replace(rows, values=values)


def _repeat_recent(rows: Sequences, wanted: Parameters, _: torch.Generator, __: Draw) -> Sequences:
    blocks = _share(rows.lengths, decimal(wanted["share"]))
    back = rows.later_items % blocks[rows.rows]
    return replace(rows, values=rows.values[rows.offsets[1:][rows.rows] - 1 - back])


def _repeat_users(rows: Sequences, wanted: Parameters, generator: torch.Generator, _: Draw) -> Sequences:
    stays = torch.zeros(len(rows), dtype=torch.bool)
    stays[share_of_rows(rows, wanted["share"], generator)] = True
    order = sorted_within(rows.lengths, torch.rand(len(rows), generator=generator, dtype=torch.float64))
    stays[order[-1:]] = True
    staying = stays[order].nonzero().flatten()
    source = torch.empty_like(order)
    source[order] = order[staying[torch.searchsorted(staying, index_range(order))]]
    return replace(rows, values=rows.values[ranges(rows.offsets[1:][source] - rows.lengths, rows.lengths)])


def _constant_gaps(rows: Sequences, _: Parameters, generator: torch.Generator, __: Draw) -> Sequences:
    return with_gaps(rows, "constant", generator)


def _shuffle_gaps(rows: Sequences, _: Parameters, generator: torch.Generator, __: Draw) -> Sequences:
    return with_gaps(rows, "shuffled", generator)


DISTURBANCES: dict[str, Callable[[Sequences, Parameters, torch.Generator, Draw], Sequences]] = {
    "drop_last": _drop_last,
    "shuffle": _shuffle,
    "insert_random": _insert_random,
    "swap": _swap,
    "delete": _delete,
    "duplicate": _duplicate,
    "replace_random": _replace_random,
    "repeat_recent": _repeat_recent,
    "repeat_users": _repeat_users,
    "constant_gaps": _constant_gaps,
    "shuffle_gaps": _shuffle_gaps,
}


def _ratio(wanted: Parameters) -> float:
    ratio = wanted.get("ratio", 0)
    if not isinstance(ratio, int | float) or not ratio > 0:
        raise InputError(f"disturbances: {wanted['kind']} has ratio {ratio!r}, expected a number above 0")
    return ratio


def _share(lengths: Tensor, share: Fraction) -> Tensor:
    """ceil(share * lengths) [U], at most the length."""
    return (-(-lengths * share.numerator // share.denominator)).minimum(lengths)


def _chosen(lengths: Tensor, counts: Tensor, generator: torch.Generator) -> Tensor:
    """Which of the places of rows of some lengths [U] are chosen, [N] bool: `counts` [U] of each, all equally likely.

    The same generator with larger counts chooses the same places and more.
    """
    rows = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    order = sorted_within(rows, torch.rand(len(rows), generator=generator, dtype=torch.float64))
    chosen = torch.zeros(len(rows), dtype=torch.bool)
    chosen[order] = index_range(rows) - offsets_of(lengths)[rows] < counts[rows]
    return chosen


def _kept(rows: Sequences, kept: Tensor) -> Sequences:
    """The values [N] of which `kept` says so."""
    stamps = None if rows.timestamps is None else rows.timestamps[kept]
    lengths = torch.bincount(rows.rows[kept], minlength=len(rows))
    return Sequences(rows.users, rows.values[kept], offsets_of(lengths), stamps, rows.n_items)


def _ordered(rows: Sequences, owners: Tensor, values: Tensor, keys: Tensor) -> Sequences:
    order = sorted_within(owners, keys)
    return _with_values(rows, values[order], offsets_of(torch.bincount(owners, minlength=len(rows))))


def _with_values(rows: Sequences, values: Tensor, offsets: Tensor) -> Sequences:
    return Sequences(rows.users, values, offsets, None, rows.n_items)

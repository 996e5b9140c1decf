"""Controls of time: the same items with other gaps between them, to see what the gaps tell a model.

- `constant`: every gap is a day. The first timestamp of a row stays.
- `shuffled`: the gaps of a row in random order. The first and the last timestamp of a row stay.

Shapes: U rows, N values.
"""

import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences, sorted_within
from seqrepro.errors import InputError

KINDS = ("constant", "shuffled")
DAY = 86_400  # seconds


def with_gaps(rows: Sequences, kind: str, generator: torch.Generator) -> Sequences:
    """The rows with gaps of another kind.

    Args:
        rows: in the order in which a model sees their items.
        kind: `constant` or `shuffled`.
        generator: of the random order.

    Raises:
        InputError: an unknown kind, or rows without timestamps.
    """
    if kind not in KINDS:
        raise InputError(f"gaps: found '{kind}', expected one of {', '.join(KINDS)}")
    if rows.timestamps is None:
        raise InputError(f"gaps: found {kind} gaps for sequences without timestamps; expected one an item")
    is_gap = torch.ones(len(rows.values), dtype=torch.bool)
    is_gap[rows.offsets[:-1][rows.lengths > 0]] = False  # a row's first item has no gap before it
    steps = torch.zeros_like(rows.timestamps)
    steps[is_gap] = DAY if kind == "constant" else _shuffled(rows, is_gap, generator)
    elapsed = steps.cumsum(0)
    first = rows.offsets[rows.rows]
    times = rows.timestamps[first] + elapsed - elapsed[first]
    return Sequences(rows.users, rows.values, rows.offsets, times, rows.n_items)


def _shuffled(rows: Sequences, is_gap: Tensor, generator: torch.Generator) -> Tensor:
    """The gaps of the rows, in random order within each, one for each value [N] that has a gap before it."""
    assert rows.timestamps is not None
    gaps = rows.timestamps.diff(prepend=rows.timestamps[:1])[is_gap]
    owners = rows.rows[is_gap]
    return gaps[sorted_within(owners, torch.rand(len(gaps), generator=generator, dtype=torch.float64))]

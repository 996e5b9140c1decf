"""Timestamps of your own file: ISO 8601 or the time since 1970 in seconds or milliseconds, as whole numbers.

By default the values decide. Text that is not a whole number is ISO 8601; without a zone it is UTC. Whole numbers below
100,000,000,000 are seconds, from there on milliseconds: as seconds that number is the year 5138, as milliseconds
March 1973. A mixture is an error, since nobody can know what was meant.

Shapes: N rows.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqrepro.data.interactions import Int64, Mask
from seqrepro.errors import InputError

FIRST_MILLISECOND = 100_000_000_000
DAY_S = 86_400
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
ZONE = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
ISO = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{CLOCK}{ZONE}?)?$"
WITH_ZONE = rf"[T ]{CLOCK}{ZONE}$"
WHOLE = r"^-?[0-9]{1,18}$"
MEANT = {"iso": "ISO 8601", "s": "whole seconds since 1970", "ms": "whole milliseconds since 1970"}
EXPECTED = "ISO 8601, or whole seconds or milliseconds since 1970"


@dataclass(frozen=True)
class Times:
    """Times in whole ticks since 1970, UTC."""

    ticks: Int64  # [N]; 0 where unreadable
    per_second: int
    unreadable: Mask  # [N]
    expected: str  # in place of what is unreadable
    described: str  # how the values were understood

    @property
    def seconds(self) -> Int64:
        """[N] whole Unix seconds."""
        return self.ticks // self.per_second

    @property
    def fractions(self) -> Int64 | None:
        """[N] ticks beyond the whole second, or None if there are none."""
        rest = self.ticks % self.per_second
        return rest if rest.any() else None

    @property
    def negative(self) -> Mask:
        """[N] before 1970."""
        return self.ticks < 0

    @property
    def future(self) -> Mask:
        """[N] more than a day after now: clocks and zones differ by less."""
        return self.seconds > time.time() + DAY_S


def read_times(column: pa.ChunkedArray, meant: str | None, where: Callable[[int], str]) -> Times:
    """The times of a column of text, whole numbers, dates or timestamps.

    Args:
        column: [N].
        meant: iso, s or ms; None lets the values decide.
        where: file and row of an index, to begin a message with.

    Raises:
        InputError: a column of another type, or a mixture of units.
    """
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        unit = column.type.unit if pa.types.is_timestamp(column.type) else "s"
        stamps = column.cast(pa.timestamp(unit)) if pa.types.is_date(column.type) else column
        return _times(stamps.cast(pa.int64()), unit, f"timestamps of type {column.type}", EXPECTED)
    if pa.types.is_integer(column.type) and meant != "iso":
        return _epoch(column.cast(pa.int64()), meant, where)
    if not pa.types.is_large_string(column.type):
        raise InputError(f"{where(0)}: found timestamps of type {column.type}, expected {EXPECTED}")
    text = pc.utf8_trim_whitespace(column.fill_null("").combine_chunks())
    if meant is None and (whole := _whole(text)).any():
        if (iso := _matches(text, ISO)).any():
            raise InputError(_mixture(where, {"a whole number": whole, "ISO 8601": iso}))
        meant = "whole"
    if meant in (None, "iso"):
        return _iso(text, EXPECTED if meant is None else MEANT["iso"])
    return _epoch(_integers(text), None if meant == "whole" else meant, where)


def _epoch(values: pa.ChunkedArray | pa.Array, unit: str | None, where: Callable[[int], str]) -> Times:
    if unit is not None:
        return _times(values, unit, f"{MEANT[unit]}, as told", MEANT[unit])
    numbers = np.asarray(values.fill_null(0))
    late = numbers >= FIRST_MILLISECOND
    early = ~late & (numbers > 0)
    if late.any() and early.any():
        raise InputError(_mixture(where, {"whole seconds": early, "whole milliseconds": late}))
    unit = "ms" if late.any() else "s"
    return _times(values, unit, f"{MEANT[unit]}, decided by the values", EXPECTED)


def _times(values: pa.ChunkedArray | pa.Array, unit: str, described: str, expected: str) -> Times:
    ticks, unreadable = np.asarray(values.fill_null(0)), np.asarray(values.is_null())
    return Times(ticks, PER_SECOND[unit], unreadable, expected, described)


def _iso(text: pa.Array, expected: str) -> Times:
    zoned = _matches(text, WITH_ZONE)
    try:
        ticks = _iso_ticks(text, zoned)
        readable = np.ones(len(text), dtype=np.bool_)
    except pa.ArrowInvalid:  # some are not ISO 8601: look at each
        readable = np.fromiter((_is_iso(value) for value in text.to_pylist()), np.bool_, len(text))
        ticks = _iso_ticks(pc.if_else(pa.array(readable), text, "1970-01-01"), zoned & readable)
    described = "ISO 8601 (UTC where no zone is given)" if not zoned.all() else "ISO 8601"
    return Times(ticks, PER_SECOND["us"], ~readable, expected, described)


def _iso_ticks(text: pa.Array, zoned: Mask) -> Int64:
    """[N] microseconds; `zoned` [N] says which texts name their zone."""
    ticks = np.zeros(len(text), dtype=np.int64)
    for rows, kind in ((zoned, pa.timestamp("us", "UTC")), (~zoned, pa.timestamp("us"))):
        ticks[rows] = text.filter(pa.array(rows)).cast(kind).cast(pa.int64()).to_numpy()
    return ticks


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return bool(pc.match_substring_regex(pa.scalar(text), ISO).as_py())


def _whole(text: pa.Array) -> Mask:
    """[N] where a text is a whole number; the pattern is slow, and rarely needed."""
    digits = np.asarray(pc.ascii_is_decimal(text))
    short = np.asarray(pc.less_equal(pc.binary_length(text), 18))
    return digits if (digits & short).all() else _matches(text, WHOLE)


def _integers(text: pa.Array) -> pa.Array:
    """Whole numbers, null where there is none."""
    whole = _whole(text)
    return (text if whole.all() else pc.if_else(pa.array(whole), text, None)).cast(pa.int64())


def _matches(text: pa.Array, pattern: str) -> Mask:
    return np.asarray(pc.match_substring_regex(text, pattern))


def _mixture(where: Callable[[int], str], kinds: dict[str, Mask]) -> str:
    (first, ones), (second, others) = kinds.items()
    message = f"{where(int(others.argmax()))}: found a timestamp in {second}, but in {first} at "
    return message + f"{where(int(ones.argmax())).rsplit(': ', 1)[-1]}; expected one kind (or the key timestamps)"

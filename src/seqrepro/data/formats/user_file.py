"""Your own interactions: a CSV, TSV, Parquet or JSON-lines file with a row each.

Ids are kept as they are written: text with any characters, leading zeros and spaces included. They are whole numbers
only if all are written as plain ones. What cannot be an interaction is an error that names the first such row, or, with
`bad_rows: drop`, is left out and counted by reason.

Shapes: N rows of the file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqrepro.data.interactions import Float32, Interactions, Mask
from seqrepro.data.own.json_lines import read_json_lines
from seqrepro.data.own.separated import read_separated
from seqrepro.data.own.tables import Columns, Raw, read_parquet
from seqrepro.data.own.times import Times, read_times
from seqrepro.errors import InputError

PLAIN_INTEGER = r"^(0|[1-9][0-9]{0,17})$"
MADE_BY_FLOATS = r"^(-?[0-9]+\.0+|-?[0-9.]+[eE][+-]?[0-9]+|nan|NaN|NAN)$"


@dataclass(frozen=True)
class Finding:
    """Rows that something is wrong with."""

    reason: str  # as it is counted
    rows: Mask  # [N]
    column: str  # our name
    expected: str


@dataclass(frozen=True)
class Ids:
    """Source ids: `distinct[codes]`, [N]."""

    codes: pa.Array  # [N] int32
    distinct: pa.Array  # text or int64
    missing: Mask  # [N]

    def select(self, rows: Mask) -> pa.Array:
        """The ids of some rows, as whole numbers if all of them are written so."""
        codes = self.codes.filter(pa.array(rows))
        used = self.distinct.take(pc.unique(codes))
        if pa.types.is_integer(used.type) or not pc.all(pc.match_substring_regex(used, PLAIN_INTEGER)).as_py():
            return self.distinct.take(codes)
        plain = pc.if_else(pc.match_substring_regex(self.distinct, PLAIN_INTEGER), self.distinct, None)
        return plain.cast(pa.int64()).take(codes)


def read(
    paths: dict[str, Path],
    columns: Columns,
    format: str,
    separator: str = ",",
    timestamps: str | None = None,
    bad_rows: str = "error",
) -> Interactions:
    """Read the interactions.

    Args:
        paths: the file.
        columns: user, item, and where wanted timestamp and rating -> how the file calls that column.
        format: csv, tsv, parquet or jsonl.
        separator: of csv.
        timestamps: iso, s or ms; None lets the values decide.
        bad_rows: error, or drop.

    Raises:
        InputError: a file that is damaged or of another format, a missing column, or a bad row.
    """
    (path,) = paths.values()
    drop = bad_rows == "drop"
    raw = _raw(path, columns, format, separator, drop)
    where: Callable[[int], str] = lambda index: f"{path}: {raw.row_name(index)}"  # noqa: E731
    users, items = (_ids(path, name, raw.table[name]) for name in ("user", "item"))
    times = read_times(_plain(raw.table["timestamp"]), timestamps, where) if "timestamp" in columns else None
    ratings = _ratings(path, raw.table["rating"]) if "rating" in columns else None
    findings = [*_id_findings("user", users), *_id_findings("item", items), *_findings(times, ratings)]
    if not drop:
        _refuse(findings, raw.table, columns, where)
    keep, dropped = _sieve(findings, raw)
    if not keep.any():
        raise InputError(
            f"{path}: found no row" + (f" that is good ({dropped})" if dropped else "") + ", expected some"
        )
    kept_times = _kept(times, keep)
    return Interactions(
        users=users.select(keep),
        items=items.select(keep),
        timestamps=kept_times.seconds if kept_times else None,
        ratings=None if ratings is None else ratings[keep],
        fractions=kept_times.fractions if kept_times else None,
        dropped=dropped,
        notes={"format": format, **({"timestamps": times.described} if times else {})},
    )


def _raw(path: Path, columns: Columns, format: str, separator: str, drop: bool) -> Raw:
    if format == "parquet":
        return read_parquet(path, columns)
    if format == "jsonl":
        return read_json_lines(path, columns, drop)
    return read_separated(path, columns, "\t" if format == "tsv" else separator, drop)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a dictionary; text in one type."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_text = pa.types.is_string(column.type) or pa.types.is_string_view(column.type)
    return column.cast(pa.large_string()) if is_text else column


def _ids(path: Path, name: str, column: pa.ChunkedArray) -> Ids:
    column = _plain(column)
    if not (pa.types.is_integer(column.type) or pa.types.is_large_string(column.type)):
        raise InputError(f"{path}: found {name} ids of type {column.type}, expected whole numbers or text")
    is_text = pa.types.is_large_string(column.type)
    missing = np.asarray(column.is_null())
    filled = column.fill_null("" if is_text else 0)
    encoded = filled.dictionary_encode().unify_dictionaries().combine_chunks()
    encoded = encoded if isinstance(encoded, pa.DictionaryArray) else pa.chunked_array([encoded]).chunk(0)
    distinct = encoded.dictionary
    return Ids(encoded.indices, distinct if is_text else distinct.cast(pa.int64()), missing)


def _id_findings(name: str, ids: Ids) -> list[Finding]:
    if pa.types.is_integer(ids.distinct.type):
        return [Finding(f"missing {name}", ids.missing, name, "an id")]
    codes = ids.codes.to_numpy()
    empty = np.asarray(pc.equal(pc.utf8_trim_whitespace(ids.distinct), ""))
    floats = np.asarray(pc.match_substring_regex(ids.distinct, MADE_BY_FLOATS))
    return [
        Finding(f"missing {name}", empty[codes], name, "an id"),
        Finding(f"{name} id written as a float", floats[codes], name, "a whole number or text"),
    ]


def _ratings(path: Path, column: pa.ChunkedArray) -> Float32:
    """[N] ratings, NaN where there is none."""
    column = _plain(column)
    if pa.types.is_large_string(column.type):
        try:
            column = column.cast(pa.float32())
        except pa.ArrowInvalid:
            column = pa.chunked_array([pa.array([_number(text) for text in column.to_pylist()], pa.float32())])
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"{path}: found ratings of type {column.type}, expected numbers")
    return np.asarray(column.cast(pa.float32(), safe=False).fill_null(np.nan))


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return np.nan


def _findings(times: Times | None, ratings: Float32 | None) -> list[Finding]:
    found = []
    if times is not None:
        found += [
            Finding("unreadable timestamp", times.unreadable, "timestamp", times.expected),
            Finding("negative timestamp", times.negative, "timestamp", "a time since 1970"),
            Finding("future timestamp", times.future, "timestamp", "a time that has been"),
        ]
    if ratings is not None:
        found.append(Finding("rating that is no number", ~np.isfinite(ratings), "rating", "a number"))
    return found


def _refuse(findings: list[Finding], table: pa.Table, columns: Columns, where: Callable[[int], str]) -> None:
    """Raise an error about the first row that something is wrong with."""
    wrong = [(int(finding.rows.argmax()), finding) for finding in findings if finding.rows.any()]
    if wrong:
        row, finding = min(wrong, key=lambda pair: pair[0])
        value = table[finding.column][row].as_py()
        found = repr(value) if isinstance(value, str | int | float | None) else str(value)
        found = f"found {columns[finding.column]} {found}, expected {finding.expected}"
        raise InputError(f"{where(row)}: {finding.reason}: {found}")


def _sieve(findings: list[Finding], raw: Raw) -> tuple[Mask, dict[str, int]]:
    """What stays [N], and how many rows go, each for the first reason that holds."""
    keep = np.ones(len(raw.table), dtype=np.bool_)
    dropped = {"broken row": raw.broken} if raw.broken else {}
    for finding in findings:
        if count := int(np.count_nonzero(keep & finding.rows)):
            dropped[finding.reason] = count
        keep &= ~finding.rows
    return keep, dropped


def _kept(times: Times | None, rows: Mask) -> Times | None:
    if times is None:
        return None
    return Times(times.ticks[rows], times.per_second, times.unreadable[rows], times.expected, times.described)

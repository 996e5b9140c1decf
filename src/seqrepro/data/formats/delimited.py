"""Reading tables of delimited columns: fast when all rows are good, and precise about the first bad one."""

import csv as text_csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from seqrepro.errors import InputError


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are written. Values are read as text where nothing else is said."""

    columns: tuple[str, ...]  # the names of all columns, in order
    integers: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()  # with or without a fraction
    optional: tuple[str, ...] = ()  # integers that may be empty: null
    header: bool = False  # the first row holds the names
    delimiter: str = "\t"  # one character or several
    quoted: bool = False  # fields may stand in double quotes


def read_table(path: Path, columns: Sequence[str], integers: Sequence[str], header: bool) -> pa.Table:
    """Read a tab-separated file without quoting; see `read_layout`."""
    return read_layout(path, Layout(tuple(columns), tuple(integers), header=header))


def read_layout(path: Path, layout: Layout, keep: Sequence[str] = ()) -> pa.Table:
    """Read a file of rows; lines end in LF or CRLF, a byte order mark is skipped.

    Args:
        path: the file, UTF-8.
        layout: how its rows are written; with a header, it must be equal to `columns`.
        keep: the columns to return (default: all).

    Raises:
        InputError: no rows, another header, a row with another number of columns, or a value of another type.
    """
    if layout.header:
        _check_header(path, layout)
    try:
        table: pa.Table = _read(path, layout, keep)
    except pa.ArrowInvalid as error:
        raise _bad_file(path, layout, " ".join(str(error).split())) from None
    required = [name for name in table.column_names if name not in layout.optional]
    if layout.optional and any(table[name].null_count for name in required):
        raise _bad_file(path, layout, "found an empty value")
    return table


def read_named(path: Path, layout: Layout) -> pa.Table:
    """Read only `layout.columns`, wherever they stand, from a file whose header names more of them.

    Raises:
        InputError: as `read_layout`, or a column that is not there.
    """
    found = next(_rows(path, Layout((), delimiter=layout.delimiter, quoted=layout.quoted)), (0, []))[1]
    if missing := [name for name in layout.columns if name not in found]:
        raise InputError(f"{path}: row 1: found the header {found}, expected a column '{missing[0]}'")
    whole = Layout(tuple(found), layout.integers, layout.numbers, (), True, layout.delimiter, layout.quoted)
    return read_layout(path, whole, layout.columns)


def integer_ids(column: pa.ChunkedArray) -> pa.Array:
    """Source ids as integers if each is written as one (no sign, no leading zero), else as text."""
    ids = column.combine_chunks()
    plain = pc.all(pc.match_substring_regex(ids, r"^(0|[1-9][0-9]{0,17})$")).as_py()
    return ids.cast(pa.int64()) if plain else ids


def _read(path: Path, layout: Layout, keep: Sequence[str]) -> pa.Table:
    types: dict[str, Any] = dict.fromkeys(layout.columns, pa.string())
    types |= dict.fromkeys((*layout.integers, *layout.optional), pa.int64())
    types |= dict.fromkeys(layout.numbers, pa.float64())
    several = len(layout.delimiter) > 1
    source: Any = io.BytesIO(path.read_bytes().replace(layout.delimiter.encode(), b"\t")) if several else path
    return csv.read_csv(
        source,
        read_options=csv.ReadOptions(
            column_names=list(layout.columns), skip_rows=int(layout.header), use_threads=False
        ),
        parse_options=csv.ParseOptions(
            delimiter="\t" if several else layout.delimiter,
            quote_char='"' if layout.quoted else False,
            ignore_empty_lines=False,
        ),
        convert_options=csv.ConvertOptions(
            column_types=types,
            include_columns=list(keep),
            null_values=[""] if layout.optional else [],
            strings_can_be_null=False,
        ),
    )


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line, slowly, and its number from 1."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            quoted = next(text_csv.reader([text], delimiter=layout.delimiter), [""]) if layout.quoted else None
            yield number, quoted if quoted is not None else text.split(layout.delimiter)


def _check_header(path: Path, layout: Layout) -> None:
    found = next(_rows(path, layout), (0, []))[1]
    if found != list(layout.columns):
        raise InputError(f"{path}: row 1: found the header {found}, expected {list(layout.columns)}")


def _bad_file(path: Path, layout: Layout, problem: str) -> InputError:
    """The error of the first bad row, or else what the fast reader said."""
    for number, values in _rows(path, layout):
        if not (layout.header and number == 1) and (found := _bad_row(values, layout)):
            return InputError(f"{path}: row {number}: {found}")
    return InputError(f"{path}: {problem}")


def _bad_row(values: list[str], layout: Layout) -> str | None:
    if len(values) != len(layout.columns):
        return f"found {len(values)} columns, expected {len(layout.columns)} ({', '.join(layout.columns)})"
    for name, value in zip(layout.columns, values, strict=True):
        if "\N{REPLACEMENT CHARACTER}" in value:
            return f"found {name} {value!r}, expected UTF-8"
        if name in layout.integers and not value.strip().removeprefix("-").isdecimal():
            return f"found {name} {value!r}, expected an integer"
        if name in layout.optional and value and not value.removeprefix("-").isdecimal():
            return f"found {name} {value!r}, expected an integer or nothing"
        if name in layout.numbers and not _is_number(value):
            return f"found {name} {value!r}, expected a number"
    return None


def _is_number(value: str) -> bool:
    try:
        return float(value) == float(value)
    except ValueError:
        return False

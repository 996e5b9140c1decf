"""JSON lines: an object a line. Its first one says of which type each column is.

Arrow reads the file if all lines are good. If not, Python's own reader finds out which are.
"""

import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from seqrepro.data.own.opening import one_line, opened
from seqrepro.data.own.tables import Columns, Raw, check_columns, named
from seqrepro.errors import InputError

TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}
WORDS = {str: "text", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "an object"}
BLOCK = 1 << 24  # bytes that Arrow looks at together; no line may be longer


def read_json_lines(path: Path, columns: Columns, drop: bool) -> Raw:
    """The wanted columns, as text or numbers.

    Args:
        path: the file.
        columns: our names -> the keys of the objects.
        drop: leave out lines that are no such objects, and count them.

    Raises:
        InputError: a line that is no JSON object, a missing key, or values of another type than in the first line.
    """
    kinds = _kinds(path, columns)
    row_name = lambda index: f"row {next(islice(_lines(path), index, None))[0]}"  # noqa: E731
    try:
        with opened(path) as stream:
            return Raw(named(_table(stream, kinds), columns), row_name)
    except pa.ArrowInvalid:
        good, broken = _sieve(path, kinds, drop)
    try:
        return Raw(named(_table(io.BytesIO(good), kinds), columns), row_name, broken)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: {one_line(error)}") from None


def _kinds(path: Path, columns: Columns) -> dict[str, type]:
    """The type of each wanted column, from the first object that has them."""
    for line, text in _lines(path):
        if isinstance(first := _parsed(text), dict):
            check_columns(f"{path}: row {line}", list(first), columns)
            kinds = {name: float if ours == "rating" else type(first[name]) for ours, name in columns.items()}
            if all(kind in TYPES for kind in kinds.values()):
                return kinds
    raise InputError(f"{path}: found no line with {', '.join(columns.values())}, expected a JSON object a line")


def _table(stream: Any, kinds: dict[str, type]) -> pa.Table:
    schema = pa.schema([(name, TYPES[kind]) for name, kind in kinds.items()])
    return pa.json.read_json(
        stream,
        read_options=pa.json.ReadOptions(block_size=BLOCK),
        parse_options=pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )


def _sieve(path: Path, kinds: dict[str, type], drop: bool) -> tuple[bytes, int]:
    """The good lines, and how many are not."""
    good, broken = io.BytesIO(), 0
    for line, text in _lines(path):
        if problem := _problem(_parsed(text), kinds):
            if not drop:
                raise InputError(f"{path}: row {line}: {problem}")
            broken += 1
        else:
            good.write(text.encode() + b"\n")
    return good.getvalue(), broken


def _problem(row: Any, kinds: dict[str, type]) -> str | None:
    if not isinstance(row, dict):
        return "found no JSON object, expected one a line"
    for name, kind in kinds.items():
        value = row.get(name)
        fits = value is None or type(value) is kind or (kind is float and type(value) is int)
        if not fits or (kind is int and value is not None and abs(value) >= 2**63):
            return f"found {name} {value!r}, expected {WORDS[kind]} as in the rows before"
    return None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not empty; bytes that are not UTF-8 make it no JSON."""
    with opened(path) as stream:
        lines = io.TextIOWrapper(io.BufferedReader(stream), "utf-8-sig", errors="replace")
        for number, text in enumerate(lines, start=1):
            if text.strip():
                yield number, text.strip()

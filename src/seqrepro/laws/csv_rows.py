"""Rows of the CSV files that the refit reads, with the words that name their place."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from seqrepro.errors import InputError

Number = TypeVar("Number", int, float)


def rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file, each with the words that name its place.

    Raises:
        InputError: no such file, a missing column, or no rows.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            if missing := [column for column in columns if column not in (reader.fieldnames or [])]:
                raise InputError(f"{path}: no column {', '.join(missing)}, expected {', '.join(columns)}")
            found = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    if not found:
        raise InputError(f"{path}: found no rows, expected at least one")
    for line, row in enumerate(found, start=2):
        yield f"{path}: row {line}", row


def number(place: str, row: dict[str, str], column: str, kind: Callable[[str], Number]) -> Number:
    """A cell as a number.

    Raises:
        InputError: it is none.
    """
    try:
        return kind(row[column])
    except (TypeError, ValueError):
        raise InputError(f"{place}: {column} is {row[column]!r}, expected a number") from None

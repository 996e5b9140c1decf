"""Tables of laws: rows to Parquet and CSV, the same bytes for the same rows."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from seqrepro.files import atomic, write_parquet
from seqrepro.laws.panels import Row

TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


def stable(value: Any, digits: int = 9) -> Any:
    """A number rounded to digits that do not depend on the machine's arithmetic; None where it is not finite."""
    if not isinstance(value, float):
        return value
    return round(value, digits) if abs(value) < float("inf") else None


def write_table(folder: Path, name: str, rows: Sequence[Row], schema: pa.Schema | None = None) -> list[Path]:
    """Write rows as `name`.parquet and `name`.csv.

    Args:
        folder: where.
        name: of the files.
        rows: at least one; with a schema, columns that a row lacks are null.
        schema: of the columns; without one they are those of the rows, in the order in which they first occur.
    """
    table = pa.Table.from_pylist(list(rows), schema=schema or _schema(rows))
    parquet, text = folder / f"{name}.parquet", folder / f"{name}.csv"
    write_parquet(parquet, table)
    with atomic(text) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, table.schema.names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.to_pylist())
    return [parquet, text]


def _schema(rows: Sequence[Row]) -> pa.Schema:
    """A column has the type of its first value; one of nulls alone is of numbers."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema([(name, TYPES[_kind([row.get(name) for row in rows])]) for name in names])


def _kind(values: list[Any]) -> type:
    return next((type(value) for value in values if value is not None), float)

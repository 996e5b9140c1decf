"""A table as it stands in your own file: the wanted columns, whatever they hold, and how a message calls a row."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seqrepro.data.own.opening import one_line
from seqrepro.errors import InputError

Columns = dict[str, str]  # user, item, timestamp, rating -> how the file calls that column


@dataclass(frozen=True)
class Raw:
    """What a file holds."""

    table: pa.Table  # [N] rows; columns user, item, and timestamp and rating where they are wanted
    row_name: Callable[[int], str]  # how a message calls the row of this index
    broken: int = 0  # lines that are no rows, and were left out because an option asked for it


def read_parquet(path: Path, columns: Columns) -> Raw:
    """The wanted columns of a Parquet file.

    Raises:
        InputError: not a Parquet file, a damaged one, or a missing column.
    """
    try:
        with pq.ParquetFile(path) as file:
            check_columns(f"{path}", file.schema_arrow.names, columns)
            table = file.read(columns=list(columns.values()))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a whole Parquet file ({one_line(error)})") from None
    return Raw(named(table, columns), lambda index: f"row {index + 1}")


def named(table: pa.Table, columns: Columns) -> pa.Table:
    """The wanted columns under our names."""
    return pa.table({ours: table[theirs] for ours, theirs in columns.items()})


def check_columns(where: str, found: Sequence[str], columns: Columns) -> None:
    """Check that each wanted column is there, and once.

    Raises:
        InputError: one is not; with the name that was probably meant.
    """
    for name in columns.values():
        if name not in found:
            close = difflib.get_close_matches(name, found, n=1)
            meant = f"did you mean '{close[0]}'?" if close else f"found {', '.join(map(repr, found))}"
            raise InputError(f"{where}: no column '{name}'; {meant}")
        if found.count(name) > 1:
            raise InputError(f"{where}: found column '{name}' {found.count(name)} times, expected it once")

"""What probes measured on a run, as tidy rows: the name of a measure, what was varied if anything was, and the value.

A probe that writes `measurements.parquet` has these rows as its columns: `measure` (text), `at` (real, null unless
something is varied) and `value` (real). A measure that is varied is called `<measure> over <what is varied>`, such as
`seconds over length`. Older probes have files of their own, which are read as such rows here:

    robustness.parquet   `ndcg@10, shuffle` and `relative_change of ndcg@10, shuffle`
    exposure.json        `coverage@10`, and so for each measure and cutoff
    slices.parquet       `ndcg@10, history 1-5`, `ndcg@10, popularity 0`, `ndcg@10, popularity above 50`
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from seqrepro.errors import InputError
from seqrepro.files import read_json
from seqrepro.probes.measurements import FILE, SCHEMA

Row = dict[str, Any]


class Measurement(NamedTuple):
    """One measured number."""

    measure: str
    at: float | None
    value: float


def read_measurements(path: Path) -> list[Measurement]:
    """The measurements that a probe's file holds; a number that could not be had (null) is left out.

    Raises:
        InputError: columns are missing, or no reader knows a file of that name.
    """
    if path.name not in READERS:
        raise InputError(f"{path}: no measurements are read from it, expected one of {', '.join(READERS)}")
    return list(READERS[path.name](path))


def _tidy(path: Path) -> Iterator[Measurement]:
    for row in _rows(path, SCHEMA.names):
        if row["value"] is not None:
            yield Measurement(row["measure"], row["at"], row["value"])


def _robustness(path: Path) -> Iterator[Measurement]:
    for row in _rows(path, ["perturbation", "metric", "value", "relative_change"]):
        name = f"{row['metric']}, {row['perturbation']}"
        yield Measurement(name, None, row["value"])
        if row["relative_change"] is not None:
            yield Measurement(f"relative_change of {name}", None, row["relative_change"])


def _exposure(path: Path) -> Iterator[Measurement]:
    for cutoff, measures in read_json(path)["cutoffs"].items():
        for name, value in measures.items():
            yield Measurement(f"{name}@{cutoff}", None, value)


def _slices(path: Path) -> Iterator[Measurement]:
    for row in _rows(path, ["slice", "low", "high", "metric", "mean"]):
        if row["mean"] is not None:
            yield Measurement(f"{row['metric']}, {row['slice']} {bin_text(row)}", None, row["mean"])


def bin_text(row: Row) -> str:
    """The numbers of a bin: '0', '1-5' or 'above 50'."""
    if row["high"] is None:
        return f"above {row['low'] - 1}"
    return str(row["low"]) if row["low"] == row["high"] else f"{row['low']}-{row['high']}"


def _rows(path: Path, columns: list[str]) -> list[Row]:
    table = pq.read_table(path)
    if lacking := [name for name in columns if name not in table.column_names]:
        raise InputError(f"{path}: no column '{lacking[0]}', expected {', '.join(columns)}")
    rows: list[Row] = table.select(columns).to_pylist()
    return rows


READERS: dict[str, Callable[[Path], Iterator[Measurement]]] = {
    FILE: _tidy,
    "robustness.parquet": _robustness,
    "exposure.json": _exposure,
    "slices.parquet": _slices,
}

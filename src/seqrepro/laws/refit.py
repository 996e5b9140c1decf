"""Step: refit the Performance Law (arXiv 2412.00430) to its published points and compare with the published R2.

No training: the 448 points of the paper's figures (20 panels) are fitted again. p1 = 1 / pf1 is searched over the grid
of the request, as the authors did. Two choices of pf1 are reported, because the published one is not always the best:
`pf1` gives the highest R2 (what the paper says it did), `pf1_closest` the R2 nearest to the published number. The
latter looks at the answer: it shows that the form and the points are right, not that the search is.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from seqrepro.errors import InputError
from seqrepro.files import atomic, write_parquet
from seqrepro.laws.performance_law import Fit, Vector, fit, log_linear_r2, quadratic_log_r2
from seqrepro.request import Request

Panel = tuple[str, int, str]  # dataset, max_length, metric
Published = dict[tuple[Panel, str, int], float]  # (panel, model, digits) -> R2
Row = dict[str, Any]
Number = TypeVar("Number", int, float)

POINT_COLUMNS = ("dataset", "max_length", "n_blocks", "d_emb", "metric", "value")
R2_COLUMNS = ("dataset", "max_length", "metric", "model", "r2", "digits")
SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("max_length", pa.int32()),
        ("metric", pa.string()),
        ("n_points", pa.int32()),
        ("r2", pa.float64()),  # of the law, at the pf1 with the highest R2
        ("pf1", pa.int32()),
        ("supremum_r2", pa.float64()),  # above r2 where the best exponents are infinite
        ("mae", pa.float64()),
        ("rmse", pa.float64()),
        ("best_n_blocks", pa.float64()),  # N* and d* of the law; null where it has no maximum
        ("best_d_emb", pa.float64()),
        ("published_r2", pa.float64()),  # 6 digits
        ("difference", pa.float64()),  # r2 - published_r2
        ("agrees_6_digits", pa.bool_()),
        ("published_r2_3_digits", pa.float64()),
        ("agrees_3_digits", pa.bool_()),
        ("pf1_closest", pa.int32()),  # chosen with the published R2 in sight
        ("r2_closest", pa.float64()),
        ("difference_closest", pa.float64()),
        ("closest_agrees_6_digits", pa.bool_()),
        ("pf1_agreeing", pa.string()),  # all pf1 of the grid whose R2 agrees to 6 digits
        ("log_linear_r2", pa.float64()),  # the form behind the paper's 'scaling law'
        ("published_scaling_r2", pa.float64()),
        ("difference_scaling", pa.float64()),
        ("scaling_agrees_6_digits", pa.bool_()),
        ("published_scaling_r2_3_digits", pa.float64()),
        ("scaling_agrees_3_digits", pa.bool_()),
        ("quadratic_r2", pa.float64()),  # quadratic in ln N and ln d, 5 free numbers as the law
    ]
)


def run(request: Request) -> list[Path]:
    """Write r2.parquet and r2.csv into the request's folder, a row a panel, in the order of the points.

    The inputs are the published points and the published R2, in this order; the parameter `pf1` is the grid.

    Raises:
        InputError: a file, a row or a parameter that cannot be used.
    """
    grid = _grid(request)
    if len(request.inputs) != 2:
        raise InputError(f"inputs: found {len(request.inputs)} files, expected 2 (published points, published R2)")
    points, published = read_points(Path(request.inputs[0])), read_published(Path(request.inputs[1]))
    rows = [panel_row(panel, values_P3, grid, published) for panel, values_P3 in points.items()]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    parquet, text = request.output / "r2.parquet", request.output / "r2.csv"
    write_parquet(parquet, table)
    _write_csv(text, table)
    return [parquet, text]


def read_points(path: Path) -> dict[Panel, Vector]:
    """Published points: for each panel [P, 3] of depth, width and metric value, in the order of the file.

    Raises:
        InputError: no such file, no rows, missing columns, or a cell that is not a number.
    """
    points: dict[Panel, list[list[float]]] = defaultdict(list)
    for place, row in _rows(path, POINT_COLUMNS):
        numbers = [_number(place, row, column, float) for column in ("n_blocks", "d_emb", "value")]
        points[_panel(place, row)].append(numbers)
    return {panel: np.array(rows, dtype=np.float64) for panel, rows in points.items()}


def read_published(path: Path) -> Published:
    """Published R2 by panel, model and digits.

    Raises:
        InputError: as for the points, or two values for the same panel, model and digits.
    """
    published: Published = {}
    for place, row in _rows(path, R2_COLUMNS):
        key = (_panel(place, row), row["model"], _number(place, row, "digits", int))
        if key in published:
            raise InputError(f"{place}: a second R2 of {row['model']} at {key[2]} digits, expected one a panel")
        published[key] = _number(place, row, "r2", float)
    return published


def panel_row(panel: Panel, values_P3: Vector, grid: list[int], published: Published) -> Row:
    """One row of the table: our fits of a panel beside the published R2."""
    n_blocks, d_emb, values = values_P3.T
    fits = {pf1: fit(n_blocks, d_emb, values, 1 / pf1) for pf1 in grid}
    log_linear = log_linear_r2(n_blocks, d_emb, values)
    scaling = [published.get((panel, "scaling_law", digits)) for digits in (6, 3)]
    return {
        "dataset": panel[0],
        "max_length": panel[1],
        "metric": panel[2],
        **_best(fits, [published.get((panel, "performance_law", digits)) for digits in (6, 3)]),
        **_closest(fits, published.get((panel, "performance_law", 6))),
        "log_linear_r2": _stable(log_linear),
        "published_scaling_r2": scaling[0],
        "difference_scaling": _difference(log_linear, scaling[0]),
        "scaling_agrees_6_digits": agrees_6_digits(log_linear, scaling[0]),
        "published_scaling_r2_3_digits": scaling[1],
        "scaling_agrees_3_digits": agrees_3_digits(log_linear, scaling[1]),
        "quadratic_r2": _stable(quadratic_log_r2(n_blocks, d_emb, values)),
    }


def agrees_6_digits(ours: float, published: float | None) -> bool | None:
    """Whether our number rounds to the published one; None where nothing was published."""
    return None if published is None else math.isclose(round(ours, 6), published, rel_tol=0, abs_tol=1e-9)


def agrees_3_digits(ours: float, published: float | None) -> bool | None:
    """Whether our number rounds or truncates to the published one: the paper's Table 1 does both."""
    if published is None:
        return None
    shortened = (round(ours, 3), math.floor(ours * 1000) / 1000)
    return any(math.isclose(value, published, rel_tol=0, abs_tol=1e-9) for value in shortened)


def _best(fits: dict[int, Fit], published: list[float | None]) -> Row:
    pf1 = max(fits, key=lambda candidate: fits[candidate].r2)
    best = fits[pf1]
    return {
        "n_points": best.n_points,
        "r2": _stable(best.r2),
        "pf1": pf1,
        "supremum_r2": _stable(best.supremum_r2),
        "mae": _stable(best.mae),
        "rmse": _stable(best.rmse),
        "best_n_blocks": _stable(best.parameters.best_n_blocks, 3),
        "best_d_emb": _stable(best.parameters.best_d_emb, 3),
        "published_r2": published[0],
        "difference": _difference(best.r2, published[0]),
        "agrees_6_digits": agrees_6_digits(best.r2, published[0]),
        "published_r2_3_digits": published[1],
        "agrees_3_digits": agrees_3_digits(best.r2, published[1]),
    }


def _closest(fits: dict[int, Fit], published: float | None) -> Row:
    """The columns that look at the published R2; none where nothing was published."""
    if published is None:
        return {}
    pf1 = min(fits, key=lambda candidate: abs(fits[candidate].r2 - published))
    agreeing = [str(candidate) for candidate in fits if agrees_6_digits(fits[candidate].r2, published)]
    return {
        "pf1_closest": pf1,
        "r2_closest": _stable(fits[pf1].r2),
        "difference_closest": _difference(fits[pf1].r2, published),
        "closest_agrees_6_digits": agrees_6_digits(fits[pf1].r2, published),
        "pf1_agreeing": " ".join(agreeing),
    }


def _difference(ours: float, published: float | None) -> float | None:
    return None if published is None else _stable(ours - published)


def _stable(value: float | None, digits: int = 9) -> float | None:
    """Rounded to digits that do not depend on the machine's arithmetic."""
    return None if value is None else round(value, digits)


def _grid(request: Request) -> list[int]:
    grid = request.parameters.get("pf1")
    if not isinstance(grid, list) or not grid or not all(type(pf1) is int and pf1 > 0 for pf1 in grid):
        raise InputError(f"parameters.pf1: found {grid!r}, expected a list of integers above 0")
    return grid


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file, each with the words that name its place."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            if missing := [column for column in columns if column not in (reader.fieldnames or [])]:
                raise InputError(f"{path}: no column {', '.join(missing)}, expected {', '.join(columns)}")
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    if not rows:
        raise InputError(f"{path}: found no rows, expected at least one")
    for number, row in enumerate(rows, start=2):
        yield f"{path}: row {number}", row


def _panel(place: str, row: dict[str, str]) -> Panel:
    return row["dataset"], _number(place, row, "max_length", int), row["metric"]


def _number(place: str, row: dict[str, str], column: str, kind: Callable[[str], Number]) -> Number:
    try:
        return kind(row[column])
    except (TypeError, ValueError):
        raise InputError(f"{place}: {column} is {row[column]!r}, expected a number") from None


def _write_csv(path: Path, table: pa.Table) -> None:
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, table.schema.names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.to_pylist())

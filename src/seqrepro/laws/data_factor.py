"""The table data_factor: is the fitted data parameter linear in a measure of the data?

`fit: table` regresses the printed 1/D (P-Law, Table 3; one value a metric, dataset and longest history) on 1/measure,
by ordinary least squares with an intercept. The measures are made from the printed tokens and S'_real = 1/S_real:
tokens, tokens / S_real (the paper's), tokens * S_real (the other direction). R2 is in sample, on ten points that lie in
four clusters. The held-out errors therefore leave out one dataset at a time: the mean absolute error in units of 1/D,
and R2 of these predictions about the mean of the ten points.

`fit: table, tokens exchanged` is the same with the tokens of MovieLens-1M and KuaiRand exchanged, level by level: those
printed for KuaiRand are counts of MovieLens-1M to the last digit. Their S'_real have their right places, as far as
MovieLens-1M tells (ours is within 0.4 % of what is printed for it).

Shapes: P points.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seqrepro.errors import InputError
from seqrepro.laws.numbers import Printed
from seqrepro.laws.panels import Row
from seqrepro.laws.performance_law import r_squared
from seqrepro.laws.projection import Vector
from seqrepro.laws.tables import stable

METRICS = {"hr": "1/d_hr", "ndcg": "1/d_ndcg", "loss": "1/d_loss"}
NAMES = {"tokens / s_real": "Real Entropy", "tokens": "Token only"}  # of the measures, in Table 6
EXCHANGED = ("ml-1m", "kuairand-pure")


@dataclass(frozen=True)
class Table3:
    """The printed data table, a point a dataset and longest history."""

    dataset: list[str]  # [P]
    tokens: Vector  # [P]
    s_real: Vector  # [P] 1 / S'_real
    inverse_d: dict[str, Vector]  # [P] 1/D by metric

    def measures(self) -> dict[str, Vector]:
        """[P] each measure of the data."""
        return {
            "tokens / s_real": self.tokens / self.s_real,
            "tokens": self.tokens,
            "tokens * s_real": self.tokens * self.s_real,
        }


def table_3(numbers: Sequence[Printed]) -> Table3:
    """Table 3 of P-Law.

    Raises:
        InputError: a cell is missing.
    """
    cells = {
        (one.dataset, one.max_length, one.quantity): one.value
        for one in numbers
        if one.table == "Table 3" and one.max_length
    }
    places = list(dict.fromkeys(key[:2] for key in cells))
    try:
        column = {
            name: np.array([cells[(*place, name)] for place in places])
            for name in ("tokens", "s'_real", *METRICS.values())
        }
    except KeyError as error:
        raise InputError(f"published numbers: Table 3 has no {error.args[0]}, expected a number") from None
    inverse_d = {metric: column[name] for metric, name in METRICS.items()}
    return Table3([str(name) for name, _ in places], column["tokens"], 1 / column["s'_real"], inverse_d)


def table_rows(numbers: Sequence[Printed]) -> Iterator[Row]:
    """The rows made from the printed table."""
    table, printed = table_3(numbers), _printed(numbers)
    for metric in METRICS:
        yield from regression_rows("table", table, metric, printed)
    for metric in METRICS:
        yield from regression_rows("table, tokens exchanged", exchanged(table), metric, {})


def regression_rows(fit: str, table: Table3, metric: str, printed: dict[tuple[str, str], Printed]) -> Iterator[Row]:
    """A row a measure, beside what Table 6 prints of it."""
    y = table.inverse_d[metric]
    found = {name: _regressed(1 / measure, y, table.dataset) for name, measure in table.measures().items()}
    for name, row in found.items():
        published = printed.get((metric, name))
        yield {
            "fit": fit,
            "metric": metric,
            "measure": name,
            "n_points": len(y),
            **row,
            "tokens_r2": found["tokens"]["r2"],
            "tokens_held_out_error": found["tokens"]["held_out_error"],
            "published_as": published.model if published else None,
            "published_r2": published.value if published else None,
            "agrees": published.agrees(row["r2"]) if published else None,
        }


def exchanged(table: Table3) -> Table3:
    """The table with the tokens of two datasets exchanged, level by level."""
    first, second = ([i for i, name in enumerate(table.dataset) if name == wanted] for wanted in EXCHANGED)
    tokens = table.tokens.copy()
    tokens[first], tokens[second] = table.tokens[second], table.tokens[first]
    return Table3(table.dataset, tokens, table.s_real, table.inverse_d)


def left_out(x: Vector, y: Vector, clusters: Sequence[str], fit: Callable[[Vector, Vector], Vector]) -> Vector:
    """[P] what a polynomial, fitted without a point's cluster, says of the point."""
    names, predicted = np.array(clusters), np.empty_like(y)
    for name in dict.fromkeys(clusters):
        here = names == name
        predicted[here] = np.polyval(fit(x[~here], y[~here]), x[here])
    return predicted


def _regressed(x: Vector, y: Vector, clusters: Sequence[str]) -> Row:
    scale = float(np.abs(x).max())
    slope, intercept = _line(x / scale, y)
    predicted = left_out(x / scale, y, clusters, _line)
    return {
        "slope": stable(float(slope) / scale),
        "intercept": stable(float(intercept)),
        "r2": stable(r_squared(y, slope * x / scale + intercept)),
        "held_out_error": stable(float(np.abs(y - predicted).mean())),
        "held_out_r2": stable(r_squared(y, predicted)),
    }


def _line(x: Vector, y: Vector) -> Vector:
    return np.asarray(np.polyfit(x, y, 1), dtype=np.float64)


def _printed(numbers: Sequence[Printed]) -> dict[tuple[str, str], Printed]:
    """Table 6 by metric and measure."""
    cells = {one.model.casefold(): one for one in numbers if one.table == "Table 6"}
    return {
        (metric, measure): cells[key]
        for metric, quantity in METRICS.items()
        for measure, name in NAMES.items()
        if (key := f"{quantity} on {name}".casefold()) in cells
    }

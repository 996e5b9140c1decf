"""The bounds of what probes measure: one number a run, or one a run and a value of what was varied.

With v_s the number of run s of a model and w_t that of another, means over runs, and runs of two models not paired:

- a difference (`direction` alone):   mean v - mean w > 0 for 'higher', mean w - mean v > 0 for 'lower'
- a factor f (`direction`, `factor`): the same with logarithms and log f on the right side: geometric means
- a ratio from a to b (`ratio`):      mean log v - mean log w - log a > 0, and log b - (mean log v - mean log w) > 0
- a slope from a to b (`growth`):     mean b_s - a > 0 and b - mean b_s > 0; so is `scaling`, whose s is a seed, with
                                      a run for each value of what is varied

The claim says beforehand whether a ratio or a difference is meant; the data never choose. b_s is the slope of the
logarithm of the number over that of what was varied, by least squares in each run. The number may be divided by that
of another model: the slope of the ratio is the difference of the slopes.

Variances are those between runs, with Welch's degrees of freedom. A closed form has none: another seed would be the
same run. If there is one run, the slope has the interval of its own regression (n - 2 degrees of freedom), which knows
the scatter around the line and nothing of other runs. Intervals are 95 %; a direction has a p value, which is adjusted
over the family (Holm) like that of superiority.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from scipy import stats

from seqrepro.ledger.bounds import LEVEL, Bound
from seqrepro.ledger.measurements import Measurement
from seqrepro.ledger.parts import Growth, Measured, Scaling
from seqrepro.ledger.statistics import Estimate, Part, p_value

LEAST_POINTS = 3  # of a slope: two points fit every line


@dataclass(frozen=True)
class Runs:
    """The measurements of one model: a list a finished run, all of one measure."""

    rows: list[list[Measurement]]
    deterministic: bool = False  # a closed form


def bounds_of_measured(part: Measured, runs: dict[str, Runs]) -> Iterator[Bound]:
    """The bounds of each other model; `runs` has one number a run."""
    for other in part.against:
        if part.ratio is None:
            yield _direction(part, other, runs)
        else:
            yield from _range(part.ratio, f"ratio of {part.measure}, {part.model} to {other}", part, other, runs)


def bounds_of_growth(part: Growth | Scaling, runs: dict[str, Runs]) -> Iterator[Bound]:
    """The bounds of the slope; `runs` has numbers at several values of what was varied in each run."""
    own = _mean_slope(runs[part.model])
    parts, value = [own[1]], own[0]
    name = f"slope of {part.measure} over {part.over}"
    if part.against is not None:
        other = _mean_slope(runs[part.against])
        parts, value, name = [*parts, other[1]], value - other[0], f"{name}, divided by that of {part.against}"
    low, high = part.slope
    if low is not None:
        yield Bound(f"{name}, less {low:g}", _estimate(value - low, parts))
    if high is not None:
        yield Bound(f"{high:g} less {name}", _estimate(high - value, parts))


def unfit(part: Measured | Growth | Scaling, runs: dict[str, Runs]) -> str:
    """Why these numbers cannot be compared; nothing if they can."""
    logarithms = isinstance(part, Growth | Scaling) or part.factor is not None or part.ratio is not None
    for model, own in runs.items():
        lowest = min(row.value for rows in own.rows for row in rows)
        if logarithms and lowest <= 0:
            return f"{part.measure} of {model} is {lowest:.4g}, and only numbers above 0 have a ratio"
        points = min(len({row.at for row in rows}) for rows in own.rows)
        if isinstance(part, Growth | Scaling) and points < LEAST_POINTS:
            return f"{part.measure} of {model} is known for {points} values of {part.over}, expected {LEAST_POINTS}"
    return ""


def _direction(part: Measured, other: str, runs: dict[str, Runs]) -> Bound:
    names = (part.model, other) if part.direction == "higher" else (other, part.model)
    if part.factor is None:
        (first, its), (second, others) = (_mean(_values(runs[name]), runs[name]) for name in names)
        text = f"{part.measure} of {names[0]} less that of {names[1]}"
        return Bound(text, _estimate(first - second, [its, others]), needs_p=True)
    value, parts = _log_ratio(*(runs[name] for name in names))
    text = f"log of {part.measure} of {names[0]} over that of {names[1]}"
    text += f", less log {part.factor:g}" if part.factor > 1 else ""
    return Bound(text, _estimate(value - log(part.factor), parts), needs_p=True)


def _range(ends: list[float | None], name: str, part: Measured, other: str, runs: dict[str, Runs]) -> Iterator[Bound]:
    value, parts = _log_ratio(runs[part.model], runs[other])
    low, high = ends
    if low is not None:
        yield Bound(f"log of the {name}, less log {low:g}", _estimate(value - log(low), parts))
    if high is not None:
        yield Bound(f"log {high:g} less that of the {name}", _estimate(log(high) - value, parts))


def _log_ratio(first: Runs, second: Runs) -> tuple[float, list[Part]]:
    (mine, own), (theirs, other) = (_mean([log(value) for value in _values(one)], one) for one in (first, second))
    return mine - theirs, [own, other]


def _values(runs: Runs) -> list[float]:
    """One number a run."""
    return [rows[0].value for rows in runs.rows]


def _mean(values: list[float], runs: Runs) -> tuple[float, Part]:
    """The mean over runs, and its variance."""
    known = len(values) > 1 and not runs.deterministic
    variance = float(np.var(values, ddof=1)) / len(values) if known else 0.0
    return float(np.mean(values)), Part(variance, max(1, len(values) - 1))


def _mean_slope(runs: Runs) -> tuple[float, Part]:
    """The mean over runs of the slopes, and its variance; with one run that of its regression."""
    fits = [_fit(rows) for rows in runs.rows]
    if len(fits) > 1:
        return _mean([float(fit.slope) for fit in fits], runs)
    return float(fits[0].slope), Part(float(fits[0].stderr) ** 2, len(runs.rows[0]) - 2)


def _fit(rows: list[Measurement]) -> Any:
    """The line through the logarithms, with its slope and the standard error of that."""
    at = [log(row.at) for row in rows if row.at is not None]
    return stats.linregress(at, [log(row.value) for row in rows])


def _estimate(value: float, parts: list[Part]) -> Estimate:
    """A value with its 95 % interval from independent parts of its variance (Welch, Biometrika, 1947)."""
    variance = sum(part.variance for part in parts)
    df = variance**2 / sum(part.variance**2 / part.df for part in parts) if variance else 1.0
    error = sqrt(variance)
    reach = float(stats.t.ppf(1 - LEVEL / 2, df)) * error
    users, seeds = Part(0.0, 1.0), Part(variance, df)
    return Estimate(value, value - reach, value + reach, error, df, p_value(value, error, df), True, users, seeds)

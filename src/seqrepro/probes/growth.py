"""How a measured number grows: the slope of its logarithm, and where one curve falls below another for good."""

from collections.abc import Mapping
from math import exp, log

from scipy import stats

from seqrepro.probes.turns import CONFIDENCE, Triple

LEAST_POINTS = 3  # of a slope: two points fit every line
Curve = Mapping[float, float]  # by what is varied; all above 0


def slope(curve: Curve) -> Triple | None:
    """The slope of log y over log x by least squares with its 95 % interval; None of fewer than three points."""
    if len(curve) < LEAST_POINTS:
        return None
    fit = stats.linregress([log(x) for x in curve], [log(y) for y in curve.values()])
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(curve) - 2)) * float(fit.stderr)
    return float(fit.slope), float(fit.slope) - reach, float(fit.slope) + reach


def crossover(ratios: Mapping[int, Triple]) -> tuple[float | None, float | None, float | None]:
    """From where on a ratio of times stays below 1, with the lowest and the highest place that its intervals allow.

    Between two lengths log ratio is taken to be a line over log length. Of each end it is None if it is not within the
    lengths: the ratio is below 1 from the first of them on, or not at the last.

    Args:
        ratios: by length, ascending: a ratio with both ends of its interval.
    """
    value, low, high = (
        _last_crossing(dict(zip(ratios, curve, strict=True))) for curve in zip(*ratios.values(), strict=True)
    )
    return value, low, high


def _last_crossing(curve: Curve) -> float | None:
    points = [(log(at), log(ratio)) for at, ratio in curve.items()]
    above = [place for place, (_, height) in enumerate(points) if height >= 0]
    if not above or above[-1] == len(points) - 1:
        return None
    (x, y), (next_x, next_y) = points[above[-1]], points[above[-1] + 1]
    return exp(x + (next_x - x) * y / (y - next_y))

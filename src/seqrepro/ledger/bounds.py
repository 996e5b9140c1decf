"""The bounds that a claim's test consists of: numbers that must be above 0.

'Better than x' is one bound, the difference; 'within 5 % of x' is two. With m the mean of the model, x that of the
other and c a margin:

- superiority, ordering:  m - x > 0, and its p value, adjusted over the family (Holm), below 0.05
- non-inferiority:        m - (1 - c) x > 0, by the 90 % interval (one-sided 5 %)
- equivalence:            m - (1 - c) x > 0 and (1 + c) x - m > 0, by 90 % intervals (two one-sided tests)
- gain, margin c:         m - x - c > 0, or c - (m - x) > 0, by 95 % intervals; c in units of the metric
- size, printed gain g:   m - (1 + g - d) x > 0 and (1 + g + d) x - m > 0 with d = c |g|, by 95 % intervals
- level, printed value v: m - (1 - c) v > 0 and (1 + c) v - m > 0, by 95 % intervals

The margin of a size is a share of the gain and not of x: with c = 1/2 a gain is reproduced if it lies nearer to the
printed one than to none and to its double. A share below 1 never lets no gain pass, however small the printed one is.
The interval of our gain m / x - 1 is Fieller's: the gains g for which neither m - (1 + g) x > 0 nor its opposite holds
(Fieller, Journal of the Royal Statistical Society B, 1954). So it lies within the margin just if both bounds hold, and
it agrees with the bootstrap of bootstrap.py, which tables of gains use.

A bound holds if its interval lies above 0, fails if it lies below, and is open otherwise: the absence of a difference
is never concluded from the absence of significance. Means are over users and seeds, which are crossed (statistics.py);
two methods are paired by user. Elsewhere a margin is a share of the other's mean, and the bound carries its
uncertainty too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Any

from scipy import stats
from scipy.optimize import brentq

from seqrepro.ledger.parts import Equivalence, Gain, Level, NonInferiority, Ordering, Size, Superiority
from seqrepro.ledger.statistics import Estimate, Part, Sample, degrees_of_freedom, difference, mean

LEVEL, POWER, MOST_SEEDS, MOST_GAIN = 0.05, 0.80, 200, 1000.0
Gains = Callable[[str, str], Sample]  # what each user gained with a model, by a metric


@dataclass(frozen=True)
class Bound:
    """A number that must be above 0, with its interval."""

    text: str
    estimate: Estimate
    needs_p: bool = False
    p: float | None = None  # adjusted, where the test needs it
    number: int = 0  # which of several printed numbers that disagree it is held against

    @property
    def state(self) -> str:
        """holds, fails or open."""
        if self.estimate.high <= 0:
            return "fails"
        significant = not self.needs_p or (self.p is not None and self.p < LEVEL)
        return "holds" if self.estimate.low > 0 and significant else "open"


def detectable(estimate: Estimate) -> float:
    """The smallest true difference that such a test finds with a power of 80 %."""
    critical = stats.t.ppf(1 - LEVEL / 2, estimate.df)
    shift = brentq(lambda shift: stats.nct.sf(critical, estimate.df, shift) - POWER, 0.0, 100.0)
    return float(shift * estimate.standard_error)


def seeds_needed(estimate: Estimate, seeds: int) -> int | None:
    """How many seeds would put the interval above 0 if the value stayed; None if users limit it, or the value is below.

    Args:
        estimate: an open bound, whose variance between seeds is that of the present number.
        seeds: the present number of seeds of each method.
    """
    for number in range(seeds, MOST_SEEDS + 1):
        share = seeds / number
        part = Part(estimate.seeds.variance * share, max(estimate.seeds.df, 1e-9) / max(seeds - 1, 1) * (number - 1))
        df = degrees_of_freedom(estimate.users, part)
        error = sqrt(estimate.users.variance + part.variance)
        if estimate.value > stats.t.ppf(1 - LEVEL / 2, df) * error:
            return number
    return None


def _superiority(part: Superiority, dataset: str, gains: Gains) -> Iterator[Bound]:
    for other in [*part.against, *part.controls]:
        yield _better(gains, part.model, other, part.metric)


def _ordering(part: Ordering, dataset: str, gains: Gains) -> Iterator[Bound]:
    for first, second in pairwise(part.models):
        yield _better(gains, first, second, part.metric)


def _non_inferiority(part: NonInferiority, dataset: str, gains: Gains) -> Iterator[Bound]:
    for other in part.against:
        yield _above(gains, part.model, other, part.metric, 1 - part.margin, 1 - 2 * LEVEL)


def _equivalence(part: Equivalence, dataset: str, gains: Gains) -> Iterator[Bound]:
    for other in part.against:
        yield _above(gains, part.model, other, part.metric, 1 - part.margin, 1 - 2 * LEVEL)
        yield _below(gains, part.model, other, part.metric, 1 + part.margin, 1 - 2 * LEVEL)


def _gain(part: Gain, dataset: str, gains: Gains) -> Iterator[Bound]:
    for other in part.against:
        ours, theirs = gains(part.model, part.metric), gains(other, part.metric)
        text = f"{part.metric} of {part.model} less that of {other}"
        if part.above is not None:
            yield Bound(f"{text} less {part.above:.4g}", difference(_less(ours, part.above), theirs))
        if part.below is not None:
            yield Bound(f"{part.below:.4g} less ({text})", difference(_less(theirs, -part.below), ours))


def of_size(part: Size, metric: str, gain: float, gains: Gains) -> Iterator[Bound]:
    """The bounds of a printed gain (0.03 is 3 %)."""
    ratio, margin = 1 + gain, part.share * abs(gain)
    yield _above(gains, part.model, part.against, metric, ratio - margin, 1 - LEVEL)
    yield _below(gains, part.model, part.against, metric, ratio + margin, 1 - LEVEL)


def of_level(part: Level, metric: str, value: float, gains: Gains) -> Iterator[Bound]:
    """The bounds of a printed value."""
    ours = gains(part.model, metric)
    low, high = value * (1 - part.margin), value * (1 + part.margin)
    yield Bound(f"{metric} less {low:.4g}", mean(Sample(ours.gains_US - low, ours.deterministic)))
    yield Bound(f"{high:.4g} less {metric}", mean(Sample(high - ours.gains_US, ours.deterministic)))


def gain_by_fieller(ours: Sample, theirs: Sample) -> tuple[float, float | None, float | None]:
    """Our gain m / x - 1 with the ends of its 95 % interval; None for an end that is not there.

    An end is missing where m or x cannot be told from 0. Both methods have the same users [U].
    """

    def contrast(gain: float) -> Estimate:
        return difference(ours, _times(theirs, 1 + gain), 1 - LEVEL)

    value = float(ours.gains_US.mean() / theirs.gains_US.mean() - 1)
    return value, _root(lambda gain: contrast(gain).low), _root(lambda gain: contrast(gain).high)


def _root(falling: Callable[[float], float]) -> float | None:
    """Where a function of the gain goes from above 0 to below, from no accuracy at all to MOST_GAIN times as much."""
    return float(brentq(falling, -1.0, MOST_GAIN)) if falling(-1.0) > 0 > falling(MOST_GAIN) else None


BOUNDS: dict[str, Callable[[Any, str, Gains], Iterator[Bound]]] = {
    "superiority": _superiority,
    "ordering": _ordering,
    "non_inferiority": _non_inferiority,
    "equivalence": _equivalence,
    "gain": _gain,
}


def _better(gains: Gains, model: str, other: str, metric: str) -> Bound:
    ours, theirs = gains(model, metric), gains(other, metric)
    return Bound(f"{metric} of {model} less that of {other}", difference(ours, theirs), needs_p=True)


def _above(gains: Gains, model: str, other: str, metric: str, factor: float, confidence: float) -> Bound:
    ours, theirs = gains(model, metric), gains(other, metric)
    text = f"{metric} of {model} less {factor:.4g} times that of {other}"
    return Bound(text, difference(ours, _times(theirs, factor), confidence))


def _below(gains: Gains, model: str, other: str, metric: str, factor: float, confidence: float) -> Bound:
    ours, theirs = gains(model, metric), gains(other, metric)
    text = f"{factor:.4g} times {metric} of {other} less that of {model}"
    return Bound(text, difference(_times(theirs, factor), ours, confidence))


def _times(sample: Sample, factor: float) -> Sample:
    return Sample(factor * sample.gains_US, sample.deterministic)


def _less(sample: Sample, amount: float) -> Sample:
    return Sample(sample.gains_US - amount, sample.deterministic)

"""The bounds that a claim's test consists of: numbers that must be above 0.

'Better than x' is one bound, the difference; 'within 5 % of x' is two. With m the mean of the model, x that of the
other and c a margin:

- superiority, ordering:  m - x > 0, and its p value, adjusted over the family (Holm), below 0.05
- non-inferiority:        m - (1 - c) x > 0, by the 90 % interval (one-sided 5 %)
- equivalence:            m - (1 - c) x > 0 and (1 + c) x - m > 0, by 90 % intervals (two one-sided tests)
- size, printed gain g:   m - (1 + g)(1 - c) x > 0 and (1 + g)(1 + c) x - m > 0, by 95 % intervals
- level, printed value v: m - (1 - c) v > 0 and (1 + c) v - m > 0, by 95 % intervals

A bound holds if its interval lies above 0, fails if it lies below, and is open otherwise: the absence of a difference
is never concluded from the absence of significance. Means are over users and seeds, which are crossed (statistics.py);
two methods are paired by user. A margin is a share of the other's mean, and the bound carries its uncertainty too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Any

from scipy import stats
from scipy.optimize import brentq

from seqrepro.ledger.claims import Equivalence, Level, NonInferiority, Ordering, Size, Superiority
from seqrepro.ledger.statistics import Estimate, Part, Sample, degrees_of_freedom, difference, mean

LEVEL, POWER, MOST_SEEDS = 0.05, 0.80, 200
Gains = Callable[[str, str], Sample]  # what each user gained with a model, by a metric


@dataclass(frozen=True)
class Bound:
    """A number that must be above 0, with its interval."""

    text: str
    estimate: Estimate
    needs_p: bool = False
    p: float | None = None  # adjusted, where the test needs it

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


def _size(part: Size, dataset: str, gains: Gains) -> Iterator[Bound]:
    for gain in (gain for gain in part.gains if gain.dataset == dataset):
        ratio = 1 + gain.value
        yield _above(gains, part.model, part.against, gain.metric, ratio * (1 - part.margin), 1 - LEVEL)
        yield _below(gains, part.model, part.against, gain.metric, ratio * (1 + part.margin), 1 - LEVEL)


def _level(part: Level, dataset: str, gains: Gains) -> Iterator[Bound]:
    for printed in (value for value in part.values if value.dataset == dataset):
        ours = gains(part.model, printed.metric)
        low, high = printed.value * (1 - part.margin), printed.value * (1 + part.margin)
        yield Bound(f"{printed.metric} less {low:.4g}", mean(Sample(ours.gains_US - low, ours.deterministic)))
        yield Bound(f"{high:.4g} less {printed.metric}", mean(Sample(high - ours.gains_US, ours.deterministic)))


BOUNDS: dict[str, Callable[[Any, str, Gains], Iterator[Bound]]] = {
    "superiority": _superiority,
    "ordering": _ordering,
    "non_inferiority": _non_inferiority,
    "equivalence": _equivalence,
    "size": _size,
    "level": _level,
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

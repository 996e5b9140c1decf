"""Intervals and tests for accuracy over users and seeds, which are crossed: every seed ranks for the same users.

The model of one method is a two-way random-effects layout without replication,

    y_us = mean + user_u + seed_s + rest_us,

where `rest` is the interaction (and any error). With the mean squares of the analysis of variance (Searle, Casella &
McCulloch, Variance Components, 1992, ch. 4)

    Var(mean) = var_user / U + var_seed / S + var_rest / (U S)
              = max(0, MS_user - MS_rest) / (U S)  +  MS_seed / (U S).

The second form is the one used here: its first part speaks of the users alone; the second is the spread of the seed
means and carries interaction and seed effect together, so only the user component can go below zero, and there it
is floored. For a difference of two methods the users are paired and the seeds are not: the user part is that of the
per-user difference of seed means, less both interactions; the seed parts of both methods add, with Welch's df.

Degrees of freedom. Satterthwaite's formula, 1/df = sum of share^2 / df over the two parts, covers 92.4 % at S = 3 when
seeds dominate: a small MS_seed gives at once a short interval and many df. We use 1/df = sum of share / df, which is
never larger (share^2 <= share). In simulations with U = 250, S = 3, 5, 10, alone and in pairs, from no seed effect to
nothing but seed effects, a 95 % interval then covers 93.4 to 96.7 % (tests/unit/test_statistics.py repeats it).

Shape suffixes: U users, S seeds, T seeds of another method.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from seqrepro.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One method: what each user gained with each seed."""

    gains_US: Array
    deterministic: bool = False  # a closed form: the seed plays no part, users are the only randomness

    @property
    def knows_seed_variance(self) -> bool:
        """Whether the variance between seeds is known: measured by two or more, or absent."""
        return self.deterministic or self.gains_US.shape[1] > 1


@dataclass(frozen=True)
class Part:
    """A part of the variance of a mean, and the degrees of freedom it was estimated with."""

    variance: float
    df: float


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of means, with its interval and its two-sided p value against zero."""

    value: float
    low: float
    high: float
    standard_error: float
    df: float
    p: float
    covers_seeds: bool  # False: one seed of a random method; the interval speaks of the users alone
    users: Part  # of the variance of the value
    seeds: Part  # of the variance of the value, with the present number of seeds


def mean(sample: Sample, confidence: float = 0.95) -> Estimate:
    """The mean over users and seeds.

    Raises:
        InputError: fewer than two users.
    """
    check_users(sample)
    return _of_user_means(sample.gains_US.mean(axis=1), [sample], confidence)


def difference(first: Sample, second: Sample, confidence: float = 0.95) -> Estimate:
    """Mean of the first method less mean of the second, paired by user and not by seed.

    Args:
        first: gains [U, S].
        second: gains [U, T] of the same users in the same order.
        confidence: of the interval; 0.90 for tests of equivalence at 5 %.

    Raises:
        InputError: different numbers of users, or fewer than two.
    """
    check_users(first, second)
    return _of_user_means(first.gains_US.mean(axis=1) - second.gains_US.mean(axis=1), [first, second], confidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values that keep the family-wise error (Holm, Scandinavian Journal of Statistics, 1979)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def check_users(*samples: Sample) -> None:
    """Whether an interval can be given.

    Raises:
        InputError: different numbers of users, or fewer than two.
    """
    users = [len(sample.gains_US) for sample in samples]
    if users[0] != users[-1]:
        raise InputError(f"paired comparison: {users[0]} users against {users[1]}, expected the same users")
    if users[0] < 2:
        raise InputError(f"an interval needs at least 2 users, found {users[0]}")


def estimate(value: float, total: float, samples: Sequence[Sample], confidence: float) -> Estimate:
    """A value with its interval, from what its users show and from the gains with each seed.

    Args:
        value: to first order a sum or difference of the samples' means, such as a difference, or the logarithm of a
            ratio with each sample in units of its own mean.
        total: the variance of the value over users, who carry their interaction with the seeds too.
        samples: gains [U, S] of each method in it.
        confidence: of the interval.
    """
    users, seeds = _variance_parts(total, samples)
    df, error = degrees_of_freedom(users, seeds), float(np.sqrt(users.variance + seeds.variance))
    reach = float(stats.t.ppf(0.5 + confidence / 2, df)) * error
    known = all(sample.knows_seed_variance for sample in samples)
    return Estimate(value, value - reach, value + reach, error, df, p_value(value, error, df), known, users, seeds)


def degrees_of_freedom(users: Part, seeds: Part) -> float:
    """Of the sum of both parts, by the rule of this module."""
    variance = users.variance + seeds.variance
    return variance / (users.variance / users.df + seeds.variance / seeds.df) if variance > 0 else users.df


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float | None, float | None]:
    """The mean of some values, such as those of seeds, with its interval by Student's t; of one value there is none."""
    n, center = len(values), float(np.mean(values))
    if n < 2:
        return center, None, None
    reach = float(stats.t.ppf(0.5 + confidence / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return center, center - reach, center + reach


def _of_user_means(user_means_U: Array, samples: list[Sample], confidence: float) -> Estimate:
    total = float(user_means_U.var(ddof=1)) / len(user_means_U)
    return estimate(float(user_means_U.mean()), total, samples, confidence)


def _variance_parts(total: float, samples: Sequence[Sample]) -> tuple[Part, Part]:
    seeds, rest = Part(0.0, 1.0), 0.0
    for sample in samples:
        if not sample.deterministic and sample.gains_US.shape[1] > 1:
            seeds = _add(seeds, _seed_part(sample.gains_US))
            rest += _rest_variance(sample.gains_US)
    return Part(max(0.0, total - rest), len(samples[0].gains_US) - 1), seeds


def _seed_part(gains_US: Array) -> Part:
    """MS_seed / (U S): the variance of the mean of the seed means."""
    n_seeds = gains_US.shape[1]
    return Part(float(gains_US.mean(axis=0).var(ddof=1)) / n_seeds, n_seeds - 1)


def _rest_variance(gains_US: Array) -> float:
    """MS_rest / (U S): what the interaction contributes to the variance of the mean."""
    n_users, n_seeds = gains_US.shape
    rest_US: Array = gains_US - gains_US.mean(axis=1, keepdims=True)
    rest_US -= gains_US.mean(axis=0)
    rest_US += gains_US.mean()
    mean_square = float(np.square(rest_US, out=rest_US).sum()) / ((n_users - 1) * (n_seeds - 1))
    return float(mean_square / (n_users * n_seeds))


def _add(first: Part, second: Part) -> Part:
    """Sum of two independent parts (Welch, Biometrika, 1947)."""
    variance = first.variance + second.variance
    if variance == 0:
        return second
    return Part(variance, variance**2 / (first.variance**2 / first.df + second.variance**2 / second.df))


def p_value(value: float, error: float, df: float) -> float:
    """The two-sided p value of a value against zero, by Student's t; without an error it is 0, or 1 at zero."""
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stats.t.sf(abs(value) / error, df))

"""The relative gain m / x - 1 of one method over another, by a Poisson bootstrap over distinct rows of gains.

m and x are means over the same users, who are paired; seeds are crossed with users and not paired (statistics.py).

Rows. A replicate is a function of the means over seeds of each user with each method. Users who have them in common
are one row with a count c, and a replicate draws Poisson(c) for the row: the sum of c draws of Poisson(1), one for each
user (Chamandy, Muralidharan, Najmi & Naidu, Estimating uncertainty for massive data streams, 2012). Seeds are sorted
within a user first, so that their order is of no importance. Gains have few values (a rank within the cutoff, or
none): cost follows the distinct rows, not the users.

Interval. With weights w_k, gains a_k and b_k of the two methods, and R replicates

    L* = log sum w_k a_k - log sum w_k b_k            Var_users = Var(L*) U / (U - 1)

The rest is as for a difference, with gains in units of their own mean, a / m and b / x: to first order the logarithm of
the ratio is the difference of these. So the interaction leaves the users' part, where the replicates carry it, and
stays in the seeds' part; seeds have S - 1 degrees of freedom; the interval is L +- t sqrt(Var), and its exponential
less 1 is that of the gain. It is not symmetric and never below -1.

Monte Carlo error. A variance from R replicates is off by a share of sqrt(2 / R), the reach of the interval by half of
that at most: 1.1 % of the reach, with 4000. Bounds are printed with fewer digits than that.

Shape suffixes: U users, S seeds, K distinct rows, M methods, R replicates.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from seqrepro.errors import InputError
from seqrepro.ledger.statistics import Array, Estimate, Part, Sample, check_users, estimate

REPLICATES = 4000
SEED = 1979  # of the weights, the same for all comparisons: the year of Efron's bootstrap
BLOCK = 2**20  # weights at a time
Counts = NDArray[np.int64]


def relative_gain(first: Sample, second: Sample, confidence: float = 0.95) -> Estimate:
    """Mean of the first method over mean of the second, less 1; paired by user and not by seed.

    Standard error and parts of the variance are those of the value, by the delta method. The interval is that of the
    logarithm, so it is not symmetric, and p is that of a ratio of 1.

    Args:
        first: gains [U, S], none below 0.
        second: gains [U, T] of the same users in the same order, none below 0.
        confidence: of the interval.

    Raises:
        InputError: different numbers of users, or fewer than two; no ratio: a mean is 0, or so few users have a gain
            that a replicate can miss them all. Nothing is ever infinite or not a number.
    """
    check_users(first, second)
    means = [float(sample.gains_US.mean()) for sample in (first, second)]
    _check_ratio(means)
    sums_RM = _sums([first, second])[:, 1:]
    _check_ratio([float(lowest) for lowest in sums_RM.min(axis=0)], "of the users of a bootstrap replicate ")
    shares = [Sample(one.gains_US / own, one.deterministic) for one, own in zip((first, second), means, strict=True)]
    total = _variance(np.log(sums_RM[:, 0] / sums_RM[:, 1]), len(first.gains_US))
    return _exponential(estimate(float(np.log(means[0] / means[1])), total, shares, confidence))


def mean(sample: Sample, confidence: float = 0.95) -> Estimate:
    """The mean over users and seeds: what the closed form of statistics.py gives, by the bootstrap.

    Raises:
        InputError: fewer than two users.
    """
    check_users(sample)
    sums_R2 = _sums([sample])
    total = _variance(sums_R2[:, 1] / sums_R2[:, 0], len(sample.gains_US))
    return estimate(float(sample.gains_US.mean()), total, [sample], confidence)


def difference(first: Sample, second: Sample, confidence: float = 0.95) -> Estimate:
    """Mean of the first method less mean of the second: what the closed form gives, by the bootstrap.

    Raises:
        InputError: different numbers of users, or fewer than two.
    """
    check_users(first, second)
    sums_R3 = _sums([first, second])
    total = _variance((sums_R3[:, 1] - sums_R3[:, 2]) / sums_R3[:, 0], len(first.gains_US))
    return estimate(float(first.gains_US.mean() - second.gains_US.mean()), total, [first, second], confidence)


def distinct(samples: Sequence[Sample]) -> tuple[Counts, Array]:
    """The distinct rows, in ascending order: how many users have each, [K], and their means over seeds, [K, M]."""
    means_UM = np.stack([np.sort(sample.gains_US, axis=1).mean(axis=1) for sample in samples], axis=1)
    codes_U = np.zeros(len(means_UM), np.int64)
    for column_U in means_UM.T:
        values, places_U = np.unique(column_U, return_inverse=True)
        codes_U = codes_U * len(values) + places_U
    _, chosen, counts_K = np.unique(codes_U, return_index=True, return_counts=True)
    return counts_K, means_UM[chosen]


def replicates(counts_K: Counts, gains_KM: Array, number: int) -> Array:
    """The sum of weights and the weighted sums of gains of each replicate, [R, 1 + M]."""
    columns = np.column_stack([np.ones(len(counts_K)), gains_KM])
    return np.concatenate([np.einsum("rk,km->rm", weights, columns) for weights in _weights(counts_K, number)])


def _weights(counts_K: Counts, number: int) -> Iterator[Array]:
    """Blocks of Poisson weights, [replicates of the block, K]; the draws do not depend on the size of a block."""
    generator, step = np.random.default_rng(SEED), max(1, BLOCK // len(counts_K))
    for start in range(0, number, step):
        size = (min(step, number - start), len(counts_K))
        yield generator.poisson(counts_K, size).astype(np.float64)


def _sums(samples: Sequence[Sample]) -> Array:
    return replicates(*distinct(samples), REPLICATES)


def _variance(values_R: Array, n_users: int) -> float:
    """Of a replicate's value over users; weights around the sample's mean lack a share of 1 / U."""
    return float(values_R.var(ddof=1)) * n_users / (n_users - 1)


def _check_ratio(means: list[float], whose: str = "") -> None:
    for place, value in zip(("first", "second"), means, strict=True):
        if value <= 0:
            raise InputError(f"no ratio: the mean {whose}with the {place} method is {value:g}, expected above 0")


def _exponential(log: Estimate) -> Estimate:
    """The estimate of a ratio less 1, from that of its logarithm."""
    gain, low, high = (float(np.expm1(value)) for value in (log.value, log.low, log.high))
    ratio = 1 + gain
    users, seeds = (Part(ratio**2 * part.variance, part.df) for part in (log.users, log.seeds))
    return Estimate(gain, low, high, ratio * log.standard_error, log.df, log.p, log.covers_seeds, users, seeds)

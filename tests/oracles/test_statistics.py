"""The statistics against independent ones: SciPy's tests, an analysis of variance by hand, and Holm's own steps."""

import numpy as np
import pytest
from scipy import stats

from seqrepro.ledger.bootstrap import REPLICATES, relative_gain
from seqrepro.ledger.statistics import Sample, difference, holm, mean


def slow_mean_squares(gains):
    """MS of users, seeds and rest, written as sums over single cells."""
    n_users, n_seeds = gains.shape
    grand = sum(gains[u, s] for u in range(n_users) for s in range(n_seeds)) / (n_users * n_seeds)
    user = [sum(gains[u]) / n_seeds for u in range(n_users)]
    seed = [sum(gains[:, s]) / n_users for s in range(n_seeds)]
    ss_user = n_seeds * sum((value - grand) ** 2 for value in user)
    ss_seed = n_users * sum((value - grand) ** 2 for value in seed)
    ss_all = sum((gains[u, s] - grand) ** 2 for u in range(n_users) for s in range(n_seeds))
    ss_rest = ss_all - ss_user - ss_seed
    return ss_user / (n_users - 1), ss_seed / (n_seeds - 1), ss_rest / ((n_users - 1) * (n_seeds - 1))


def test_variance_of_the_mean_is_that_of_the_analysis_of_variance():
    generator = np.random.default_rng(11)
    gains = generator.normal(size=(40, 1)) + generator.normal(size=(1, 4)) + generator.normal(size=(40, 4))
    ms_user, ms_seed, ms_rest = slow_mean_squares(gains)
    found = mean(Sample(gains))
    assert found.standard_error**2 == pytest.approx((ms_user + ms_seed - ms_rest) / (40 * 4), rel=1e-10)
    var_user, var_seed = (ms_user - ms_rest) / 4, (ms_seed - ms_rest) / 40
    assert found.standard_error**2 == pytest.approx(var_user / 40 + var_seed / 4 + ms_rest / 160, rel=1e-10)


def test_one_seed_is_the_t_test_of_scipy():
    gains = np.random.default_rng(12).normal(0.2, 1, (35, 1))
    expected = stats.ttest_1samp(gains[:, 0], 0)
    interval = expected.confidence_interval(0.95)
    found = mean(Sample(gains, deterministic=True))
    assert (found.p, found.low, found.high) == pytest.approx((expected.pvalue, interval.low, interval.high), rel=1e-10)


def test_difference_of_two_deterministic_methods_is_the_paired_t_test_of_scipy():
    first, second = np.random.default_rng(13).normal(0.2, 1, (2, 35))
    expected = stats.ttest_rel(first, second)
    found = difference(Sample(first[:, None], True), Sample(second[:, None], True))
    assert (found.p, found.df) == pytest.approx((expected.pvalue, expected.df), rel=1e-10)


def test_without_user_spread_a_difference_is_the_welch_test_of_the_seed_means():
    first, second = np.random.default_rng(14).normal(size=(2, 4))
    expected = stats.ttest_ind(first, second[:3], equal_var=False)
    found = difference(Sample(np.tile(first, (20, 1))), Sample(np.tile(second[:3], (20, 1))))
    assert (found.p, found.df) == pytest.approx((expected.pvalue, expected.df), rel=1e-8)


def test_holm_on_an_example_computed_by_hand():
    # sorted .005 .010 .030 .040, times 4 3 2 1: .020 .030 .060 .040; never falling: .020 .030 .060 .060
    assert holm([0.010, 0.040, 0.030, 0.005]) == pytest.approx([0.030, 0.060, 0.060, 0.020])


def test_two_one_sided_tests_are_those_of_scipy():
    """Equivalence by 90 % intervals: a bound lies above 0 exactly where the one-sided test is significant at 5 %."""
    first, second = np.random.default_rng(15).normal((0.105, 0.1), 0.02, (60, 2)).T
    for factor in np.linspace(0.9, 1.1, 21):
        found = difference(Sample(first[:, None], True), Sample(factor * second[:, None], True), 0.90)
        assert (found.low > 0) == (stats.ttest_rel(first, factor * second, alternative="greater").pvalue < 0.05)
        assert (found.high < 0) == (stats.ttest_rel(first, factor * second, alternative="less").pvalue < 0.05)


def test_the_ratio_of_two_deterministic_methods_has_the_standard_error_of_scipys_bootstrap():
    """Both have a Monte Carlo error of 1 / sqrt(2 R), so their ratio has 1 / sqrt(R); four of these."""
    generator = np.random.default_rng(16)
    shared = generator.random(1500)
    first, second = ((generator.random(1500) < rate * shared).astype(float) for rate in (0.36, 0.3))
    resampled = stats.bootstrap(
        (first, second),
        lambda a, b, axis: np.log(a.mean(axis) / b.mean(axis)),
        paired=True,
        n_resamples=REPLICATES,
        batch=100,
        method="basic",
        rng=generator,
    )
    found = relative_gain(Sample(first[:, None], True), Sample(second[:, None], True))
    assert found.standard_error / (1 + found.value) == pytest.approx(
        resampled.standard_error, rel=4 / np.sqrt(REPLICATES)
    )


def test_without_user_spread_a_ratio_is_the_welch_test_of_the_seed_means_in_their_own_units():
    first, second = np.random.default_rng(17).normal(0.1, 0.01, size=(2, 4))
    second = second[:3]
    units = [(float(np.log(own.mean())), own.std(ddof=1) / own.mean(), len(own)) for own in (first, second)]
    expected = stats.ttest_ind_from_stats(*units[0], *units[1], equal_var=False)
    found = relative_gain(Sample(np.tile(first, (20, 1))), Sample(np.tile(second, (20, 1))))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-8)

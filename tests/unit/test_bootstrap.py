"""The bootstrap: agreement with closed forms, merged rows, Monte Carlo error, coverage, and refusals.

A variance from R replicates has a relative standard error of sqrt(2 / R), a standard error half of that. Tolerances are
four times these and nothing else, but for Fieller's bounds, which differ from ours in the second order of the reach.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from seqrepro.errors import InputError
from seqrepro.ledger import bootstrap, statistics
from seqrepro.ledger.bootstrap import REPLICATES, distinct, relative_gain, replicates
from seqrepro.ledger.statistics import Sample, difference

SIGMAS = 4
OF_VARIANCE, OF_REACH = SIGMAS * np.sqrt(2 / REPLICATES), SIGMAS * np.sqrt(0.5 / REPLICATES)
REGIMES = {  # relative standard deviations of what users have of their own with a method, and of seeds
    "no seed effect": (0.8, 0.0),
    "small seed effect": (0.8, 0.03),
    "large seed effect": (0.8, 0.1),
    "mostly seed effects": (0.1, 0.15),
}


def hits(generator, n_users, seeds, mean, own, spread, shared_U):
    """Hit rates whose expectation is `mean`: users, seeds and chance (the interaction) have their part."""
    taste_U = shared_U * generator.gamma(1 / own**2, own**2, n_users)
    effect_S = 1 + spread * np.clip(generator.standard_normal(seeds), -4, 4)
    return Sample((generator.random((n_users, seeds)) < mean * taste_U[:, None] * effect_S).astype(float))


def pair(generator, n_users, seeds, regime, ratio=1.25):
    shared_U = generator.uniform(0.2, 1.8, n_users)
    return [hits(generator, n_users, seeds, mean, *REGIMES[regime], shared_U) for mean in (0.1 * ratio, 0.1)]


def in_units(sample):
    return Sample(sample.gains_US / sample.gains_US.mean(), sample.deterministic)


def fieller(first, second, confidence=0.95):
    """The ratios r at which the interval of m - r x ends at 0 (Fieller 1954), less 1, with our variance."""
    middle = first.gains_US.mean() / second.gains_US.mean()

    def end(name):
        return lambda r: getattr(difference(first, Sample(r * second.gains_US, second.deterministic), confidence), name)

    return brentq(end("low"), middle / 3, middle) - 1, brentq(end("high"), middle, 3 * middle) - 1


@pytest.fixture(scope="module", params=[1, 5], ids=["closed forms", "5 seeds"])
def large(request):
    """NDCG@10 of two methods for 20,000 users."""
    generator = np.random.default_rng(7)
    ease_U = generator.normal(0, 1.5, (20_000, 1))
    made = []
    for skill in (0.2, 0.0):
        own_U = generator.normal(0, 0.5, ease_U.shape)
        noise_US = generator.normal(0, 0.5, (20_000, request.param)) + generator.normal(0, 0.02, request.param)
        ranks_US = np.ceil(np.exp(4 - skill + ease_U + own_U + noise_US))
        made.append(Sample(np.where(ranks_US <= 10, 1 / np.log2(ranks_US + 1), 0.0), request.param == 1))
    return made


def agree(ours, closed, total):
    """Whether all that replicates bear on agrees up to their Monte Carlo error, and the rest exactly."""
    assert abs(ours.users.variance - closed.users.variance) < OF_VARIANCE * total
    assert (ours.value, ours.seeds.variance) == pytest.approx((closed.value, closed.seeds.variance), rel=1e-12)
    reach = closed.high - closed.value
    assert (ours.low, ours.high) == pytest.approx((closed.low, closed.high), abs=OF_REACH * reach)


def test_means_and_differences_are_those_of_the_closed_form(large):
    for sample in large:
        agree(bootstrap.mean(sample), statistics.mean(sample), sample.gains_US.mean(axis=1).var() / 20_000)
    total = (large[0].gains_US.mean(axis=1) - large[1].gains_US.mean(axis=1)).var() / 20_000
    agree(bootstrap.difference(*large), difference(*large), total)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_ratio_is_that_of_the_delta_method_on_its_logarithm(large, confidence):
    closed = difference(*map(in_units, large), confidence)  # its value is 0: the gains are in units of their own mean
    found = relative_gain(*large, confidence)
    middle = np.log1p(found.value)
    assert found.value == pytest.approx(large[0].gains_US.mean() / large[1].gains_US.mean() - 1, rel=1e-12)
    assert np.log1p(found.high) - middle == pytest.approx(closed.high, rel=OF_REACH)
    assert middle - np.log1p(found.low) == pytest.approx(closed.high, rel=OF_REACH)
    assert found.standard_error == pytest.approx((1 + found.value) * closed.standard_error, rel=OF_REACH)
    assert found.seeds.variance == pytest.approx((1 + found.value) ** 2 * closed.seeds.variance, rel=1e-9)


def test_a_ratio_has_the_bounds_of_fieller(large):
    found, (low, high) = relative_gain(*large), fieller(*large)
    reach = (np.log1p(found.high) - np.log1p(found.low)) / 2
    tolerance = (1 + found.value) * (OF_REACH * reach + reach**2)
    assert (found.low, found.high) == pytest.approx((low, high), abs=tolerance)


def test_so_many_replicates_are_enough(monkeypatch):
    """Other weights move a bound by 1.1 % of the reach (one standard error), as theory has it."""
    samples = [Sample(one.gains_US[:, :1], True) for one in pair(np.random.default_rng(3), 2000, 1, "no seed effect")]
    bounds = []
    for seed in range(100):
        monkeypatch.setattr(bootstrap, "SEED", seed)
        found = relative_gain(*samples)
        bounds.append((np.log1p(found.low), np.log1p(found.high)))
    low, high = np.transpose(bounds)
    moved = np.std(high, ddof=1) / np.mean((high - low) / 2)
    assert moved == pytest.approx(np.sqrt(0.5 / REPLICATES), rel=SIGMAS * np.sqrt(0.5 / 100))
    assert moved < 0.015


GAINS = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@st.composite
def few_values(draw):
    users, shapes = draw(st.integers(2, 30)), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return [
        Sample(np.array(draw(st.lists(GAINS, min_size=users * s, max_size=users * s))).reshape(-1, s)) for s in shapes
    ]


@given(few_values())
@settings(max_examples=60, deadline=None)
def test_merged_rows_have_the_moments_of_their_users(samples):
    """A sum of c Poisson(1) is Poisson(c); the n-th cumulants of the sums are sums of n-fold products of gains."""
    counts_K, gains_KM = distinct(samples)
    means_UM = np.stack([sample.gains_US.mean(axis=1) for sample in samples], axis=1)
    assert counts_K.sum() == len(means_UM)
    assert len(gains_KM) == len(np.unique(means_UM.round(9), axis=0))
    for powers in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (2, 1), (1, 2)):
        merged = counts_K @ np.prod(gains_KM**powers, axis=1)
        assert merged == pytest.approx(np.prod(means_UM**powers, axis=1).sum(), abs=1e-9)


@given(few_values(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_users_and_of_seeds_is_of_no_importance(samples, random):
    users = random.sample(range(len(samples[0].gains_US)), len(samples[0].gains_US))
    turned = [Sample(sample.gains_US[users][:, ::-1]) for sample in samples]
    for straight, other in zip(distinct(samples), distinct(turned), strict=True):
        assert np.array_equal(straight, other)


def test_merged_and_unmerged_users_give_the_same_distribution():
    samples = pair(np.random.default_rng(5), 400, 3, "large seed effect")
    counts_K, gains_KM = distinct(samples)
    assert len(counts_K) <= 16
    unmerged = replicates(np.ones(400, np.int64), np.repeat(gains_KM, counts_K, axis=0), REPLICATES)
    merged = replicates(counts_K, gains_KM, REPLICATES)
    logs = [np.log(sums[:, 1] / sums[:, 2]) for sums in (merged, unmerged)]
    for one, other in [*zip(merged.T, unmerged.T, strict=True), logs]:
        assert one.mean() == pytest.approx(other.mean(), abs=SIGMAS * np.sqrt(2 / REPLICATES) * other.std())
        assert one.var() == pytest.approx(other.var(), rel=np.sqrt(2) * OF_VARIANCE)


def test_the_size_of_a_block_is_of_no_importance(monkeypatch):
    samples = pair(np.random.default_rng(5), 100, 3, "no seed effect")
    whole = replicates(*distinct(samples), 200)
    monkeypatch.setattr(bootstrap, "BLOCK", 50)
    assert np.array_equal(replicates(*distinct(samples), 200), whole)


def test_seeds_alone_have_welch_on_the_logarithm_and_users_no_part():
    first, second = (Sample(np.tile(row, (50, 1))) for row in ([0.10, 0.12, 0.11], [0.08, 0.10, 0.09]))
    found = relative_gain(first, second)
    assert found.users.variance < 1e-25
    assert found.df == pytest.approx(difference(in_units(first), in_units(second)).df, rel=1e-9)


def test_one_seed_of_a_random_method_does_not_cover_seeds():
    first, second = pair(np.random.default_rng(1), 300, 3, "no seed effect")
    assert relative_gain(first, second).covers_seeds
    assert not relative_gain(first, Sample(second.gains_US[:, :1])).covers_seeds


def test_equal_methods_have_no_gain():
    first, _ = pair(np.random.default_rng(1), 300, 1, "no seed effect")
    same = Sample(first.gains_US, True)
    found = relative_gain(same, same)
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def few(number):
    return Sample((np.arange(100) < number)[:, None] * 1.0, True)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (few(0), few(50), "no ratio: the mean with the first method is 0, expected above 0"),
        (few(50), few(0), "no ratio: the mean with the second method is 0, expected above 0"),
        (few(50), few(2), "no ratio: the mean of the users of a bootstrap replicate with the second method is 0"),
        (few(50), Sample(np.ones((99, 1))), "100 users against 99"),
        (Sample(np.ones((1, 1))), Sample(np.ones((1, 1))), "at least 2 users"),
    ],
)
def test_refusals(first, second, message):
    with pytest.raises(InputError, match=message):
        relative_gain(first, second)


def coverage(regime, seeds, repetitions):
    """How often the interval of a ratio contains it."""
    generator = np.random.default_rng([20240912, seeds, list(REGIMES).index(regime)])
    found = [relative_gain(*pair(generator, 1000, seeds, regime)) for _ in range(repetitions)]
    return np.mean([one.low <= 0.25 <= one.high for one in found])


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_covers_the_ratio_as_often_as_it_says(seeds, monkeypatch):
    monkeypatch.setattr(bootstrap, "REPLICATES", 200)  # moves a bound by 5 % of its reach, the coverage by some 0.1 %
    assert 0.93 <= coverage("mostly seed effects", seeds, 1000) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_covers_the_ratio_in_all_regimes(regime, seeds):
    assert 0.93 <= coverage(regime, seeds, 2000) <= 0.97

"""Intervals for crossed users and seeds: coverage by simulation, special cases, and refusals."""

import numpy as np
import pytest
from scipy import stats

from seqrepro.errors import InputError
from seqrepro.ledger.statistics import Array, Sample, difference, holm, mean, t_interval

REPLICATIONS = 1000
SETTINGS = {  # standard deviations of user, seed and rest
    "no seed effect": (1.0, 0.0, 1.0),
    "small seed effect": (1.0, 0.05, 1.0),
    "seeds dominate": (1.0, 0.3, 1.0),
    "interaction dominates": (0.05, 0.05, 1.0),
}


def draw(generator: np.random.Generator, n_seeds: int, spread: tuple[float, float, float], users_U: Array) -> Array:
    _, seed, rest = spread
    n_users = len(users_U)
    seed_effect = seed * generator.standard_normal(n_seeds)
    return users_U[:, None] + seed_effect + rest * generator.standard_normal((n_users, n_seeds))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_interval_of_a_mean_covers_the_truth_as_often_as_it_says(setting, n_seeds):
    generator = np.random.default_rng(20240912)
    spread, hits = SETTINGS[setting], 0
    for _ in range(REPLICATIONS):
        users_U = spread[0] * generator.standard_normal(120)
        found = mean(Sample(draw(generator, n_seeds, spread, users_U)))
        hits += found.low <= 0 <= found.high
    assert 0.93 <= hits / REPLICATIONS <= 0.97


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("n_seeds", [(3, 3), (5, 5), (10, 10)])
def test_interval_of_a_difference_covers_the_truth_as_often_as_it_says(setting, n_seeds):
    generator = np.random.default_rng(20240912)
    spread, hits = SETTINGS[setting], 0
    for _ in range(REPLICATIONS):
        common_U = generator.standard_normal(120)  # easy and hard users: shared by both methods, gone in the difference
        own_U = spread[0] * generator.standard_normal(120)
        first = Sample(draw(generator, n_seeds[0], spread, common_U + own_U))
        second = Sample(draw(generator, n_seeds[1], spread, common_U))
        found = difference(first, second)
        hits += found.low <= 0 <= found.high
    assert 0.93 <= hits / REPLICATIONS <= 0.97


def test_a_deterministic_method_has_users_as_its_only_randomness():
    gains = np.random.default_rng(1).random((50, 1))
    found = mean(Sample(gains, deterministic=True))
    assert found.covers_seeds
    assert found.df == 49
    assert found.standard_error == pytest.approx(gains.std(ddof=1) / np.sqrt(50))


def test_one_seed_of_a_random_method_says_that_its_interval_does_not_cover_seeds():
    gains = np.random.default_rng(1).random((50, 3))
    assert not mean(Sample(gains[:, :1])).covers_seeds
    assert mean(Sample(gains)).covers_seeds
    assert not difference(Sample(gains), Sample(gains[:, :1])).covers_seeds
    assert difference(Sample(gains), Sample(gains[:, :1], deterministic=True)).covers_seeds


def test_pairing_by_user_removes_what_the_users_share():
    generator = np.random.default_rng(3)
    hard_or_easy = 10 * generator.standard_normal((200, 1))
    first = Sample(hard_or_easy + 0.1 * generator.standard_normal((200, 3)))
    second = Sample(hard_or_easy + 0.1 * generator.standard_normal((200, 3)))
    assert difference(first, second).standard_error < 0.1 * mean(first).standard_error


def test_order_of_seeds_is_of_no_importance():
    generator = np.random.default_rng(4)
    first, second = generator.random((40, 4)), generator.random((40, 4))
    straight = difference(Sample(first), Sample(second))
    reversed_ = difference(Sample(first), Sample(second[:, ::-1]))
    assert straight.low == pytest.approx(reversed_.low, abs=1e-12)
    assert straight.p == pytest.approx(reversed_.p, abs=1e-12)


def test_equal_methods_have_no_difference_and_p_one():
    gains = np.random.default_rng(5).random((30, 1))
    found = difference(Sample(gains, True), Sample(gains, True))
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_constant_difference_without_any_spread_has_p_zero():
    gains = np.ones((30, 1))
    assert difference(Sample(gains, True), Sample(gains * 0, True)).p == 0.0


def test_the_interval_of_a_few_values_is_students():
    values = [0.1, 0.25, 0.2]
    expected = stats.t.interval(0.9, 2, loc=np.mean(values), scale=stats.sem(values))
    assert t_interval(values, 0.9) == pytest.approx((np.mean(values), *expected))
    assert t_interval([2.0]) == (2.0, None, None)


def test_interval_ends_at_zero_when_p_is_the_level():
    gains = np.random.default_rng(6).normal(0.05, 1, (80, 3))
    p = mean(Sample(gains)).p
    at_the_level = mean(Sample(gains), confidence=1 - p)
    assert min(abs(at_the_level.low), abs(at_the_level.high)) == pytest.approx(0, abs=1e-9)


def test_holm_keeps_the_order_and_stops_at_one():
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean(Sample(np.zeros((1, 3)))), "at least 2 users"),
        (lambda: difference(Sample(np.zeros((4, 3))), Sample(np.zeros((5, 3)))), "4 users against 5"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()

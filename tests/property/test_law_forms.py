"""Forms of a metric of depth and width: each recovers itself, and what changes nothing in the points changes no fit."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seqrepro.laws.forms import forms, parameters, skewed
from seqrepro.laws.panels import Panel
from seqrepro.laws.performance_law import Parameters
from seqrepro.laws.scores import carry_forward, held_out

FORMS = forms([2, 8])
N_BLOCKS, D_EMB = np.repeat([4.0, 8, 12, 16, 24, 32], 4), np.tile([25.0, 50, 75, 100], 6)
LOG_N, LOG_D = np.log(N_BLOCKS), np.log(D_EMB)
FEW = settings(max_examples=12, deadline=None)
weights = st.floats(0.01, 0.2) | st.floats(-0.2, -0.01)
exponents = st.floats(0.05, 3)
noise = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(0, 0.003, 24))
names = st.sampled_from([name for name in FORMS if name != "v6"])


def recovered(name, values):
    curve = FORMS[name].fit(N_BLOCKS, D_EMB, values)
    np.testing.assert_allclose(curve.predict(N_BLOCKS, D_EMB), values, atol=3e-6 * np.ptp(values))


@FEW
@given(weights, weights, exponents, exponents)
def test_the_power_law_recovers_itself(a, b, alpha, beta):
    recovered("power", 0.3 - a * (N_BLOCKS / 4) ** -alpha - b * (D_EMB / 25) ** -beta)


@FEW
@given(weights, exponents)
def test_the_law_of_the_size_recovers_itself(a, alpha):
    sizes = parameters(N_BLOCKS, D_EMB)
    recovered("size", 0.3 - a * (sizes / sizes.min()) ** -alpha)


@FEW
@given(weights, weights, st.floats(0, 0.5))
def test_the_discounted_law_recovers_itself(a, b, discount):
    recovered("llm", 0.3 + a * LOG_N + b * LOG_D - discount * (N_BLOCKS / D_EMB) ** 2)


@FEW
@given(weights, weights, st.floats(-2, 2), st.floats(-2, 2))
def test_the_skewed_form_recovers_itself(a, b, first, second):
    assume(min(abs(first), abs(second)) > 0.05)
    recovered("linex", 0.3 + a * skewed(LOG_N - 2.7, first) + b * skewed(LOG_D - 4, second) + 0.01 * LOG_N)


@FEW
@given(weights, weights, weights, weights)
def test_the_quadratic_recovers_itself_in_three_forms(a, b, c, d):
    values = 0.3 + a * LOG_N + b * LOG_D + c * LOG_N**2 + d * LOG_D**2
    recovered("quadratic", values)
    recovered("additive", values)


@FEW
@given(weights, weights, st.floats(6, 40), st.floats(35, 90), st.sampled_from([2, 8]))
def test_the_law_recovers_itself_with_its_p1(a, b, n_star, d_star, pf1):
    w3, w4 = (np.log(1 / pf1) / np.log(size) for size in (n_star, d_star))
    recovered("law", Parameters(a, b, w3, w4, 1 / pf1, 0.3).predict(N_BLOCKS, D_EMB))


@FEW
@given(names, noise, st.permutations(range(24)))
def test_the_order_of_points_is_of_no_importance(name, errors, order):
    values = 0.3 - 0.01 * (LOG_N - 2.7) ** 2 - 0.02 * (LOG_D - 4) ** 2 + errors
    plain = FORMS[name].fit(N_BLOCKS, D_EMB, values).predict(N_BLOCKS, D_EMB)
    mixed = FORMS[name].fit(N_BLOCKS[order], D_EMB[order], values[order]).predict(N_BLOCKS, D_EMB)
    np.testing.assert_allclose(mixed, plain, atol=1e-7)


@FEW
@given(names, noise, st.floats(0.5, 20), st.floats(-3, 3))
def test_units_of_the_metric_are_of_no_importance(name, errors, scale, shift):
    values = 0.3 - 0.01 * (LOG_N - 2.7) ** 2 - 0.02 * (LOG_D - 4) ** 2 + errors
    plain = FORMS[name].fit(N_BLOCKS, D_EMB, values).predict(N_BLOCKS, D_EMB)
    other = FORMS[name].fit(N_BLOCKS, D_EMB, scale * values + shift).predict(N_BLOCKS, D_EMB)
    np.testing.assert_allclose((other - shift) / scale, plain, atol=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4))
def test_carry_forward_is_exact_where_depth_is_of_no_importance(by_width):
    values = np.tile(by_width, 6)
    panel = Panel("own", "hstu", "toy", 50, "all", "ndcg@10", N_BLOCKS, D_EMB, values)
    row = held_out(panel, carry_forward)
    assert row["largest_n_mae"] == 0
    assert row["largest_d_mae"] == pytest.approx(abs(by_width[3] - by_width[2]))

"""What several seeds say of a panel: noise between seeds, whether shapes differ, whether a form lacks fit."""

import numpy as np
import pytest
from scipy import stats

from seqrepro.laws.forms import forms
from seqrepro.laws.panels import Panel
from seqrepro.laws.replicates import f_test, mean_square, replicate_rows

DEPTHS, WIDTHS = (size.ravel() for size in np.meshgrid([1.0, 2, 4, 8], [16.0, 32, 64, 128]))
FORMS = forms([1, 2, 4])


def panel(by_seed):
    return Panel("own", "sasrec", "made", 50, "all", "ndcg@10", DEPTHS, WIDTHS, by_seed.mean(axis=0), by_seed)


def one_row(by_seed):
    (row,) = replicate_rows([panel(by_seed)], FORMS)
    return row


def noise(stream, seeds=3, spread=1):
    """Each seed at a level of its own, and each run with noise."""
    return stream.normal(0, 0.1, (seeds, 1)) + spread * stream.normal(0, 0.01, (seeds, len(DEPTHS)))


def test_the_squares_are_those_of_a_regression_on_seeds_and_points():
    values = noise(np.random.default_rng(1)) + 0.02 * np.log(DEPTHS)
    seeds, points = values.shape
    place = np.arange(values.size)
    design = np.stack([place // points == s for s in range(seeds)] + [place % points == p for p in range(points)], 1)
    left = []
    for part in (design.astype(float), design[:, :seeds].astype(float)):
        found = np.linalg.lstsq(part, values.ravel(), rcond=None)[0]
        left.append(((values.ravel() - part @ found) ** 2).sum())
    error = left[0] / ((seeds - 1) * (points - 1))
    assert mean_square(values) == pytest.approx(error, rel=1e-10)
    expected = (left[1] - left[0]) / (points - 1) / error
    means = values.mean(axis=0)
    found, p = f_test(means - means.mean(), 1, values, mean_square(values))
    assert found == pytest.approx(expected, rel=1e-10)
    assert p == pytest.approx(stats.f.sf(expected, points - 1, (seeds - 1) * (points - 1)), rel=1e-10)


def test_where_nothing_differs_p_values_are_uniform():
    stream = np.random.default_rng(7)
    rows = [one_row(noise(stream)) for _ in range(200)]
    for name in ("shape_p", "log_linear_lack_of_fit_p"):
        found = [row[name] for row in rows]
        assert stats.kstest(found, "uniform").pvalue > 0.001, name


def test_a_form_that_is_true_does_not_lack_fit_and_a_false_one_does():
    stream = np.random.default_rng(3)
    hill = -0.02 * (np.log(WIDTHS) - np.log(45)) ** 2
    rows = [one_row(noise(stream) + hill) for _ in range(60)]
    assert all(row["shape_p"] < 0.05 and row["log_linear_lack_of_fit_p"] < 0.05 for row in rows)
    assert np.mean([row["quadratic_lack_of_fit_p"] < 0.05 for row in rows]) < 0.2
    truth, attainable = np.var(hill), np.mean([row["attainable_r2"] for row in rows])
    assert attainable == pytest.approx(truth / (truth + 0.01**2 / 3), abs=0.02)


def test_one_seed_and_seeds_that_differ_by_a_level_have_no_row():
    assert list(replicate_rows([panel(noise(np.random.default_rng(1), seeds=1))], FORMS)) == []
    same = np.tile(0.1 + 0.01 * np.log(DEPTHS), (3, 1)) + np.array([[0.0], [0.1], [0.3]])
    assert list(replicate_rows([panel(same)], FORMS)) == []


def test_a_form_with_as_many_numbers_as_points_has_no_p_value():
    values = noise(np.random.default_rng(1))
    assert f_test(np.zeros(values.shape[1]), values.shape[1], values, 1.0) == (0.0, None)


def test_noise_that_differs_between_points_is_told():
    stream = np.random.default_rng(5)
    even = [one_row(noise(stream))["equal_noise_p"] for _ in range(100)]
    uneven = one_row(noise(stream, spread=np.where(WIDTHS == 16, 10, 1)))
    assert np.mean(np.array(even) < 0.05) < 0.15
    assert uneven["equal_noise_p"] < 1e-3

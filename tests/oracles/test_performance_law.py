"""The fit of the Performance Law against synthetic truth, scipy's curve_fit and plain least squares."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit, minimize
from scipy.stats import linregress

from seqrepro.laws.constrained import Cost, best_shape
from seqrepro.laws.data_factor import table_3, table_rows
from seqrepro.laws.forms import additive, linex, log_linear, power, quadratic, skewed
from seqrepro.laws.numbers import read_numbers
from seqrepro.laws.panels import read_points
from seqrepro.laws.performance_law import Parameters, fit
from seqrepro.laws.scores import in_sample

REGISTRY = Path(__file__).parents[2] / "registry" / "papers" / "performance_law"
POINTS = REGISTRY / "published_points.csv"
N_BLOCKS = np.repeat([4.0, 8, 12, 16, 24, 32], 4)
D_EMB = np.tile([25.0, 50, 75, 100], 6)


def law(sizes: Any, *free: float) -> Any:
    """Eq. 8 as it is written, with powers."""
    w1, w2, w3, w4, constant, p1 = free
    n, d = sizes
    return w1 * (np.log(n**w3) + p1 / n**w3) + w2 * (np.log(d**w4) + p1 / d**w4) + constant


@pytest.mark.parametrize("p1", [0.5, 0.25, 1 / 14])
@pytest.mark.parametrize("optimum", [(14.0, 60.0), (25.0, 45.0), (9.0, 90.0)])
def test_synthetic_truth_is_recovered(p1: Any, optimum: Any) -> None:
    w3, w4 = (np.log(p1) / np.log(size) for size in optimum)
    values = law((N_BLOCKS, D_EMB), -0.05, -0.1, w3, w4, 0.4, p1)
    ours = fit(N_BLOCKS, D_EMB, values, p1)
    assert ours.r2 == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(ours.parameters.predict(N_BLOCKS, D_EMB), values, atol=1e-6)
    assert (ours.parameters.best_n_blocks, ours.parameters.best_d_emb) == pytest.approx(optimum, rel=1e-3)
    assert (ours.parameters.w1, ours.parameters.w2) == pytest.approx((-0.05, -0.1), rel=1e-2)


def test_monotone_truth_is_recovered() -> None:
    values = law((N_BLOCKS, D_EMB), -0.05, 0.1, -0.25, 0.3, 0.1, 0.5)
    ours = fit(N_BLOCKS, D_EMB, values, 0.5)
    assert ours.r2 == pytest.approx(1, abs=1e-9) and ours.parameters.best_d_emb is None


def test_unbalanced_points_are_recovered() -> None:
    keep = np.random.default_rng(3).random(24) < 0.75
    values = law((N_BLOCKS, D_EMB), -0.05, -0.1, -0.25, -0.17, 0.4, 0.5)[keep]
    assert fit(N_BLOCKS[keep], D_EMB[keep], values, 0.5).r2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("key", "p1"),
    [(("ml-1m", 200, "hr@10"), 0.25), (("ml-1m", 150, "ndcg@10"), 1 / 16), (("industrial", 25, "hr@10"), 0.5)],
)
def test_curve_fit_finds_nothing_better(key: Any, p1: Any) -> None:
    panel = next(panel for panel in read_points(POINTS) if panel.key == key)
    n_blocks, d_emb, values = panel.n_blocks, panel.d_emb, panel.values
    ours = fit(n_blocks, d_emb, values, p1)
    attained = []
    for w3, w4 in [(1, 1), (-0.3, -0.3), (-1, -0.6), (-0.15, -0.1), (0.3, -0.5)]:
        start = [-0.1, -0.1, w3, w4, values.mean()]
        fitted, _ = curve_fit(
            lambda sizes, *free: law(sizes, *free, p1), (n_blocks, d_emb), values, start, maxfev=50_000
        )
        errors = values - law((n_blocks, d_emb), *fitted, p1)
        attained.append(1 - (errors**2).sum() / ((values - values.mean()) ** 2).sum())
    assert max(attained) == pytest.approx(ours.r2, abs=1e-7)


def test_no_additive_law_passes_the_main_effects_ceiling() -> None:
    for panel in read_points(POINTS):
        n_blocks, d_emb, values = panel.n_blocks, panel.d_emb, panel.values
        depth = {size: values[n_blocks == size].mean() for size in set(n_blocks)}
        width = {size: values[d_emb == size].mean() for size in set(d_emb)}
        effects = np.array([depth[n] + width[d] - values.mean() for n, d in zip(n_blocks, d_emb, strict=True)])
        ceiling = 1 - ((values - effects) ** 2).sum() / ((values - values.mean()) ** 2).sum()
        ours = fit(n_blocks, d_emb, values, 0.5)
        lowest, rival, highest = (
            in_sample(panel, form(n_blocks, d_emb, values))["r2"] for form in (log_linear, quadratic, additive)
        )
        assert highest == pytest.approx(ceiling, abs=1e-12)
        assert lowest < ours.r2 <= ours.supremum_r2 <= ceiling + 1e-12
        assert rival <= ceiling + 1e-12


def test_baselines_equal_normal_equations() -> None:
    for panel in read_points(POINTS):
        n_blocks, d_emb, values = panel.n_blocks, panel.d_emb, panel.values
        u, v = np.log(n_blocks) - np.log(n_blocks).mean(), np.log(d_emb) - np.log(d_emb).mean()
        for form, columns in [
            (log_linear, [np.ones_like(u), u, v]),
            (quadratic, [np.ones_like(u), u, v, u * u, v * v]),
        ]:
            design = np.stack(columns, axis=1)
            solved = np.linalg.solve(design.T @ design, design.T @ values)
            ours = form(n_blocks, d_emb, values).predict(n_blocks, d_emb)
            np.testing.assert_allclose(ours, design @ solved, atol=1e-12)


def power_law(sizes: Any, *free: float) -> Any:
    offset, a, b, alpha, beta = free
    return offset - a * sizes[0] ** -alpha - b * sizes[1] ** -beta


def skewed_law(sizes: Any, *free: float) -> Any:
    top, a, b, p, q, first, second = free
    t, u = np.log(sizes[0]) - 2.5, np.log(sizes[1]) - 4
    return top + a * t + b * u + p * skewed(t, first) + q * skewed(u, second)


@pytest.mark.parametrize("key", [("ml-1m", 150, "hr@10"), ("kuairand-pure", 25, "hr@10"), ("industrial", 25, "hr@10")])
def test_curve_fit_finds_no_better_power_law(key: Any) -> None:
    panel = next(panel for panel in read_points(POINTS) if panel.key == key)
    sizes, ours = (panel.n_blocks, panel.d_emb), power(panel.n_blocks, panel.d_emb, panel.values)
    bounds = ([-np.inf] * 3 + [0.01] * 2, [np.inf] * 3 + [8.0] * 2)
    attained = [
        squares(panel.values, power_law(sizes, *curve_fit(power_law, sizes, panel.values, start, bounds=bounds)[0]))
        for alpha in (0.3, 1, 3)
        for beta in (0.3, 1, 3)
        for start in [[panel.values.max(), 0.1, 0.1, alpha, beta]]
    ]
    assert min(attained) == pytest.approx(squares(panel.values, ours.predict(*sizes)), rel=1e-5)


@pytest.mark.parametrize("key", [("ml-1m", 100, "hr@10"), ("ml-1m", 200, "ndcg@10"), ("kuairand-pure", 25, "ndcg@10")])
def test_curve_fit_finds_no_better_skewed_form(key: Any) -> None:
    panel = next(panel for panel in read_points(POINTS) if panel.key == key)
    sizes, ours = (panel.n_blocks, panel.d_emb), linex(panel.n_blocks, panel.d_emb, panel.values)
    bounds = ([-np.inf] * 5 + [-27.0] * 2, [np.inf] * 5 + [27.0] * 2)
    attained = [
        squares(panel.values, skewed_law(sizes, *curve_fit(skewed_law, sizes, panel.values, start, bounds=bounds)[0]))
        for first in (-3, -0.5, 0.5, 3)
        for second in (-3, -0.5, 0.5, 3)
        for start in [[panel.values.max(), 0.0, 0.0, -0.01, -0.01, first, second]]
    ]
    assert min(attained) == pytest.approx(squares(panel.values, ours.predict(*sizes)), rel=1e-4)


def squares(values: Any, predictions: Any) -> float:
    return float(((values - predictions) ** 2).sum())


@pytest.mark.parametrize(
    "cost", [Cost("line", 0, 0, 1), Cost("parameters", 5, 3706, 0), Cost("operations", 30, 0, 600)]
)
def test_a_search_of_both_sizes_finds_the_same_shape(cost: Cost) -> None:
    law_of_both = Parameters(-0.05, -0.1, np.log(0.5) / np.log(14), np.log(0.5) / np.log(60), 0.5, 0.4)
    budget = cost.of(11, 50)
    result = minimize(
        lambda logs: -100 * float(law_of_both.predict(*np.exp(logs))),
        np.log([11, 50]),
        method="SLSQP",
        constraints={"type": "eq", "fun": lambda logs: np.log(cost.of(*np.exp(logs)) / budget)},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert result.success
    assert best_shape(law_of_both, cost, budget) == pytest.approx(np.exp(result.x), rel=1e-3)


def test_regressions_equal_linregress() -> None:
    numbers = read_numbers(REGISTRY / "published.csv")
    table = table_3(numbers)
    clusters = np.array(table.dataset)
    for row in (row for row in table_rows(numbers) if row["fit"] == "table"):
        x, y = 1 / table.measures()[row["measure"]], table.inverse_d[row["metric"]]
        line = linregress(x, y)
        assert (row["slope"], row["intercept"]) == pytest.approx((line.slope, line.intercept), rel=1e-6, abs=1e-8)
        assert row["r2"] == pytest.approx(line.rvalue**2, abs=1e-8)
        errors = []
        for name in set(table.dataset):
            rest = linregress(x[clusters != name], y[clusters != name])
            errors += list(np.abs(y[clusters == name] - rest.intercept - rest.slope * x[clusters == name]))
        assert row["held_out_error"] == pytest.approx(np.mean(errors), abs=1e-8)

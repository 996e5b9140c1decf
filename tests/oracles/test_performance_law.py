"""The fit of the Performance Law against synthetic truth, scipy's curve_fit and plain least squares."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit

from seqrepro.laws.forms import additive, log_linear, quadratic
from seqrepro.laws.panels import read_points
from seqrepro.laws.performance_law import fit
from seqrepro.laws.scores import in_sample

POINTS = Path(__file__).parents[2] / "registry" / "papers" / "performance_law" / "published_points.csv"
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

"""The Performance Law: its shape, its refusals, and its fit to published points."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqrepro.errors import InputError
from seqrepro.laws.panels import Panel, read_points
from seqrepro.laws.performance_law import Parameters, fit, term

REGISTRY = Path(__file__).parents[2] / "registry" / "papers" / "performance_law"
POINTS = REGISTRY / "published_points.csv"
N_BLOCKS = np.repeat([4.0, 8, 12, 16, 24, 32], 4)
D_EMB = np.tile([25.0, 50, 75, 100], 6)
VALUES = 0.3 - 0.01 * (np.log(N_BLOCKS) - 2.7) ** 2 - 0.02 * (np.log(D_EMB) - 4) ** 2

# R2 of the best fit with p1 = 0.5, and the depth and width of its maximum (None: monotone).
HALF = {
    ("ml-1m", 100, "hr@10"): (0.8949, 14.3, 64.2),
    ("ml-1m", 150, "hr@10"): (0.9158, 14.3, 82.8),
    ("ml-1m", 200, "hr@10"): (0.8933, 17.8, 51.7),
    ("kuairand-pure", 25, "hr@10"): (0.7874, 23.3, 79.5),
    ("kuairand-pure", 50, "hr@10"): (0.9397, 18.4, 58.2),
    ("kuairand-pure", 100, "hr@10"): (0.6279, 16.0, 46.0),
    ("amazon-books", 25, "hr@10"): (0.9238, 13.3, None),
    ("amazon-books", 50, "hr@10"): (0.8377, 20.3, None),
    ("industrial", 25, "hr@10"): (0.9811, 85.4, 615.3),
    ("industrial", 50, "hr@10"): (0.9746, 121.8, 391.9),
    ("kuairand-pure", 100, "ndcg@10"): (0.6370, None, None),
    ("amazon-books", 25, "ndcg@10"): (0.9349, None, None),
    ("amazon-books", 50, "ndcg@10"): (0.8669, None, None),
    ("industrial", 25, "ndcg@10"): (0.9701, None, None),
    ("industrial", 50, "ndcg@10"): (0.9639, None, None),
}


def published_panel(key: Any) -> Panel:
    return next(panel for panel in read_points(POINTS) if panel.key == key)


def test_term_is_equation_8() -> None:
    assert term(np.array([math.log(5.0)]), 0.7, 0.5) == pytest.approx(math.log(5**0.7) + 0.5 / 5**0.7, rel=1e-14)


def test_parameters_predict_the_sum_of_the_terms() -> None:
    law = Parameters(w1=-0.2, w2=0.1, w3=-0.3, w4=0.4, p1=0.25, constant=0.5)
    depth = -0.2 * (math.log(8**-0.3) + 0.25 / 8**-0.3)
    width = 0.1 * (math.log(50**0.4) + 0.25 / 50**0.4)
    assert law.predict(np.array([8.0]), np.array([50.0])) == pytest.approx(depth + width + 0.5, rel=1e-13)


def test_maximum_is_where_the_power_equals_p1() -> None:
    law = Parameters(w1=-0.2, w2=-0.1, w3=-0.25, w4=-0.2, p1=0.5, constant=0.0)
    assert law.best_n_blocks == pytest.approx(2**4) and law.best_d_emb == pytest.approx(2**5)
    around = np.array([15.9, 16.0, 16.1])
    assert np.argmax(law.predict(around, np.full(3, 32.0))) == 1


def test_reversed_signs_have_no_maximum() -> None:
    law = Parameters(w1=0.2, w2=-0.1, w3=0.25, w4=0.2, p1=0.5, constant=0.0)
    assert law.best_n_blocks is None and law.best_d_emb is None


@pytest.mark.parametrize("key", HALF)
def test_fits_with_half(key: Any) -> None:
    panel = published_panel(key)
    ours = fit(panel.n_blocks, panel.d_emb, panel.values, 0.5)
    r2, best_n_blocks, best_d_emb = HALF[key]
    assert ours.r2 == pytest.approx(r2, abs=5e-5) and not ours.diverged
    if best_n_blocks is not None:
        assert ours.parameters.best_n_blocks == pytest.approx(best_n_blocks, abs=0.06)
    if best_d_emb is not None:
        assert ours.parameters.best_d_emb == pytest.approx(best_d_emb, abs=0.06)
    if key[0] == "amazon-books" and key[2] == "hr@10":
        assert ours.parameters.best_d_emb is None


def test_runaway_optimum_is_told_apart() -> None:
    panel = published_panel(("kuairand-pure", 100, "hr@10"))
    ours = fit(panel.n_blocks, panel.d_emb, panel.values, 0.5)
    assert not ours.diverged and ours.supremum_r2 - ours.r2 > 0.02


def test_step_data_are_not_explained_by_finite_exponents() -> None:
    ours = fit(N_BLOCKS, D_EMB, 0.3 - 0.05 * (D_EMB == 100) - 0.05 * (N_BLOCKS == 32), 0.5)
    assert ours.supremum_r2 == pytest.approx(1, abs=1e-5) and ours.r2 < 0.9


def test_fit_is_deterministic() -> None:
    assert fit(N_BLOCKS, D_EMB, VALUES, 0.5) == fit(N_BLOCKS, D_EMB, VALUES, 0.5)


def test_errors_are_those_of_the_predictions() -> None:
    ours = fit(N_BLOCKS, D_EMB, VALUES, 0.5)
    errors = VALUES - ours.parameters.predict(N_BLOCKS, D_EMB)
    assert ours.mae == pytest.approx(np.abs(errors).mean()) and ours.rmse == pytest.approx((errors**2).mean() ** 0.5)
    assert ours.r2 == pytest.approx(1 - (errors**2).sum() / VALUES.var() / len(VALUES), rel=1e-12)


@pytest.mark.parametrize(
    ("n_blocks", "d_emb", "values", "p1", "words"),
    [
        (N_BLOCKS[:-1], D_EMB, VALUES, 0.5, "23 depths"),
        (N_BLOCKS, D_EMB, VALUES, 0.0, "p1"),
        (N_BLOCKS, D_EMB, np.where(D_EMB == 25, np.nan, VALUES), 0.5, "finite"),
        (N_BLOCKS, -D_EMB, VALUES, 0.5, "d_emb"),
        (np.where(N_BLOCKS > 10, 4.0, N_BLOCKS), D_EMB, VALUES, 0.5, "n_blocks: 2 levels"),
        (N_BLOCKS, D_EMB, np.full(24, 0.3), 0.5, "variation"),
    ],
)
def test_fit_refuses(n_blocks: Any, d_emb: Any, values: Any, p1: Any, words: Any) -> None:
    with pytest.raises(InputError, match=words):
        fit(n_blocks, d_emb, values, p1)

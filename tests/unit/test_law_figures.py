"""What was fitted, point by point, and the figures of laws that are made from it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from seqrepro.laws import fitted
from seqrepro.laws.forms import forms
from seqrepro.laws.optimum import interval
from seqrepro.laws.panels import Panel
from seqrepro.laws.performance_law import Parameters, best_of, fits
from seqrepro.laws.scores import scores
from seqrepro.laws.tables import write_table
from seqrepro.report.laws import figures

GRID = [1, 2, 4]
TRUE = Parameters(w1=-0.02, w2=-0.05, w3=-0.4, w4=-0.2, p1=0.5, constant=0.3)  # N* = 5.66, d* = 32
SIZES = np.meshgrid([1.0, 2, 4, 8], [8.0, 16, 32, 64])
N, D = (axis.ravel() for axis in SIZES)


def panel(dataset="ml-100k", points="published", noise=0.0):
    values = TRUE.predict(N, D) + noise * np.random.default_rng(1).normal(size=len(N))
    return Panel(points, "sasrec", dataset, 50, "all", "ndcg@10", N, D, values)


def law(one):
    return best_of(fits(one.n_blocks, one.d_emb, one.values, [1 / pf1 for pf1 in GRID]))


@pytest.fixture(scope="module")
def laws(tmp_path_factory):
    """The tables of two published panels, one without a maximum, and one of our own."""
    folder, every = tmp_path_factory.mktemp("laws"), forms(GRID)
    rising = Panel("published", "sasrec", "books", 50, "all", "ndcg@10", N, D, 0.1 + 0.01 * np.log(N * D))
    panels = [panel(noise=1e-4), rising, panel("toys", "own")]
    rows = {
        "coefficients": [fitted.coefficient_row(one, law(one)) for one in panels],
        "fitted": [row for one in panels for row in fitted.fitted_rows(one, law(one), every)],
        "optima": [one.name | interval(one, GRID, 10, 1) for one in panels],
        "forms": [one.name | scores(one, every) for one in panels[:2]],
    }
    for name, own in rows.items():
        write_table(folder, name, own)
    return folder


def test_coefficients_are_those_of_the_law_behind_the_points():
    found = fitted.coefficient_row(panel(), law(panel()))
    for name in fitted.WEIGHTS:
        assert found[name] == pytest.approx(getattr(TRUE, name), rel=1e-3), name
    assert found["r2"] == pytest.approx(1)


def test_each_point_has_its_value_and_that_of_every_form():
    rows = list(fitted.fitted_rows(panel(), law(panel()), forms(GRID)))
    assert [(row["n_blocks"], row["d_emb"]) for row in rows] == list(zip(N, D, strict=True))
    assert [row["law"] for row in rows] == pytest.approx([row["value"] for row in rows], abs=1e-7)
    straight = np.linalg.lstsq(np.column_stack([np.ones_like(N), np.log(N), np.log(D)]), panel().values, rcond=None)[0]
    expected = straight @ np.array([np.ones_like(N), np.log(N), np.log(D)])
    assert [row["log_linear"] for row in rows] == pytest.approx(expected.tolist(), abs=1e-8)


def test_published_points_and_our_own_have_figures_of_their_own(laws, tmp_path):
    drawn = {figure.name: figure for figure in figures(tmp_path, laws)}
    assert list(drawn) == [
        *("law-surface-published-ndcg-at-10", "law-residuals-published-ndcg-at-10"),
        *("law-surface-own-ndcg-at-10", "law-residuals-own-ndcg-at-10"),
        "law-held-out",
    ]
    for figure in drawn.values():
        assert all(Path(file).stat().st_size for file in figure.files)
    assert ["panels: 2" in figure.alt for figure in drawn.values()] == [True, True, False, False, False]
    beside = pq.read_table(tmp_path / "law-surface-published-ndcg-at-10.parquet").to_pylist()
    assert {row["dataset"] for row in beside} == {"ml-100k", "books"}


def test_the_same_tables_give_the_same_bytes(laws, tmp_path):
    first, second = (figures(tmp_path / name, laws) for name in ("one", "two"))
    for one, other in zip(first, second, strict=True):
        assert [file.read_bytes() for file in one.files] == [file.read_bytes() for file in other.files]


def test_without_a_refit_there_is_no_figure(tmp_path):
    assert figures(tmp_path, None) == []
    assert figures(tmp_path, tmp_path) == []

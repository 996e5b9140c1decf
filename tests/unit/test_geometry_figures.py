"""Figures and table of the loss surface: what is read, one scale for all models, data beside each."""

from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from scipy import stats

from made_surface import BEST, EPOCHS, PROBES, SIDES, write_sharpness, write_surface
from seqrepro.report import curvature, geometry, planes
from seqrepro.report.drawing import layout
from seqrepro.report.probed import chosen, read_probe


@pytest.fixture
def runs(tmp_path):
    """A sharp model with two seeds, a flat one with one, and one without probes."""
    found = []
    for name, curved, seeds in (("sharp", 8.0, [1, 2]), ("flat", 1.0, [1]), ("none", 0.0, [])):
        folder = tmp_path / name
        probes = list(PROBES) if seeds else []
        found.append({"title": name.title(), "folder": str(folder), "seeds": [1, 2], "probes": probes})
        for seed in seeds:
            write_surface(folder / f"seed-{seed}", curved + seed / 10)
    return found


def measurements(runs, probe="curved"):
    return read_probe(runs, probe, "measurements.parquet")


def landscapes(runs):
    return read_probe(runs, "around", "landscape.parquet")


READ = {
    geometry.eigenvalues: measurements,
    geometry.density: lambda runs: read_probe(runs, "curved", "density.parquet"),
    geometry.slices: landscapes,
    geometry.trajectories: lambda runs: measurements(runs, "along"),
    planes.contours: landscapes,
    planes.surfaces: landscapes,
}
SIZES = {"eigenvalues": 12, "spectrum": 6, "lines": 30, "trajectory": 9, "contours": 50, "surface": 50}


def test_each_value_is_read_with_its_run(runs):
    rows = measurements(runs)
    assert {(row["title"], row["seed"]) for row in rows} == {("Sharp", 1), ("Sharp", 2), ("Flat", 1)}
    largest = {(row["title"], row["seed"]): row["value"] for row in rows if row["measure"] == "lambda_max"}
    assert largest == {("Sharp", 1): 8.1, ("Sharp", 2): 8.2, ("Flat", 1): 1.1}
    assert len(landscapes(runs)) == 3 * (25 + 10)
    assert read_probe(runs, None, "landscape.parquet") == []


def test_one_probe_of_a_kind_is_shown_for_all_models(runs):
    """The one that most of the runs have; a trajectory writes a file of the same name and is another kind."""
    cheap = {"cheap": "sharpness", **PROBES}
    assert chosen(runs, cheap, "sharpness", "measurements.parquet") == "curved"
    write_sharpness(Path(runs[1]["folder"]) / "seed-1/probes/cheap", 1.0)
    assert chosen(runs, cheap, "sharpness", "measurements.parquet") == "curved"
    assert chosen(runs[1:], cheap, "sharpness", "measurements.parquet") == "cheap"
    assert chosen(runs, cheap, "trajectory", "measurements.parquet") == "along"
    assert chosen(runs[2:], cheap, "sharpness", "measurements.parquet") is None
    assert chosen(runs, {}, "sharpness", "measurements.parquet") is None


@pytest.mark.parametrize("function", READ, ids=lambda function: function.__name__)
def test_each_figure_stands_beside_its_rows(runs, tmp_path, function):
    (drawn,) = function(tmp_path / "figures", "toys", "Toys", READ[function](runs))
    size = SIZES[drawn.name.removesuffix("-toys")]
    data = [path for path in drawn.files if path.suffix in (".parquet", ".csv")]
    assert [path.suffix for path in drawn.files[:2]] == [".svg", ".png"] and data[0].suffix == ".parquet"
    assert all(path.stat().st_size for path in drawn.files)
    assert len(pq.read_table(data[0])) == size
    assert all(pa_csv.read_csv(path).num_rows == size for path in data[1:])
    assert [path.suffix for path in drawn.shown] == [".svg", ".png", data[-1].suffix]
    assert drawn.svg.startswith("<svg") and "Toys" in drawn.alt and "2 models" in drawn.alt
    assert function(tmp_path / "figures", "toys", "Toys", []) == []


def test_lines_of_the_trajectory_have_a_column_a_measure(runs, tmp_path):
    (drawn,) = geometry.trajectories(tmp_path, "toys", "Toys", measurements(runs, "along"))
    rows = pq.read_table(drawn.files[2]).to_pylist()
    first = [row for row in rows if (row["title"], row["seed"]) == ("Sharp", 2)]
    assert [row["epoch"] for row in first] == [*EPOCHS]
    assert [row["is_best"] for row in first] == [epoch == BEST for epoch in EPOCHS]
    assert [row["lambda_max"] for row in first] == [8.2, 8.2 / 5, 8.2 / 10]


def test_the_planes_of_all_models_have_one_scale_and_one_bar(runs):
    shown = planes._shown(landscapes(runs))
    assert [{row["seed"] for row in own} for own in shown] == [{1}, {1}]
    figure = Figure()
    planes._paint_contours(shown, (1, 2), figure)
    first, second, bar = figure.axes
    (filled,), (other,) = first.collections, second.collections
    assert list(filled.levels) == list(other.levels)
    assert filled.norm.vmin == other.norm.vmin == 0.5 and filled.norm.vmax == other.norm.vmax == 0.5 + 8.1
    assert bar.get_xlabel() == "training loss"
    figure = Figure()
    planes._paint_surfaces(shown, (1, 2), figure)
    assert [axes.get_zlim() for axes in figure.axes[:2]] == [(0.5, 8.6)] * 2 and len(figure.axes) == 3


def test_a_place_without_a_model_stays_empty(runs):
    shown = planes._shown(landscapes(runs)) * 3
    figure = Figure()
    planes._paint_contours(shown[:5], layout(5, 4), figure)
    assert len(figure.axes) == 5 + 1
    assert [layout(count, 4) for count in (1, 4, 5, 7, 9)] == [(1, 1), (1, 4), (2, 3), (2, 4), (3, 3)]


def test_levels_enclose_every_loss():
    levels, _ = planes._scale([0.5, 1.0, 8.6])
    assert levels[0] < 0.5 and levels[-1] > 8.6
    assert list(levels) == sorted(set(levels))
    level, _ = planes._scale([2.0, 2.0])
    assert level[0] < 2 < level[-1]


def test_a_plane_is_read_in_any_order(runs):
    rows = [row for row in landscapes(runs) if row["kind"] == "surface" and row["title"] == "Flat"]
    x, y, loss = planes._grid(rows[::-1])
    assert x[0].tolist() == SIDES and y[:, 0].tolist() == SIDES
    assert loss[0, 4] == pytest.approx(0.5 + 1.1)
    assert loss[2, 2] == 0.5


@pytest.mark.parametrize(("side", "kept"), [(51, 26), (26, 26), (27, 14), (5, 5), (2, 2), (53, 14)])
def test_a_surface_has_few_facets_and_keeps_its_ends(side, kept):
    places = np.linspace(-1, 1, side).tolist()
    rows = planes._thinned([{"x": x, "y": y, "loss": 1.0} for y in places for x in places])
    assert len(rows) == kept**2
    assert {row["x"] for row in rows} >= {-1.0, 1.0} and {row["y"] for row in rows} >= {-1.0, 1.0}


# --- the table


@pytest.fixture
def table(runs, tmp_path):
    return curvature.write(tmp_path / "figures", "toys", runs, "curved", measurements(runs))


def test_means_have_t_intervals_and_stand_with_their_errors(runs, table):
    assert [Path(folder).name for folder in table.models] == ["sharp", "flat"]
    largest = table.models[runs[0]["folder"]]["all"]["lambda_max"]
    low, high = stats.t.interval(0.95, 1, loc=8.15, scale=stats.sem([8.1, 8.2]))
    assert (largest["mean"], largest["low"], largest["high"]) == pytest.approx((8.15, low, high))
    assert largest["largest_residual"] == pytest.approx(8.2e-4) and largest["largest_error"] is None
    trace = table.models[runs[0]["folder"]]["all"]["trace"]
    assert trace["largest_error"] == pytest.approx(24.6) and trace["largest_residual"] is None
    part = table.models[runs[0]["folder"]]["norms"]
    assert part["lambda_max"]["mean"] == pytest.approx(8.15 / 2) and part["lambda_max"]["largest_residual"] == 2e-5
    assert part["trace"]["largest_error"] == 0.25
    assert set(table.models[runs[0]["folder"]]["all"]) == set(curvature.MEASURES)
    assert table.parts == ["items", "norms"]


def test_one_seed_has_no_interval_and_what_lacks_is_said(runs, table):
    row = table.models[runs[1]["folder"]]["all"]["loss"]
    assert (row["mean"], row["low"], row["high"]) == (0.5, None, None)
    assert (row["seeds"], row["missing_seeds"]) == (1, "2")


def test_who_was_not_asked_is_left_out_and_who_lacks_it_is_not_run(runs, tmp_path):
    runs[2]["probes"] = ["curved"]
    table = curvature.write(tmp_path, "toys", runs, "curved", measurements(runs))
    row = table.models[runs[2]["folder"]]["all"]["lambda_max"]
    assert (row["mean"], row["seeds"], row["missing_seeds"]) == (None, 0, "1 2")
    assert curvature.write(tmp_path, "toys", runs, None, []) is None


def test_the_table_stands_in_files(table):
    parquet, text = table.files
    assert [parquet.name, text.name] == ["curvature-toys.parquet", "curvature-toys.csv"]
    assert pq.read_table(parquet).schema == curvature.SCHEMA
    assert pa_csv.read_csv(text).num_rows == len(pq.read_table(parquet)) == 2 * (len(curvature.MEASURES) + 2 * 2)


PRINTED = {
    None: "",
    0.0: "0.000",
    0.5: "0.5000",
    12345.678: "12,346",
    -0.0123456: "-0.01235",
    9.8765: "9.877",
    1e-5: "1.0e-05",
    123456789.0: "1.2e+08",
}


@pytest.mark.parametrize(("value", "text"), PRINTED.items())
def test_numbers_have_four_digits(value, text):
    assert curvature.printed(value) == text

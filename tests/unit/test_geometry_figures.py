"""Figures of the loss surface: what is read, one scale for all models, data beside each."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqrepro.files import write_parquet
from seqrepro.probes.landscape import SCHEMA
from seqrepro.probes.sharpness import DENSITY, MEASUREMENTS
from seqrepro.report import geometry

SIDES = [-1.0, -0.5, 0.0, 0.5, 1.0]


@pytest.fixture
def runs(tmp_path):
    """A sharp model with two seeds, a flat one with one, and one without probes."""
    found = []
    for name, curvature, seeds in (("sharp", 8.0, [1, 2]), ("flat", 1.0, [1]), ("none", 0.0, [])):
        folder = tmp_path / name
        found.append({"title": name.title(), "folder": str(folder), "seeds": [1, 2]})
        for seed in seeds:
            write(folder / f"seed-{seed}/probes", curvature + seed / 10)
    return found


def write(folder, curvature):
    values = [("lambda_max", None, curvature), ("loss", None, 0.5)]
    values += [("eigenvalue", at, curvature / at) for at in (1.0, 2.0)]
    values += [("smallest_eigenvalue", at, -0.1 / at) for at in (1.0, 2.0)]
    losses = [("surface", x, y, 0.5 + curvature * (x * x + y * y) / 2) for y in SIDES for x in SIDES]
    losses += [(kind, x, None, 0.5 + curvature * x * x) for kind in ("random", "eigenvector_1") for x in SIDES]
    density = [(x, 1e-3 + (x == 0)) for x in (-0.5, 0.0, curvature)]
    for name, rows, schema in (
        ("another/measurements", [("ratio", None, 2.0)], MEASUREMENTS),  # of a probe of another kind
        ("curved/measurements", values, MEASUREMENTS),
        ("curved/density", density, DENSITY),
        ("around/landscape", losses, SCHEMA),
    ):
        write_parquet(folder / f"{name}.parquet", pa.table([*map(list, zip(*rows, strict=True))], schema=schema))


def test_each_value_is_read_with_its_run(runs):
    rows = geometry.read_sharpness(runs)
    assert len(rows) == 3 * 6
    assert {(row["title"], row["seed"]) for row in rows} == {("Sharp", 1), ("Sharp", 2), ("Flat", 1)}
    assert len(geometry.read_densities(runs)) == 3 * 3
    assert len(geometry.read_landscapes(runs)) == 3 * (25 + 10)
    assert geometry.read_landscapes([]) == []


@pytest.mark.parametrize(
    ("function", "read", "names", "size"),
    [
        (geometry.eigenvalues, geometry.read_sharpness, ["eigenvalues-toys"], 12),
        (geometry.density, geometry.read_densities, ["spectrum-toys"], 9),
        (geometry.slices, geometry.read_landscapes, ["slice-toys-random", "slice-toys-eigenvector-1"], 15),
        (geometry.contours, geometry.read_landscapes, ["contours-toys-sharp", "contours-toys-flat"], 25),
        (geometry.surfaces, geometry.read_landscapes, ["surface-toys-sharp", "surface-toys-flat"], 25),
    ],
)
def test_each_figure_stands_beside_its_rows(runs, tmp_path, function, read, names, size):
    drawn = function(tmp_path / "figures", "toys", "Toys", read(runs))
    assert [one.name for one in drawn] == names
    for one in drawn:
        assert [path.suffix for path in one.files] == [".svg", ".png", ".parquet", ".csv"]
        assert all(path.stat().st_size for path in one.files)
        assert len(pq.read_table(one.files[2])) == size
        assert one.svg.startswith("<svg") and "Toys" in one.alt
    assert function(tmp_path / "figures", "toys", "Toys", []) == []


def test_the_planes_of_all_models_have_one_scale(runs, tmp_path, monkeypatch):
    scales = []
    known = geometry._scale
    monkeypatch.setattr(geometry, "_scale", lambda low, high: scales.append((low, high)) or known(low, high))
    rows = geometry.read_landscapes(runs)
    geometry.contours(tmp_path, "toys", "Toys", rows)
    geometry.surfaces(tmp_path, "toys", "Toys", rows)
    assert scales == [(0.5, 0.5 + 8.1)] * 4  # of the sharp one


def test_levels_enclose_every_loss():
    levels, _ = geometry._scale(0.5, 8.6)
    assert levels[0] < 0.5 and levels[-1] > 8.6
    assert list(levels) == sorted(set(levels))
    level, _ = geometry._scale(2.0, 2.0)
    assert level[0] < 2 < level[-1]


def test_a_plane_is_read_in_any_order(runs):
    rows = [row for row in geometry.read_landscapes(runs) if row["kind"] == "surface" and row["title"] == "Flat"]
    x, y, loss = geometry._grid(rows[::-1])
    assert x[0].tolist() == SIDES and y[:, 0].tolist() == SIDES
    assert loss[0, 4] == pytest.approx(0.5 + 1.1)
    assert loss[2, 2] == 0.5

"""Figures of the loss surface: eigenvalues, spectral density, lines and planes through the solutions.

All models of a dataset have one scale, so that flat can be told from sharp. Lines and bars show every seed; planes show
the first seed that there is.
"""

import math
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqrepro.files import Json
from seqrepro.ledger.evidence import Row, seed_folder
from seqrepro.report.drawing import PAPER, SOFT, Drawn, color_of, draw

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
OWN = (("title", TEXT), ("folder", TEXT), ("seed", WHOLE))
EIGENVALUES = pa.schema([*OWN, ("measure", TEXT), ("at", REAL), ("value", REAL)])
DENSITIES = pa.schema([*OWN, ("eigenvalue", REAL), ("density", REAL)])
LANDSCAPES = pa.schema([*OWN, ("kind", TEXT), ("x", REAL), ("y", REAL), ("loss", REAL)])
LINES = {  # of the landscape: title, meaning of x
    "random": ("Along a random direction", "step, in norms of the network's own rows"),
    "eigenvector_1": ("Along the sharpest direction", "distance"),
    "eigenvector_2": ("Along the second sharpest direction", "distance"),
    "line": ("From each solution to the other", "0: its own weights, 1: the other's"),
}
BARS = ("eigenvalue", "smallest_eigenvalue")
LEVELS, FLOOR = 16, 1e-7  # of contours; of the density, as a share of its peak


def read_sharpness(runs: list[Json]) -> list[Row]:
    """One row a (configuration, seed, measure, at) of the probe sharpness."""
    return _read(runs, "measurements.parquet", beside="density.parquet")  # other probes have one too


def read_densities(runs: list[Json]) -> list[Row]:
    """One row a (configuration, seed, eigenvalue) of the spectral density."""
    return _read(runs, "density.parquet")


def read_landscapes(runs: list[Json]) -> list[Row]:
    """One row a (configuration, seed, kind, x, y) of the probe landscape."""
    return _read(runs, "landscape.parquet")


def eigenvalues(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """Bars: the largest and the smallest eigenvalues of the Hessian, a dot a seed. Rows: `read_sharpness`."""
    rows = [row for row in rows if row["measure"] in BARS]
    if not rows:
        return []
    words = {
        "alt": f"Largest and smallest eigenvalues of the Hessian of {len(_models(rows))} models on {title}",
        "caption": "The largest eigenvalues of the Hessian of the training loss (bars up) and the smallest (bars down) "
        "where training ended. A bar is the mean of the seeds, a dot a seed.",
    }
    return [draw(folder / f"eigenvalues-{dataset}", rows, EIGENVALUES, partial(_paint_bars, rows), 3.6, **words)]


def density(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """The spectral density of the Hessian, a line a seed, a colour a model. Rows: `read_densities`."""
    if not rows:
        return []
    words = {
        "alt": f"Spectral density of the Hessian of {len(_models(rows))} models on {title}",
        "caption": "Spectral density of the Hessian of the training loss, smoothed, on a logarithmic scale; one line a "
        "seed. Most eigenvalues are close to 0.",
    }
    return [draw(folder / f"spectrum-{dataset}", rows, DENSITIES, partial(_paint_density, rows), 3.6, **words)]


def slices(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """The loss on lines through the solutions, a figure a kind of line. Rows: `read_landscapes`."""
    drawn = []
    for kind, (name, _) in LINES.items():
        if own := [row for row in rows if row["kind"] == kind]:
            words = {
                "alt": f"{name}: training loss of {len(_models(own))} models on {title}",
                "caption": f"{name}: the training loss around the solutions, one line a seed.",
            }
            stem = folder / f"slice-{dataset}-{kind.replace('_', '-')}"
            drawn.append(draw(stem, own, LANDSCAPES, partial(_paint_slice, own, kind, _models(rows)), 3.4, **words))
    return drawn


def contours(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """Contours of the loss on a plane of two random directions, a figure a model. Rows: `read_landscapes`."""
    return _planes(folder, dataset, title, rows, "contours", _paint_contours)


def surfaces(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """The same plane as a surface in space, a figure a model. Rows: `read_landscapes`."""
    return _planes(folder, dataset, title, rows, "surface", _paint_surface)


def _planes(folder: Path, dataset: str, title: str, rows: list[Row], name: str, paint: Any) -> list[Drawn]:
    rows = [row for row in rows if row["kind"] == "surface"]
    shown = [first for model in _models(rows) if (first := _first_seed(rows, model))]
    losses = [row["loss"] for own in shown for row in own]
    drawn = []
    for own in shown:
        model, seed = own[0]["title"], own[0]["seed"]
        words = {
            "alt": f"Training loss of {model} around its solution on {title}, {name}",
            "caption": f"{model}: training loss on the plane of two random directions, normalised by filter (seed "
            f"{seed}). All models have the same directions, levels and colours; the steps between levels grow.",
        }
        stem = folder / f"{name}-{dataset}-{Path(own[0]['folder']).name}"
        drawn.append(draw(stem, own, LANDSCAPES, partial(paint, own, min(losses), max(losses)), 3.8, **words))
    return drawn


def _paint_bars(rows: list[Row], axes: Axes) -> None:
    models = _models(rows)
    width = 0.8 / len(models)
    for index, model in enumerate(models):
        own = [row for row in rows if row["folder"] == model]
        for measure in BARS:
            for at in sorted({row["at"] for row in own}):
                values = [row["value"] for row in own if (row["measure"], row["at"]) == (measure, at)]
                place = at - 0.4 + width * (index + 0.5)
                axes.bar(place, sum(values) / len(values), width * 0.9, color=color_of(index), alpha=0.55)
                axes.plot(
                    [place] * len(values), values, "o", color=color_of(index), markersize=4, markeredgecolor=PAPER
                )
        axes.bar(0, 0, color=color_of(index), label=own[0]["title"])
    places = sorted({int(row["at"]) for row in rows})
    axes.set_xticks(places, [str(place) for place in places])
    axes.set_xlim(0.4, places[-1] + 0.6)
    axes.axhline(0, color=SOFT, linewidth=1)
    axes.grid(axis="y")
    axes.set_xlabel("place, from each end of the spectrum")
    axes.set_title("Eigenvalues of the Hessian")
    _legend(axes)


def _paint_density(rows: list[Row], axes: Axes) -> None:
    for index, line in _lines(rows, _models(rows)):
        axes.plot([row["eigenvalue"] for row in line], [row["density"] for row in line], **_look(index, line))
    peak = max(row["density"] for row in rows)
    axes.set_yscale("log")
    axes.set_ylim(FLOOR * peak, 3 * peak)
    axes.grid(axis="y")
    axes.set_xlabel("eigenvalue")
    axes.set_title("Spectral density of the Hessian")
    _legend(axes)


def _paint_slice(rows: list[Row], kind: str, models: list[str], axes: Axes) -> None:
    for index, line in _lines(rows, models):
        axes.plot([row["x"] for row in line], [row["loss"] for row in line], **_look(index, line))
    axes.axvline(0, color=SOFT, linewidth=1, zorder=0)
    axes.set_xlim(min(row["x"] for row in rows), max(row["x"] for row in rows))
    axes.grid(axis="y")
    axes.set_xlabel(LINES[kind][1])
    axes.set_ylabel("training loss")
    axes.set_title(LINES[kind][0])
    _legend(axes)


def _paint_contours(rows: list[Row], low: float, high: float, axes: Axes) -> None:
    x, y, loss = _grid(rows)
    levels, norm = _scale(low, high)
    axes.contourf(x, y, loss, levels, cmap="cividis", norm=norm)
    lines = axes.contour(x, y, loss, levels, colors=PAPER, linewidths=0.6)
    axes.clabel(lines, levels[1::3], fontsize=7, fmt="%.2g")
    axes.plot(0, 0, "+", color=PAPER, markersize=9, markeredgewidth=1.6)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_aspect("equal")
    axes.set_xlabel("first direction")
    axes.set_ylabel("second direction")
    axes.set_title(rows[0]["title"])


def _paint_surface(rows: list[Row], low: float, high: float, axes: Axes) -> None:
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    axes.remove()
    space: Any = figure.add_subplot(projection="3d")
    x, y, loss = _grid(rows)
    _, norm = _scale(low, high)
    space.plot_surface(x, y, loss, cmap="cividis", norm=norm, rcount=26, ccount=26, linewidth=0.15, edgecolor=PAPER)
    space.set_zlim(low, high)
    space.set_title(rows[0]["title"])
    space.set_xlabel("first direction")
    space.set_ylabel("second direction")
    space.set_zlabel("training loss")
    for axis in (space.xaxis, space.yaxis, space.zaxis):
        axis.set_major_locator(MaxNLocator(4))
    space.tick_params(labelsize=7)
    space.set_box_aspect(None, zoom=0.85)


def _grid(rows: list[Row]) -> tuple[Any, Any, Any]:
    """x, y and the loss [G, G], from rows in any order."""
    rows = sorted(rows, key=lambda row: (row["y"], row["x"]))
    side = math.isqrt(len(rows))
    x, y, loss = (np.array([row[name] for row in rows]).reshape(side, side) for name in ("x", "y", "loss"))
    return x, y, loss


def _scale(low: float, high: float) -> tuple[Any, LogNorm]:
    """Levels that grow geometrically, and their colours; a loss is above 0."""
    high = max(high, low * 1.001)
    return np.geomspace(low * 0.9999, high * 1.0001, LEVELS), LogNorm(low, high)


def _lines(rows: list[Row], models: list[str]) -> list[tuple[int, list[Row]]]:
    """The rows of each seed, with the number of its model."""
    ordered = sorted(rows, key=lambda row: (models.index(row["folder"]), row["seed"]))  # stable: x stays in order
    groups = groupby(ordered, key=lambda row: (row["folder"], row["seed"]))
    return [(models.index(model), list(line)) for (model, _), line in groups]


def _look(index: int, line: list[Row]) -> dict[str, Any]:
    return {"color": color_of(index), "linewidth": 1.5, "alpha": 0.85, "label": line[0]["title"]}


def _legend(axes: Axes) -> None:
    """Each model once, below the panel."""
    handles, labels = axes.get_legend_handles_labels()
    own = dict(zip(labels, handles, strict=True))
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.2), "ncols": 2, "borderpad": 0}
    axes.legend(list(own.values()), list(own), frameon=False, **place)


def _models(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["folder"] for row in rows))


def _first_seed(rows: list[Row], model: str) -> list[Row]:
    own = [row for row in rows if row["folder"] == model]
    return [row for row in own if row["seed"] == min(one["seed"] for one in own)]


def _read(runs: list[Json], name: str, beside: str = "") -> list[Row]:
    """The rows of a file of that name of each run; `beside`: a file that its folder must have too."""
    return [row for run in runs for seed in run["seeds"] for row in _rows(run, seed, name, beside or name)]


def _rows(run: Json, seed: int, name: str, beside: str) -> list[Row]:
    paths = [path.with_name(name) for path in sorted((seed_folder(run, seed) / "probes").glob(f"*/{beside}"))]
    own = {"title": run["title"], "folder": run["folder"], "seed": seed}
    return [own | row for row in pq.read_table(paths[0]).to_pylist()] if paths and paths[0].is_file() else []

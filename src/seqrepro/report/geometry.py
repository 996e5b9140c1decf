"""Figures of the loss surface in lines: eigenvalues, spectral density, lines through the solutions, the way to them.

All models of a dataset have one scale, so that flat can be told from sharp. Every seed is shown. Planes through the
solutions are in `seqrepro.report.planes`.
"""

from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from seqrepro.ledger.evidence import Row
from seqrepro.report.drawing import (
    PAPER,
    SOFT,
    WIDE,
    WIDTH,
    Drawn,
    color_of,
    draw,
    draw_panels,
    layout,
    name_models,
    names_height,
)

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
OWN = (("title", TEXT), ("folder", TEXT), ("seed", WHOLE))
EIGENVALUES = pa.schema([*OWN, ("measure", TEXT), ("at", REAL), ("value", REAL)])
DENSITIES = pa.schema([*OWN, ("eigenvalue", pa.float32()), ("density", pa.float32())])
LINES = pa.schema([*OWN, ("kind", TEXT), ("x", pa.float32()), ("loss", pa.float32())])
KINDS = {  # of lines: title, meaning of x
    "random": ("Along a random direction", "step, in norms of the network's own rows"),
    "eigenvector_1": ("Along the sharpest direction", "distance"),
    "eigenvector_2": ("Along the second sharpest", "distance"),
    "line": ("From each solution to the other", "0: its own weights, 1: the other's"),
}
ALONG = {  # the training: measure, title
    "loss": "Loss",
    "lambda_max": "Largest eigenvalue of the Hessian",
    "batch_sharpness": "Sharpness of batches",
    "gradient_norm": "Norm of the gradient",
    "weight_norm": "Norm of the weights",
    "residual": "Residual of the largest eigenvalue",
}
TRAJECTORIES = pa.schema([*OWN, ("epoch", WHOLE), ("is_best", pa.bool_()), *((name, REAL) for name in ALONG)])
BARS = ("eigenvalue", "smallest_eigenvalue")
OVER = " over epoch"
FLOOR, KEPT = 1e-7, 4  # of the density: the lowest that is shown, as a share of its peak; one point in so many
BESIDE = 4  # names beside each other, at most, below a wide figure
SPREAD = 10.0  # numbers above 0 that differ by this factor have a logarithmic axis


def eigenvalues(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """Bars: the largest and the smallest eigenvalues of the Hessian, a dot a seed. Rows: those of the measurements."""
    rows = [row for row in rows if row["measure"] in BARS]
    if not rows:
        return []
    words = {
        "alt": f"Largest and smallest eigenvalues of the Hessian of {len(models_of(rows))} models on {title}",
        "caption": "The largest eigenvalues of the Hessian of the training loss (bars up) and the smallest (bars down) "
        "where training ended. A bar is the mean of the seeds, a dot a seed.",
    }
    paint = partial(_paint_bars, rows)
    return [draw(folder / f"eigenvalues-{dataset}", rows, EIGENVALUES, paint, 3.3 + names_height(rows), **words)]


def density(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """The spectral density of the Hessian, a line a seed, a colour a model."""
    if not rows:
        return []
    rows = [row for _, line in lines_of(rows, models_of(rows)) for row in line[::KEPT]]
    words = {
        "alt": f"Spectral density of the Hessian of {len(models_of(rows))} models on {title}",
        "caption": "Spectral density of the Hessian of the training loss, smoothed, on a logarithmic scale; one line a "
        "seed. Most eigenvalues are close to 0.",
    }
    paint = partial(_paint_density, rows)
    stem, size = folder / f"spectrum-{dataset}", (WIDTH, 3.3 + names_height(rows))
    return [
        draw_panels(stem, rows, DENSITIES, lambda figure: paint(figure.add_subplot()), size, as_text=False, **words)
    ]


def slices(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """The loss on lines through the solutions, a panel a kind of line, a line a seed. Rows: those of the landscape."""
    rows = [row for row in rows if row["kind"] in KINDS]
    if not rows:
        return []
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    words = {
        "alt": f"Training loss of {len(models_of(rows))} models on {title} on {len(kinds)} kinds of lines",
        "caption": "The training loss on lines through the solutions, which are at 0; one line a seed. A random "
        "direction hardly ever leads where the loss rises most; an eigenvector does.",
    }
    height = 0.4 + 2.9 * layout(len(kinds), 3)[0] + names_height(rows, WIDE, BESIDE)
    paint, size = partial(_paint_slices, rows, kinds), (WIDE, height)
    return [draw_panels(folder / f"lines-{dataset}", rows, LINES, paint, size, as_text=False, **words)]


def trajectories(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """What changes along training, a panel a measure, a line a seed. Rows: measurements of the probe trajectory."""
    epochs = _by_epoch(rows)
    if not epochs:
        return []
    words = {
        "alt": f"{', '.join(ALONG.values())} by epoch: {len(models_of(epochs))} models on {title}",
        "caption": "Along training, on a fixed sample of users without dropout, one line a seed; a dot marks the "
        "epoch that was kept. Sharpness of batches: the mean rise of the loss of a batch after one step of SAM.",
    }
    paint, size = partial(_paint_trajectories, epochs), (WIDE, 7.4 + names_height(epochs, WIDE, BESIDE))
    return [draw_panels(folder / f"trajectory-{dataset}", epochs, TRAJECTORIES, paint, size, as_text=True, **words)]


def models_of(rows: list[Row]) -> list[str]:
    """The folders of the configurations, in order of appearance; their places are their colours."""
    return list(dict.fromkeys(row["folder"] for row in rows))


def lines_of(rows: list[Row], models: list[str]) -> list[tuple[int, list[Row]]]:
    """The rows of each seed, with the number of its model."""
    ordered = sorted(rows, key=lambda row: (models.index(row["folder"]), row["seed"]))  # stable: x stays in order
    groups = groupby(ordered, key=lambda row: (row["folder"], row["seed"]))
    return [(models.index(model), list(line)) for (model, _), line in groups]


def _by_epoch(rows: list[Row]) -> list[Row]:
    """A row a (configuration, seed, epoch), measures in columns."""
    best = {(row["folder"], row["seed"]): row["value"] for row in rows if row["measure"] == "best_epoch"}
    found: dict[tuple[str, int, int], Row] = {}
    for row in rows:
        if row["measure"].endswith(OVER):
            run, epoch = (row["folder"], row["seed"]), int(row["at"])
            own = {"title": row["title"], "folder": run[0], "seed": run[1], "epoch": epoch}
            one = found.setdefault((*run, epoch), own | {"is_best": epoch == best.get(run)})
            one[row["measure"].removesuffix(OVER)] = row["value"]
    return list(found.values())


def _paint_bars(rows: list[Row], axes: Axes) -> None:
    models = models_of(rows)
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
    name_models(axes)


def _paint_density(rows: list[Row], axes: Axes) -> None:
    for index, line in lines_of(rows, models_of(rows)):
        axes.plot([row["eigenvalue"] for row in line], [row["density"] for row in line], **_look(index, line))
    peak = max(row["density"] for row in rows)
    axes.set_yscale("log")
    axes.set_ylim(FLOOR * peak, 3 * peak)
    axes.grid(axis="y")
    axes.set_xlabel("eigenvalue")
    axes.set_title("Spectral density of the Hessian")
    name_models(axes)


def _paint_slices(rows: list[Row], kinds: list[str], figure: Figure) -> None:
    models = models_of(rows)
    panels = figure.subplots(*layout(len(kinds), 3), squeeze=False).flat
    for axes, kind in zip(panels, kinds, strict=True):
        own = [row for row in rows if row["kind"] == kind]
        for index, line in lines_of(own, models):
            axes.plot([row["x"] for row in line], [row["loss"] for row in line], **_look(index, line))
        axes.axvline(0, color=SOFT, linewidth=1, zorder=0)
        axes.set_xlim(min(row["x"] for row in own), max(row["x"] for row in own))
        axes.grid(axis="y")
        axes.set_xlabel(KINDS[kind][1])
        axes.set_ylabel("training loss")
        axes.set_title(KINDS[kind][0])
    name_models(figure.axes[0], BESIDE)


def _paint_trajectories(rows: list[Row], figure: Figure) -> None:
    lines = lines_of(rows, models_of(rows))
    for axes, (measure, title) in zip(figure.subplots(3, 2).flat, ALONG.items(), strict=True):
        for index, line in lines:
            axes.plot([row["epoch"] for row in line], [row[measure] for row in line], **_look(index, line))
            for row in (row for row in line if row["is_best"]):
                look = {"color": color_of(index), "markersize": 5, "markeredgecolor": PAPER, "clip_on": False}
                axes.plot(row["epoch"], row[measure], "o", **look)
        values = [row[measure] for row in rows]
        if min(values) > 0 and max(values) > SPREAD * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlim(left=0)
        axes.set_xlabel("epoch")
        axes.grid(axis="y")
        axes.set_title(title)
    name_models(figure.axes[0], BESIDE)


def _look(index: int, line: list[Row]) -> dict[str, Any]:
    return {"color": color_of(index), "linewidth": 1.5, "alpha": 0.85, "label": line[0]["title"]}

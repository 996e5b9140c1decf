"""Figures of the Performance Law: its surface over depth and width, its residuals, and its errors on levels left out.

They are made from the tables of step `refit`; published points and our own never share a figure. Numbers of a metric
differ between panels, so each panel of a surface has colours of its own.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seqrepro.laws.fitted import FITTED, PANEL, WEIGHTS
from seqrepro.laws.performance_law import Parameters
from seqrepro.ledger.evidence import Row, grouped
from seqrepro.report.drawing import INK, MARKERS, OTHERS, PAPER, SOFT, WIDE, Drawn, color_of, draw_panels, layout, slug

ACROSS, HIGH = 5, 2.1  # panels side by side, inches of one
MESH, LEVELS, COLORS, CROSS = 40, 10, "cividis", "#d62728"
WHOSE = {"published": "published points", "own": "our own runs"}
FORMS = {
    "": "the law",
    "quadratic_": "quadratic in ln N, ln d",
    "power_": "power law with an offset",
    "log_linear_": "regression on ln N, ln d",
    "carry_forward_": "value of the next smaller level",
}
AXES = {"largest_n_mae": "Largest depth left out", "largest_d_mae": "Largest width left out"}
HELD_OUT = pa.schema(
    [*((name, pa.string()) for name in ("dataset", "metric")), ("max_length", pa.int64())]
    + [(form + axis, pa.float64()) for form in FORMS for axis in AXES]
)


def figures(folder: Path, laws: Path | None) -> list[Drawn]:
    """All figures that can be drawn. Arguments: where to, and the tables of the refit, if the suite has one."""
    if laws is None or not (laws / "fitted.parquet").is_file():
        return []
    fitted, coefficients, optima, forms = (
        pq.read_table(laws / f"{name}.parquet").to_pylist() for name in ("fitted", "coefficients", "optima", "forms")
    )
    about = {_panel(row): row for row in coefficients}, {_panel(row): row for row in optima}
    drawn = []
    for (points, metric), rows in grouped(fitted, "points", "metric"):
        panels = [own for _, own in grouped(rows, *PANEL)]
        drawn += [_surfaces(folder, points, metric, panels, *about), _residuals(folder, points, metric, panels)]
    return [*drawn, _held_out(folder, forms)] if forms else drawn


def _surfaces(
    folder: Path,
    points: str,
    metric: str,
    panels: list[list[Row]],
    coefficients: dict[Any, Row],
    optima: dict[Any, Row],
) -> Drawn:
    def paint(axes: Axes, own: list[Row]) -> None:
        _paint_surface(axes, own, coefficients[_panel(own[0])], optima.get(_panel(own[0]), {}))

    words = {
        "alt": f"The Performance Law fitted to {metric} over depth and width, panels: {len(panels)}, {WHOSE[points]}",
        "caption": f"The law fitted to {metric} of {WHOSE[points]}: contours, lighter is better, scales by panel. "
        "Points: the runs, in the same colours. Cross: the optimum with its 95 % intervals, if there is one.",
    }
    return _draw(folder / f"law-surface-{points}-{slug(metric)}", panels, paint, words)


def _residuals(folder: Path, points: str, metric: str, panels: list[list[Row]]) -> Drawn:
    words = {
        "alt": f"Residuals of the Performance Law by depth, {metric}, panels: {len(panels)}, {WHOSE[points]}",
        "caption": f"What the law leaves of {metric} of {WHOSE[points]}, times 1,000, by blocks; a mark a "
        "width, from the smallest (blue circle) upwards. Grey: what the regression on ln N and ln d leaves.",
    }
    return _draw(folder / f"law-residuals-{points}-{slug(metric)}", panels, _paint_residuals, words)


def _held_out(folder: Path, forms: list[Row]) -> Drawn:
    words = {
        "alt": "Errors of five forms on the largest depth and the largest width, left out of the fit",
        "caption": "Mean absolute error, times 1,000, where the largest level of an axis was left out and predicted. A "
        "dot a panel of published points, a bar the mean.",
    }
    return draw_panels(
        folder / "law-held-out", forms, HELD_OUT, partial(_paint_held_out, forms), (WIDE, 2.9), as_text=True, **words
    )


def _draw(
    stem: Path, panels: list[list[Row]], paint: Callable[[Axes, list[Row]], None], words: dict[str, str]
) -> Drawn:
    down, across = layout(len(panels), ACROSS)
    rows = [row for own in panels for row in own]

    def all_panels(figure: Figure) -> None:
        for place, own in enumerate(panels, start=1):
            axes = figure.add_subplot(down, across, place)
            paint(axes, own)
            axes.set_title(_title(own[0]), fontsize=8.5, pad=5)
            axes.tick_params(labelsize=7.5)

    return draw_panels(stem, rows, FITTED, all_panels, (WIDE, HIGH * down + 0.2), as_text=True, **words)


def _paint_surface(axes: Axes, own: list[Row], law: Row, optimum: Row) -> None:
    n, d, values = (np.array([row[name] for row in own]) for name in ("n_blocks", "d_emb", "value"))
    mesh = np.meshgrid(np.geomspace(n.min(), n.max(), MESH), np.geomspace(d.min(), d.max(), MESH))
    height = Parameters(**{name: law[name] for name in WEIGHTS}).predict(*mesh)
    levels = np.linspace(min(height.min(), values.min()), max(height.max(), values.max()), LEVELS + 1)
    axes.contourf(*mesh, height, levels=levels, cmap=COLORS)
    look: dict[str, Any] = {
        "cmap": COLORS,
        "vmin": levels[0],
        "vmax": levels[-1],
        "edgecolors": PAPER,
        "linewidths": 0.7,
    }
    axes.scatter(n, d, c=values, s=26, zorder=3, **look)
    best = optimum.get("n_star"), optimum.get("d_star")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    margin = 1.12
    axes.set_xlim(n.min() / margin, n.max() * margin)
    axes.set_ylim(d.min() / margin, d.max() * margin)
    if best[0] is not None and best[1] is not None:
        to_n, to_d = (_reach(optimum, name, edges) for name, edges in (("n", axes.get_xlim()), ("d", axes.get_ylim())))
        axes.errorbar(best[0], best[1], to_d, to_n, marker="x", color=CROSS, linewidth=1.1, zorder=4)
    _name_sizes(n, axes.set_xticks)
    _name_sizes(d, axes.set_yticks)
    axes.set_xlabel("blocks", fontsize=7.5, labelpad=1)
    axes.set_ylabel("width", fontsize=7.5, labelpad=1)


def _reach(optimum: Row, name: str, edges: tuple[float, float]) -> list[list[float]]:
    """How far the interval of n or d reaches below and above the optimum; an open end reaches to the edge."""
    place = optimum[f"{name}_star"]
    ends = [optimum[f"{name}_star_{end}"] for end in ("low", "high")]
    low, high = (edge if end is None else end for end, edge in zip(ends, edges, strict=True))
    return [[max(place - low, 0.0)], [max(high - place, 0.0)]]


def _paint_residuals(axes: Axes, own: list[Row]) -> None:
    axes.axhline(0, color=SOFT, linewidth=0.8)
    depths = [row["n_blocks"] for row in own]
    axes.plot(depths, [_rest(row, "log_linear") for row in own], ".", color=OTHERS, alpha=0.7, markersize=4)
    for number, width in enumerate(sorted({row["d_emb"] for row in own})):
        places = [(row["n_blocks"], _rest(row, "law")) for row in own if row["d_emb"] == width]
        look: dict[str, Any] = {"color": color_of(number), "marker": MARKERS[number % len(MARKERS)]}
        axes.plot(*zip(*places, strict=True), linestyle="", markersize=4, **look)
    axes.set_xscale("log", base=2)
    _name_sizes(depths, axes.set_xticks)
    axes.set_xlabel("blocks", fontsize=7.5, labelpad=1)
    axes.grid(axis="y")


def _paint_held_out(forms: list[Row], figure: Figure) -> None:
    for number, (axis, title) in enumerate(AXES.items()):
        axes = figure.add_subplot(1, len(AXES), number + 1)
        for place, form in enumerate(FORMS):
            errors = [1000 * row[form + axis] for row in forms if row[form + axis] is not None]
            axes.plot(
                errors, [place] * len(errors), "o", color=color_of(0), alpha=0.35, markersize=4, markeredgewidth=0
            )
            axes.plot([float(np.mean(errors))] * 2, [place - 0.32, place + 0.32], color=INK, linewidth=2)
        axes.set_yticks(range(len(FORMS)), list(FORMS.values()) if number == 0 else [""] * len(FORMS))
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.grid(axis="x")
        axes.set_title(title)


def _rest(row: Row, form: str) -> float:
    return 1000 * float(row["value"] - row[form])


def _name_sizes(sizes: Any, set_ticks: Callable[..., Any]) -> None:
    found = np.unique(sizes)
    set_ticks(found, [f"{size:g}" for size in found], minor=False)
    set_ticks([], minor=True)


def _title(row: Row) -> str:
    if row["points"] == "published":
        return f"{row['dataset']}, L = {row['max_length']}"
    data = "" if row["data"] == "all" else f", {row['data']}"
    return f"{row['model']}, {row['dataset']}\nL = {row['max_length']}{data}"


def _panel(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in PANEL)

"""Planes through the solutions: the training loss along two random directions, as contours and as a surface in space.

One figure holds all models, a panel each, with one scale, one set of levels and one bar of colours: what looks flatter
is flatter. The plane is that of the first seed there is. Loss is above 0, and the levels grow geometrically.
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqrepro.ledger.evidence import Row
from seqrepro.report.drawing import PAPER, WIDE, WIDTH, Drawn, draw_panels, layout
from seqrepro.report.geometry import OWN, models_of

PLANES = pa.schema([*OWN, *((name, pa.float32()) for name in ("x", "y", "loss"))])
COLORS, LEVELS, ACROSS = "cividis", 13, 4  # panels side by side
MESH = 26  # points of a side of a surface, at most: every facet is drawn by itself
NOTE = "The training loss on a plane of two random directions, normalised by filter, through each solution; first seed"


def contours(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """Contours of the loss, a panel a model. Rows: those of the landscape."""
    shown = _shown(rows)
    words = {
        "alt": f"Contours of the training loss of {len(shown)} models around their solutions on {title}",
        "caption": f"{NOTE} ({_seeds(shown)}). All models have the same directions, levels and colours; the steps "
        "between levels grow. Across: the first direction; a cross marks the solution.",
    }
    return _draw(folder / f"contours-{dataset}", shown, _paint_contours, 0.9, words)


def surfaces(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """The same planes as surfaces in space, a panel a model. Rows: those of the landscape."""
    shown = [_thinned(own) for own in _shown(rows)]
    words = {
        "alt": f"Training loss of {len(shown)} models around their solutions on {title}, as surfaces in space",
        "caption": f"{NOTE} ({_seeds(shown)}), as heights. All models have the same directions, heights and colours.",
    }
    return _draw(folder / f"surface-{dataset}", shown, _paint_surfaces, 0.7, words)


def _draw(stem: Path, shown: list[list[Row]], paint: Any, more: float, words: dict[str, str]) -> list[Drawn]:
    """The figure, if there is a plane; `more` inches are no panel."""
    if not shown:
        return []
    down, across = layout(len(shown), ACROSS)
    width = WIDTH if across == 1 else WIDE
    size = width, down * min(3.4, width / across + 0.1) + more
    rows = [row for own in shown for row in own]
    return [draw_panels(stem, rows, PLANES, partial(paint, shown, (down, across)), size, as_text=False, **words)]


def _paint_contours(shown: list[list[Row]], places: tuple[int, int], figure: Figure) -> None:
    levels, norm = _scale([row["loss"] for own in shown for row in own])
    panels = _panels(figure, places, len(shown))
    for axes, own in zip(panels, shown, strict=True):
        x, y, loss = _grid(own)
        axes.contourf(x, y, loss, levels, cmap=COLORS, norm=norm).set(edgecolor=PAPER, linewidth=0.5)
        axes.plot(0, 0, "+", color=PAPER, markersize=9, markeredgewidth=1.6)
        axes.set_aspect("equal")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_title(own[0]["title"], fontsize=9)
    _color_bar(figure, panels, levels, norm)


def _paint_surfaces(shown: list[list[Row]], places: tuple[int, int], figure: Figure) -> None:
    losses = [row["loss"] for own in shown for row in own]
    levels, norm = _scale(losses)
    panels: list[Any] = _panels(figure, places, len(shown), subplot_kw={"projection": "3d"})
    for space, own in zip(panels, shown, strict=True):
        mesh = {"rstride": 1, "cstride": 1, "linewidth": 0, "antialiased": False, "rasterized": True}
        space.plot_surface(*_grid(own), cmap=COLORS, norm=norm, **mesh)
        space.set_zlim(min(losses), max(losses))
        space.set_title(own[0]["title"], fontsize=9, y=0.94)
        for axis in (space.xaxis, space.yaxis, space.zaxis):
            axis.set_major_locator(MaxNLocator(4))
        space.tick_params(labelsize=6, pad=-3)
        space.set_box_aspect(None, zoom=0.85)
    _color_bar(figure, panels, levels, norm)


def _color_bar(figure: Figure, panels: list[Axes], levels: Any, norm: LogNorm) -> None:
    look: dict[str, Any] = {"boundaries": levels, "spacing": "uniform", "ticks": levels[::3], "format": "%.3g"}
    bar = figure.colorbar(ScalarMappable(norm, COLORS), ax=panels, location="bottom", shrink=0.5, aspect=40, **look)
    bar.set_label("training loss", fontsize=9)
    bar.minorticks_off()


def _panels(figure: Figure, places: tuple[int, int], count: int, **more: Any) -> list[Axes]:
    panels = list(figure.subplots(*places, squeeze=False, **more).flat)
    for axes in panels[count:]:
        axes.remove()
    return panels[:count]


def _shown(rows: list[Row]) -> list[list[Row]]:
    """The plane of the first seed of each model."""
    planes = [row for row in rows if row["kind"] == "surface"]
    first = {model: min(row["seed"] for row in planes if row["folder"] == model) for model in models_of(planes)}
    return [[row for row in planes if (row["folder"], row["seed"]) == own] for own in first.items()]


def _seeds(shown: list[list[Row]]) -> str:
    numbers = sorted({own[0]["seed"] for own in shown})
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _thinned(rows: list[Row]) -> list[Row]:
    """Every point, or every so many along both sides, so that a surface has few facets; the ends stay."""
    sides = sorted({row["x"] for row in rows})
    step = next(
        step for step in range(1, len(sides)) if (len(sides) - 1) % step == 0 and (len(sides) - 1) / step < MESH
    )
    kept = set(sides[::step])
    return [row for row in rows if row["x"] in kept and row["y"] in kept]


def _grid(rows: list[Row]) -> tuple[Any, Any, Any]:
    """x, y and the loss [G, G], from rows in any order."""
    rows = sorted(rows, key=lambda row: (row["y"], row["x"]))
    side = math.isqrt(len(rows))
    x, y, loss = (np.array([row[name] for row in rows]).reshape(side, side) for name in ("x", "y", "loss"))
    return x, y, loss


def _scale(losses: list[float]) -> tuple[Any, LogNorm]:
    """Levels that grow geometrically and enclose all losses, and their colours."""
    low, high = min(losses), max(losses)
    high = max(high, low * 1.001)
    return np.geomspace(low * 0.9999, high * 1.0001, LEVELS), LogNorm(low, high)

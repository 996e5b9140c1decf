"""How figures look and how they are stored: SVG, PNG, and beside them the Parquet and CSV they were made from."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO, StringIO
from math import ceil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from PIL import Image

from seqrepro.files import atomic, write_parquet, write_text
from seqrepro.ledger.evidence import Row
from seqrepro.ledger.tables import write_table

INK, SOFT, RULE, PAPER = "#1c2733", "#5b6875", "#d5dbe1", "#ffffff"
SERIES = ("#1f5fa8", "#c2490a", "#00795f", "#a03a7c", "#806000", "#4c5a9e")  # differ in lightness; read by all
MARKERS = ("o", "s", "D", "^", "v", "P")
OTHERS = "#8a949e"
VARIABLES = {
    **{INK: "--ink", SOFT: "--soft", RULE: "--rule", PAPER: "--paper", OTHERS: "--others"},
    **{color: f"--series-{number}" for number, color in enumerate(SERIES, start=1)},
}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "seqrepro",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "figure.constrained_layout.use": True,
}
WIDTH, WIDE = 4.7, 9.6  # inches
DPI = {False: 160, True: 110}  # of the PNG; by whether it is wide
NAME, NAME_ROW = 8.5, 0.2  # size of the names below a figure in points, height of a row of them in inches
MARK, APART, MARGIN = 2.8 * NAME, 2.0 * NAME, 10.0  # points: before a name, between columns of names, at both ends


@dataclass(frozen=True)
class Drawn:
    """A stored figure, ready to stand in a page."""

    name: str
    alt: str
    caption: str
    svg: str
    files: list[Path]
    wide: bool = False

    @property
    def shown(self) -> list[Path]:
        """The files that a page leads to: of the two forms of the data the one that is text, if it is there."""
        return [file for file in self.files if file.suffix != ".parquet" or file.with_suffix(".csv") not in self.files]


def draw(
    stem: Path,
    rows: list[Row],
    schema: pa.Schema,
    paint: Callable[..., None],
    height: float,
    grid: tuple[int, int] = (1, 1),
    /,
    **words: str,
) -> Drawn:
    """Draw one panel or a few, and store them with their data.

    Args:
        stem: path without suffix.
        rows: what the figure shows; also what stands beside it.
        schema: of the rows.
        paint: draws into the axes, of each panel one argument.
        height: in inches.
        grid: rows and columns of panels.
        words: `alt` and `caption`.
    """
    return draw_panels(stem, rows, schema, partial(_panels, paint, grid), (WIDTH, height), as_text=True, **words)


def draw_panels(
    stem: Path,
    rows: list[Row],
    schema: pa.Schema,
    paint: Callable[[Figure], None],
    size: tuple[float, float],
    *,
    as_text: bool,
    **words: str,
) -> Drawn:
    """Draw a figure of several panels and store it with its data; arguments as those of `draw`.

    Args:
        stem: path without suffix.
        rows: what the figure shows.
        schema: of the rows.
        paint: draws into the figure.
        size: width and height in inches.
        as_text: whether a CSV stands beside the Parquet; thousands of rows need none.
        words: `alt` and `caption`.
    """
    wide = size[0] > WIDTH
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size)
        paint(figure)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        _write_png(figure, _suffixed(stem, "png"), DPI[wide])
    text = _shorter(buffer.getvalue())
    write_text(_suffixed(stem, "svg"), text)
    data = write_table(stem, rows, schema) if as_text else [_suffixed(stem, "parquet")]
    if not as_text:
        write_parquet(data[0], pa.Table.from_pylist(rows, schema=schema))
    files = [_suffixed(stem, "svg"), _suffixed(stem, "png"), *data]
    svg = inline(text, stem.name, words["alt"])
    return Drawn(stem.name, words["alt"], words["caption"], svg, files, wide)


def color_of(index: int) -> str:
    """The colour of the model with this number in a figure."""
    return SERIES[index] if index < len(SERIES) else OTHERS


def slug(text: str) -> str:
    """A metric or a setting as part of a file's name."""
    return text.replace("@", "-at-").replace(", ", "-").replace(" ", "-").replace("_", "-")


def layout(count: int, most: int) -> tuple[int, int]:
    """How many panels, or names, stand below each other and beside each other, at most so many."""
    down = ceil(count / most)
    return down, ceil(count / down)


def names_layout(titles: list[str], width: float, most: int) -> tuple[int, int]:
    """Rows and columns of names below a figure of so many inches: as many columns as fit, at most so many."""
    widest = max(TextPath((0, 0), title, NAME).get_extents().width for title in titles)
    fitting = int((72 * width - MARGIN + APART) // (widest + MARK + APART))
    return layout(len(titles), max(1, min(most, fitting)))


def names_height(rows: list[Row], width: float = WIDTH, most: int = 2) -> float:
    """Inches that `name_models` takes below a figure of these rows."""
    return NAME_ROW * names_layout(list(dict.fromkeys(row["title"] for row in rows)), width, most)[0]


def name_models(axes: Axes, most: int = 2) -> None:
    """Name each model of a panel once, below the figure and outside all panels, so that none of them shrinks for it."""
    handles, labels = axes.get_legend_handles_labels()
    own = dict(zip(labels, handles, strict=True))
    figure: Any = axes.get_figure()
    columns = names_layout(list(own), figure.get_figwidth(), most)[1]
    look = {"loc": "outside lower left", "ncols": columns, "fontsize": NAME, "borderpad": 0, "frameon": False}
    figure.legend(list(own.values()), list(own), **look)


def inline(svg: str, name: str, alt: str) -> str:
    """An SVG file as an element of a page: own ids, colours from the page's variables, size from its container."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", body)
    for color, variable in VARIABLES.items():
        body = re.sub(color, f"var({variable})", body, flags=re.IGNORECASE)
    body = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", body, count=1)
    body = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", body, count=1)
    label = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return body.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()


def spread(positions: list[float], gap: float) -> list[float]:
    """Positions moved apart until neighbours are at least `gap` away, in the same order, around their old places."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    placed = [positions[index] for index in order]
    for _ in range(200):
        for lower in range(len(placed) - 1):
            lack = gap - (placed[lower + 1] - placed[lower])
            if lack > 1e-9:
                placed[lower] -= lack / 2
                placed[lower + 1] += lack / 2
    result = [0.0] * len(positions)
    for index, position in zip(order, placed, strict=True):
        result[index] = position
    return result


def _panels(paint: Callable[..., None], grid: tuple[int, int], figure: Figure) -> None:
    paint(*figure.subplots(*grid, squeeze=False).flat)


def _write_png(figure: Figure, path: Path, dpi: int) -> None:
    """With a palette of 256 colours, which takes a third of the room."""
    whole = BytesIO()
    figure.savefig(whole, format="png", dpi=dpi)
    with atomic(path) as partial, Image.open(whole) as image:
        reduced = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        reduced.save(partial, format="png", optimize=True)


def _shorter(svg: str) -> str:
    """An SVG file whose paths have coordinates of two decimals, hundredths of a point."""
    return re.sub(r'(?<= d=")[^"]*', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)


def _suffixed(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")

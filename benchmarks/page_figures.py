"""The figures of docs/performance.md, each as SVG, PNG and the CSV that it was made from."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from seqrepro.report.drawing import INK, MARKERS, SERIES, SOFT, draw

Found = dict[str, Any]
MEASURES = {"epoch_seconds": "an epoch", "evaluation_seconds": "an evaluation", "peak_mb": "memory"}


def by_width(found: Found) -> list[tuple[str, Found]]:
    """The measured widths, the smallest first."""
    return sorted(found["by_width"].items(), key=lambda item: int(item[0]))


def sorted_kinds(found: Found) -> list[str]:
    """The kinds of operators by the time that they take at the smallest width, the longest first."""
    times = by_width(found)[0][1]["time_by_kind"]
    return sorted(times, key=times.__getitem__, reverse=True)


def slug(name: str) -> str:
    """As a file's name."""
    return name.replace("_", "-")


def paint(rows: list[Found], x: str, y: str, by: str, labels: tuple[str, str], logarithmic: str, axes: Axes) -> None:
    """A line for each value of `by`."""
    for index, name in enumerate(dict.fromkeys(row[by] for row in rows)):
        own = [row for row in rows if row[by] == name]
        look = {"color": SERIES[index], "marker": MARKERS[index], "markersize": 4, "label": name}
        axes.plot([row[x] for row in own], [row[y] for row in own], linewidth=1.5, **look)
    for letter in logarithmic:
        axes.set(**{f"{letter}scale": "log"})
        axis = getattr(axes, f"{letter}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid()
    axes.legend(frameon=False)


def growth_figures(found: Found, folder: Path) -> None:
    """A figure a measure: sizes relative to the base."""
    for key, title in MEASURES.items():
        rows = [
            {"axis": f"{axis}, slope {part['slopes'][key]}", "size": float(place[axis]), key: float(place[key])}
            | {"times_the_base": place[axis] / found["base"][axis]}
            for axis, part in found["axes"].items()
            for place in part["points"]
        ]
        labels = ("size, times the base", "megabytes" if key == "peak_mb" else "processor seconds")
        kinds = {"axis": pa.string(), **dict.fromkeys(("size", "times_the_base", key), pa.float64())}
        paints = partial(paint, rows, "times_the_base", key, "axis", labels, "xy")
        store(
            folder / f"growth-{slug(key)}",
            rows,
            kinds,
            lambda axes, p=paints, t=title: (p(axes), axes.set_title(f"Growth of {t}")),
        )


def quality_figure(found: Found, folder: Path) -> None:
    """Quality by processor time."""
    rows = [
        {"side": name, "epoch": line["epoch"], "processor_minutes": line["processor_seconds"] / 60}
        | {"ndcg_at_10": line[found["metric"]]}
        for name, side in found["sides"].items()
        for line in side["epochs"]
    ]
    kinds = {"side": pa.string(), "epoch": pa.int64(), "processor_minutes": pa.float64(), "ndcg_at_10": pa.float64()}
    labels = ("processor minutes", f"validation {found['metric']}")

    def painted(axes: Axes) -> None:
        paint(rows, "processor_minutes", "ndcg_at_10", "side", labels, "x", axes)
        axes.axhline(found["quality"], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))

    store(folder / "quality", rows, kinds, painted)


def time_figure(found: Found, folder: Path) -> None:
    """Bars of the kinds of operators."""
    rows = [
        {"width": int(width), "kind": kind, "share": part["time_by_kind"][kind]}
        for width, part in by_width(found)
        for kind in sorted_kinds(found)
    ]
    kinds = sorted_kinds(found)

    def painted(axes: Axes) -> None:
        for index, (width, _) in enumerate(by_width(found)):
            shares = [100 * row["share"] for row in rows if str(row["width"]) == width]
            places = [place + 0.38 * index for place in range(len(kinds))]
            axes.barh(places, shares, height=0.34, color=SERIES[index], label=f"D = {width}")
        axes.set_yticks([place + 0.19 for place in range(len(kinds))], kinds, color=INK)
        axes.invert_yaxis()
        axes.set_xlabel("share of a step's time, %")
        axes.grid(axis="x")
        axes.legend(frameon=False, loc="lower right")

    store(folder / "time-of-a-step", rows, {"width": pa.int64(), "kind": pa.string(), "share": pa.float64()}, painted)


def store(stem: Path, rows: list[Found], kinds: dict[str, pa.DataType], painted: Callable[[Axes], Any]) -> None:
    """SVG, PNG and CSV of a figure."""
    draw(stem, rows, pa.schema(list(kinds.items())), painted, 3.4, alt="", caption="")
    stem.with_name(f"{stem.name}.parquet").unlink()


FIGURES: dict[str, Callable[[Found, Path], None]] = {
    "growth": growth_figures,
    "quality": quality_figure,
    "flops": time_figure,
}

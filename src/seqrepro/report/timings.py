"""What attention takes, in figures: time, memory and time of an event against length; and a table of whole runs.

Slopes and crossovers are those of the probe (`probes/attention.py`). Of several seeds of a run a figure shows medians.
"""

import statistics
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes

from seqrepro.files import Json
from seqrepro.ledger.evidence import Row
from seqrepro.ledger.tables import write_table
from seqrepro.report.drawing import MARKERS, OTHERS, PAPER, Drawn, color_of, draw

TEXT, REAL = pa.string(), pa.float64()
ENDS = ("", "_low", "_high")
NAMES = ("title", "folder", "method")
SHAPES = [f"{name}{end}" for name in ("slope", "crossover") for end in ENDS]
LINES = pa.schema([*((name, TEXT) for name in NAMES), *((name, REAL) for name in ("length", "value", *SHAPES))])
PACE = ["seconds_per_step", "inference_seconds", "training_seconds", "attention_share", "core_share"]
GAINS = [f"{name}_of_{level}" for level in ("step", "inference") for name in ("gain", "bound")]
WIDE_GAINS = [f"gain_of_{level}{end}" for level in ("step", "inference") for end in ENDS[1:]]
NUMBERS = [*PACE, *GAINS, *WIDE_GAINS]
WHOLE = pa.schema([("title", TEXT), ("folder", TEXT), ("seeds", pa.int64()), *((name, REAL) for name in NUMBERS)])
FUSED, NAIVE, HYDRA = "softmax sdpa", "softmax naive", "hydra fused"
LOOKS = {NAIVE: ":", FUSED: "--", HYDRA: "-."}  # of what a method is beside
NAME = "core, forward"  # level and passes that are shown
FIGURES: dict[str, tuple[str, str, str]] = {  # by file: measure, title, caption
    "attention-time": (
        f"seconds{{of}}, {NAME} over length",
        "Seconds of attention alone, forward",
        "Time of attention alone against length, forward pass, on logarithmic axes; medians over blocks. In brackets "
        "the slope over the longer lengths with its 95 % interval. Grey: dot-product attention, fused (dashed) and "
        "with an explicit matrix of scores (dotted); dashes and dots: Hydra attention in one pass over memory. A "
        "vertical line marks where a method overtakes fused dot products.",
    ),
    "attention-memory": (
        "memory_bytes{of} over length",
        "Bytes of attention alone, forward and backward",
        "What attention alone holds for its forward and backward pass, against length, on logarithmic axes.",
    ),
    "attention-events": (
        "seconds_per_event{of} over length",
        "Seconds of one more event",
        "Time that one more event of one user takes, against the length of the history, on logarithmic axes.",
    ),
}


def figures(folder: Path, dataset: str, title: str, rows: list[Row], machine: str) -> list[Drawn]:
    """A figure each of time, memory and time of an event, where there is something to show.

    Args:
        folder: of the figures.
        dataset: the name of the section.
        title: of the dataset.
        rows: measurements of the probe of attention.
        machine: what they were measured on, in a sentence.
    """
    drawn = []
    for name, (measure, words, caption) in FIGURES.items():
        lines = _lines(rows, measure, with_slopes=name == "attention-time")
        if lines:
            told = {"alt": f"{words}, by length, on {title}", "caption": f"{caption} {machine}".strip()}
            height = 3.6 + 0.2 * len({(row["folder"], row["method"]) for row in lines})
            paint = partial(_paint, lines, words)
            drawn.append(draw(folder / f"{name}-{dataset}", lines, LINES, paint, height, **told))
    return drawn


def whole_runs(folder: Path, dataset: str, rows: list[Row], machine: str) -> Json | None:
    """The table of whole steps and inference: its rows and its files. Arguments as those of `figures`."""
    if not rows:
        return None
    lines = [_whole(own) for own in _by_run(rows).values()]
    return {"rows": lines, "machine": machine, "files": write_table(folder / f"timing-{dataset}", lines, WHOLE)}


def _lines(rows: list[Row], measure: str, *, with_slopes: bool) -> list[Row]:
    """A row a method and length; other methods are those of the first run, for they are the same beside every one."""
    lines = []
    for number, own in enumerate(_by_run(rows).values()):
        for method in ("", FUSED, NAIVE, HYDRA) if number == 0 else ("",):
            of = f" of {method}" if method else ""
            extra = _slope(own, of) | (_crossover(own) if not method else {}) if with_slopes else {}
            known = {key: own[0][key] for key in ("title", "folder")} | {"method": method, **extra}
            lines += [known | {"length": at, "value": value} for at, value in _curve(own, measure.format(of=of))]
    return lines


def _by_run(rows: list[Row]) -> dict[str, list[Row]]:
    runs: dict[str, list[Row]] = {}
    for row in rows:
        runs.setdefault(row["folder"], []).append(row)
    return runs


def _curve(rows: list[Row], measure: str) -> list[tuple[float, float]]:
    found: dict[float, list[float]] = {}
    for row in rows:
        if row["measure"] == measure and row["value"] is not None:
            found.setdefault(row["at"], []).append(row["value"])
    return [(at, statistics.median(found[at])) for at in sorted(found)]


def _slope(rows: list[Row], of: str) -> Row:
    return {f"slope{end}": _single(rows, f"slope{end} of seconds{of}, {NAME} by length") for end in ENDS}


def _crossover(rows: list[Row]) -> Row:
    return {f"crossover{end}": _single(rows, f"crossover{end} with {FUSED}, {NAME}") for end in ENDS}


def _single(rows: list[Row], measure: str) -> float | None:
    """The median over seeds of a number that there is one of."""
    found = [row["value"] for row in rows if row["measure"] == measure and row["at"] is None]
    known = [value for value in found if value is not None]
    return statistics.median(known) if known else None


def _whole(rows: list[Row]) -> Row:
    line = {"title": rows[0]["title"], "folder": rows[0]["folder"], "seeds": len({row["seed"] for row in rows})}
    return line | {name: _single(rows, name) for name in NUMBERS}


def _paint(lines: list[Row], title: str, axes: Axes) -> None:
    runs = list(dict.fromkeys(row["folder"] for row in lines))
    for folder, method in dict.fromkeys((row["folder"], row["method"]) for row in lines):
        own = [row for row in lines if (row["folder"], row["method"]) == (folder, method)]
        number = runs.index(folder)
        look: dict[str, Any] = {"color": color_of(number), "marker": MARKERS[number % len(MARKERS)]}
        if method:
            look = {"color": OTHERS, "marker": "", "linestyle": LOOKS[method]}
        places, values = [row["length"] for row in own], [row["value"] for row in own]
        axes.plot(places, values, label=_label(own[0]), markersize=5, markeredgecolor=PAPER, linewidth=1.5, **look)
        if (at := own[0].get("crossover")) is not None:
            axes.axvline(at, color=color_of(number), linewidth=1, linestyle=":")
    places = sorted({row["length"] for row in lines})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places], rotation=45)
    axes.set_xticks([], minor=True)
    axes.grid(axis="y")
    axes.set_xlabel("length")
    axes.set_title(title)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.25), ncols=1, borderpad=0, fontsize=8.5)


def _label(row: Row) -> str:
    """The run or the method, with the slope if there is one."""
    name = row["method"] or row["title"]
    if row.get("slope") is None:
        return str(name)
    return f"{name} ({row['slope']:.2f} [{row['slope_low']:.2f}, {row['slope_high']:.2f}])"

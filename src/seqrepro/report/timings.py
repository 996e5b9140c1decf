"""What attention and whole networks take, in figures against length; and a table of whole runs.

Slopes and crossovers are those of the probes (`probes/attention.py`, `probes/efficiency.py`). Of several seeds of a run
a figure shows medians.
"""

import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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


class Shown(NamedTuple):
    """What a figure shows; `{of}` in a name stands for what the method is beside."""

    measure: str
    title: str
    caption: str
    slope: str = ""  # the measure that the slope in brackets is of

    @property
    def methods(self) -> tuple[str, ...]:
        """The method of the run, and what it is beside."""
        return ("", FUSED, NAIVE, HYDRA) if "{of}" in self.measure else ("",)


ATTENTION = {  # by file
    "attention-time": Shown(
        f"seconds{{of}}, {NAME} over length",
        "Seconds of attention alone, forward",
        "Time of attention alone against length, forward pass, on logarithmic axes; medians over blocks. In brackets "
        "the slope over the longer lengths with its 95 % interval. Grey: dot-product attention, fused (dashed) and "
        "with an explicit matrix of scores (dotted); dashes and dots: Hydra attention in one pass over memory. A "
        "vertical line marks where a method overtakes fused dot products.",
        f"seconds{{of}}, {NAME}",
    ),
    "attention-memory": Shown(
        "memory_bytes{of} over length",
        "Bytes of attention alone, forward and backward",
        "What attention alone holds for its forward and backward pass, against length, on logarithmic axes.",
    ),
    "attention-events": Shown(
        "seconds_per_event{of} over length",
        "Seconds of one more event",
        "Time that one more event of one user takes, against the length of the history, on logarithmic axes.",
    ),
}
NETWORKS = {
    "network-training": Shown(
        "training_seconds over length",
        "Seconds of a training step",
        "Time of a training step of the whole network against the length of histories, at an equal number of rows, on "
        "logarithmic axes; medians over blocks. In brackets the slope over the longer lengths with its 95 % interval.",
        "training_seconds",
    ),
    "network-inference": Shown(
        "inference_seconds over length",
        "Seconds of scores",
        "Time of the scores of all items for as many rows, against the length of histories, on logarithmic axes.",
        "inference_seconds",
    ),
    "network-events": Shown(
        "event_seconds over length",
        "Seconds of one more event and its scores",
        "Time from one more event of one user to the scores after it, against the length of the history, on "
        "logarithmic axes: from a state of constant size where the network has one, else by the whole history.",
        "event_seconds",
    ),
    "network-memory": Shown(
        "memory_bytes over length",
        "Bytes of a training step",
        "What forward and backward of a training step hold, against the length of histories, on logarithmic axes.",
        "memory_bytes",
    ),
}


def figures(
    folder: Path, dataset: str, title: str, shown: Mapping[str, Shown], rows: list[Row], machine: str
) -> list[Drawn]:
    """The figures for which there is something to show.

    Args:
        folder: of the figures.
        dataset: the name of the section.
        title: of the dataset.
        shown: ATTENTION or NETWORKS.
        rows: measurements of the probe of attention, or of efficiency.
        machine: what they were measured on, in a sentence.
    """
    drawn = []
    for name, figure in shown.items():
        if lines := _lines(rows, figure):
            told = {
                "alt": f"{figure.title}, by length, on {title}",
                "caption": f"{figure.caption} {machine}".strip(),
            }
            height = 3.6 + 0.2 * len({(row["folder"], row["method"]) for row in lines})
            paint = partial(_paint, lines, figure.title)
            drawn.append(draw(folder / f"{name}-{dataset}", lines, LINES, paint, height, **told))
    return drawn


def whole_runs(folder: Path, dataset: str, rows: list[Row], machine: str) -> Json | None:
    """The table of whole steps and inference: its rows and its files. Arguments as those of `figures`."""
    if not rows:
        return None
    lines = [_whole(own) for own in _by_run(rows).values()]
    return {"rows": lines, "machine": machine, "files": write_table(folder / f"timing-{dataset}", lines, WHOLE)}


def _lines(rows: list[Row], figure: Shown) -> list[Row]:
    """A row a method and length; other methods are those of the first run, for they are the same beside every one."""
    lines = []
    for number, own in enumerate(_by_run(rows).values()):
        for method in figure.methods if number == 0 else ("",):
            of = f" of {method}" if method else ""
            extra = (_slope(own, figure, of) | ({} if method else _crossover(own))) if figure.slope else {}
            known = {key: own[0][key] for key in ("title", "folder")} | {"method": method, **extra}
            curve = _curve(own, figure.measure.format(of=of))
            lines += [known | {"length": at, "value": value} for at, value in curve]
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


def _slope(rows: list[Row], figure: Shown, of: str) -> Row:
    measure = figure.slope.format(of=of)
    return {f"slope{end}": _single(rows, f"slope{end} of {measure} by length") for end in ENDS}


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

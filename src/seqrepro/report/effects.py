"""Effect plots: each test of a claim's part with its interval and the line that it must lie beyond; stored with data.

A test is a number that must be above 0 (ledger/bounds.py), so that the line at 0 is the margin of the test: for
'better than x' no difference, for 'within 5 % of x' the edge of the 5 %. A printed gain has a figure of its own, with
our gain, the printed one and its margin.
"""

from collections.abc import Callable
from functools import partial
from math import isfinite
from pathlib import Path
from textwrap import wrap
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from seqrepro.files import Json
from seqrepro.ledger.evidence import Row
from seqrepro.report.drawing import INK, PAPER, RULE, SERIES, SOFT, Drawn, draw

TEXT, REAL = pa.string(), pa.float64()
IDENTITY = ("paper", "claim", "part", "kind")
EFFECTS = pa.schema(
    [
        *((name, TEXT) for name in (*IDENTITY, "place", "test", "state")),
        *((name, REAL) for name in ("value", "low", "high")),
    ]
)
GAINS = pa.schema(
    [
        *((name, TEXT) for name in (*IDENTITY, "place", "state")),
        *((name, REAL) for name in ("gain", "gain_low", "gain_high", "printed", "margin_low", "margin_high")),
    ]
)
MARKS: dict[str, tuple[str, str, str, str]] = {  # colour, marker, fill, word
    "holds": (SERIES[2], "o", SERIES[2], "holds"),
    "fails": (SERIES[1], "X", SERIES[1], "fails"),
    "open": (SERIES[0], "o", PAPER, "open"),
}
NINETY = ("non_inferiority", "equivalence")  # kinds that are tested by 90 % intervals
MINUS = "\N{MINUS SIGN}"
LINE, GAP, LETTERS = 0.19, 0.3, 68  # inches a line of text, inches an interval, letters a line


def draw_effects(folder: Path, judged: Json, margins: dict[str, float]) -> list[Drawn]:
    """The figures of a claim: one a part that has tests with intervals, and one a part with a measured gain.

    Args:
        folder: where figures stand.
        judged: an entry of `verdicts.json`.
        margins: of parts about a printed gain, as a share of it; a part without one has no margin in its figure.
    """
    drawn = []
    for part in judged["parts"]:
        own = dict(zip(IDENTITY, (judged["paper"], judged["id"], part["id"], part["kind"]), strict=True))
        if rows := [own | row for finding in part["findings"] for row in _tested(finding)]:
            drawn.append(_effect(folder, rows))
        found = [row for finding in part["findings"] for row in _gains(finding, margins.get(part["id"]))]
        if found:
            drawn.append(_gain(folder, [own | row for row in found]))
    return drawn


def place_of(finding: Json) -> str:
    """Where a finding was made: a dataset, with the metric where the part has several; or a table."""
    return ", ".join([finding["dataset"], *([finding["metric"]] if "metric" in finding else [])])


def _tested(finding: Json) -> list[Row]:
    place = place_of(finding) + (" (extension)" if finding["extension"] else "")
    return [
        {"place": place, **{name: bound[name] for name in ("test", "state", "value", "low", "high")}}
        for bound in finding.get("bounds", [])
        if all(bound[name] is not None and isfinite(bound[name]) for name in ("value", "low", "high"))
    ]


def _gains(finding: Json, share: float | None) -> list[Row]:
    """Our gain beside each printed one (there are several where reports disagree)."""
    gain = finding.get("gain")
    if not gain:
        return []
    ours = {"place": place_of(finding), "state": finding["state"]}
    ours |= {"gain": gain["value"], "gain_low": gain["low"], "gain_high": gain["high"]}
    return [ours | _printed(number["value"], share) for number in finding.get("printed", [])]


def _printed(value: float, share: float | None) -> Row:
    margin = None if share is None else share * abs(value)
    ends = {} if margin is None else {"margin_low": value - margin, "margin_high": value + margin}
    return {"printed": value, "margin_low": None, "margin_high": None} | ends


def _effect(folder: Path, rows: list[Row]) -> Drawn:
    first, states = rows[0], [row["state"] for row in rows]
    counted = ", ".join(f"{states.count(name)} {mark[-1]}" for name, mark in MARKS.items() if name in states)
    places = list(dict.fromkeys(row["place"] for row in rows))
    level = "90 %" if first["kind"] in NINETY else "95 %"
    words = {
        "alt": f"{len(rows)} tests of claim {first['claim']}, part {first['part']}, on {', '.join(places)}: {counted}",
        "caption": f"Part {first['part']}: each test with its {level} interval. It must lie above 0, the line. "
        "Filled dot: holds; cross: fails; hollow dot: open.",
    }
    texts = [wrap(row["test"], LETTERS) for row in rows]
    height = 1.0 + 0.32 * len(places) + sum(LINE * len(text) + GAP for text in texts)
    return draw(_stem(folder, first, ""), rows, EFFECTS, partial(_paint_effect, rows, texts), height, **words)


def _gain(folder: Path, rows: list[Row]) -> Drawn:
    first = rows[0]
    words = {
        "alt": f"Gain of claim {first['claim']}, part {first['part']}, beside the printed one: {len(rows)} numbers",
        "caption": f"Part {first['part']}: our gain with its 95 % interval (dot), the printed gain (bar) and its "
        "margin (band).",
    }
    return draw(_stem(folder, first, "-gain"), rows, GAINS, partial(_paint_gain, rows), 1.0 + 0.5 * len(rows), **words)


def _stem(folder: Path, row: Row, more: str) -> Path:
    name = f"effect-{row['paper']}-{row['claim']}-{row['part']}{more}"
    return folder / name.lower().replace("_", "-")


def _paint_effect(rows: list[Row], texts: list[list[str]], axes: Axes) -> None:
    depth, place = 0.0, None
    for row, text in zip(rows, texts, strict=True):
        if row["place"] != place:
            place, depth = row["place"], depth + 0.32
            _say(axes, depth - 0.08, place, color=INK, fontsize=9.5, weight="bold")
        depth += LINE * len(text)
        _say(axes, depth - 0.03, "\n".join(text))
        depth += GAP
        _paint_interval(axes, row["state"], (row["low"], row["value"], row["high"]), depth - GAP / 2, "{:+.4f}".format)
    axes.axvline(0, color=INK, linewidth=1.1, zorder=1)
    _finish(axes, rows[0]["part"], depth)


def _paint_gain(rows: list[Row], axes: Axes) -> None:
    for number, row in enumerate(rows):
        top, middle = 0.5 * number, 0.5 * number + 0.34
        _say(axes, top + 0.15, f"{row['place']}, printed {_percent(row['printed'])}")
        if row["margin_low"] is not None:
            band: dict[str, Any] = {"facecolor": RULE, "edgecolor": SOFT, "linewidth": 0.6, "zorder": 1}
            axes.barh(middle, row["margin_high"] - row["margin_low"], 0.2, row["margin_low"], **band)
        axes.plot([row["printed"]] * 2, [middle - 0.14, middle + 0.14], color=INK, linewidth=2, zorder=2)
        ends = (row["gain_low"], row["gain"], row["gain_high"])
        _paint_interval(axes, row["state"], ends, middle, _percent)
    axes.axvline(0, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _finish(axes, f"{rows[0]['part']}: gain", 0.5 * len(rows))


def _paint_interval(
    axes: Axes, state: str, ends: tuple[float | None, float, float | None], height: float, show: Callable[[float], str]
) -> None:
    """A dot with its interval, and the value in words; an end that is not there is drawn as an arrow."""
    color, marker, face, word = MARKS.get(state, (SOFT, "s", PAPER, state))
    low, value, high = ends
    line: dict[str, Any] = {"color": color, "zorder": 3}
    for end, arrow in ((low, "<"), (high, ">")):
        if end is None:
            axes.plot(value, height, arrow, markersize=13, fillstyle="none", **line)
        else:
            axes.plot([value, end], [height, height], linewidth=2.2, solid_capstyle="round", **line)
    look: dict[str, Any] = {"markersize": 9 if marker == "X" else 7.5, "markerfacecolor": face, "markeredgewidth": 1.6}
    axes.plot(value, height, marker, **line, **look)
    said = f"{show(value).replace('-', MINUS)} {word}"
    axes.text(1.02, height, said, transform=axes.get_yaxis_transform(), va="center", color=INK, fontsize=9)


def _say(axes: Axes, depth: float, text: str, **more: Any) -> None:
    """A text at the left, above an interval; it hides the lines behind it."""
    box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}
    look: dict[str, Any] = {"color": SOFT, "fontsize": 8, "linespacing": 1.15, "zorder": 4, **more}
    axes.text(0, depth, text, transform=axes.get_yaxis_transform(), bbox=box, **look)


def _percent(share: float) -> str:
    return f"{share:+.1%}".replace("%", " %").replace("-", MINUS)


def _finish(axes: Axes, title: str, depth: float) -> None:
    axes.set_ylim(depth + 0.08, 0)
    axes.set_yticks([])
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_title(title)

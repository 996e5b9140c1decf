"""The figures of a suite: accuracy with intervals, learning curves; each beside its rows."""

from collections.abc import Iterable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from seqrepro.ledger.evidence import Row
from seqrepro.report.drawing import INK, PAPER, SERIES, SOFT, Drawn, color_of, draw, slug, spread

ACCURACY_METRICS = ("ndcg@10", "hit_rate@10")
CURVES = {"validation_ndcg@10": "Validation ndcg@10", "train_loss": "Training loss"}
TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
ACCURACY = pa.schema(
    [
        *((name, TEXT) for name in ("title", "folder", "metric", "interval_covers")),
        ("seeds", WHOLE),
        *((name, REAL) for name in ("mean", "low", "high")),
    ]
)
HISTORY = pa.schema(
    [("title", TEXT), ("folder", TEXT), ("seed", WHOLE), ("epoch", WHOLE), *((name, REAL) for name in CURVES)]
)


def accuracy(folder: Path, dataset: str, title: str, metrics: list[Row]) -> list[Drawn]:
    """Dots with 95 % intervals, one figure a metric, the most accurate model on top."""
    drawn = []
    for metric in ACCURACY_METRICS:
        rows = [row for row in metrics if (row["metric"], row["masking"]) == (metric, "masked") and row["seeds"]]
        rows.sort(key=lambda row: row["mean"])
        if rows:
            one_seed = any(row["interval_covers"] == "users" for row in rows)
            note = " Hollow: one seed; the interval covers users only." if one_seed else ""
            words = {
                "alt": f"{metric} of {len(rows)} models on {title}, with 95 % intervals",
                "caption": f"{metric} on the test split, with 95 % intervals.{note}",
            }
            stem = folder / f"accuracy-{dataset}-{slug(metric)}"
            paint = partial(_paint_accuracy, rows, metric)
            drawn.append(draw(stem, _kept(rows, ACCURACY), ACCURACY, paint, 1.0 + 0.33 * len(rows), **words))
    return drawn


def learning_curves(folder: Path, dataset: str, title: str, histories: list[Row]) -> list[Drawn]:
    """Validation accuracy and training loss by epoch: a line a seed, a colour a model; closed forms are level lines."""
    trained = [row for row in histories if row.get("train_loss") is not None]
    drawn = []
    for column, label in CURVES.items() if trained else ():
        rows = histories if column.startswith("validation") else trained
        level = " Dashed: closed-form models, which have no epochs." if len(rows) > len(trained) else ""
        words = {
            "alt": f"{label} by epoch on {title}",
            "caption": f"{label} by epoch, one line a seed; a dot marks the epoch that was kept.{level}",
        }
        stem = folder / f"learning-{dataset}-{slug(column.removeprefix('validation_'))}"
        paint = partial(_paint_curves, rows, column, label)
        drawn.append(draw(stem, _kept(rows, HISTORY), HISTORY, paint, 3.6, **words))
    return drawn


def _paint_accuracy(rows: list[Row], metric: str, axes: Axes) -> None:
    for place, row in enumerate(rows):
        face = PAPER if row["interval_covers"] == "users" else SERIES[0]
        line: dict[str, Any] = {"color": SERIES[0], "clip_on": False, "zorder": 3}
        axes.plot([row["low"], row["high"]], [place, place], linewidth=2.2, solid_capstyle="round", **line)
        axes.plot(row["mean"], place, "o", markersize=7.5, markerfacecolor=face, markeredgewidth=1.6, **line)
        beside = axes.get_yaxis_transform()
        axes.text(1.02, place, f"{row['mean']:.4f}", transform=beside, va="center", color=INK)
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows], color=INK)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(left=min([0.0, *(row["low"] for row in rows)]))
    axes.tick_params(axis="y", pad=9)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_title(metric)


def _paint_curves(rows: list[Row], column: str, label: str, axes: Axes) -> None:
    trained = list(dict.fromkeys(row["folder"] for row in rows if row.get("train_loss") is not None))
    last = max(row["epoch"] for row in rows)
    ends: list[tuple[float, str, str]] = []
    for folder, group in groupby(sorted(rows, key=lambda row: _order(row, trained)), key=lambda row: row["folder"]):
        lines = list(group)
        color = color_of(trained.index(folder)) if folder in trained else SOFT
        values = [_paint_run(list(run), column, color, folder in trained, axes) for run in _by_seed(lines)]
        ends.append((sum(values) / len(values), lines[0]["title"], color))
    axes.set_xlim(0 if last else -0.5, max(last, 1))
    if column.startswith("validation"):
        axes.set_ylim(bottom=0)
    _label_ends(ends, axes)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch")
    axes.grid(axis="y")
    axes.set_title(label)


def _paint_run(rows: list[Row], column: str, color: str, trained: bool, axes: Axes) -> float:
    """Draw one seed's line, and return the value at its end."""
    end = float(rows[-1][column])
    if not trained:
        axes.axhline(end, color=color, linewidth=1.1, linestyle=(0, (4, 3)))
        return end
    axes.plot([row["epoch"] for row in rows], [row[column] for row in rows], color=color, linewidth=1.5, alpha=0.85)
    for row in [row for row in rows if row.get("is_best")][-1:]:
        axes.plot(row["epoch"], row[column], "o", color=color, markersize=5, markeredgecolor=PAPER, clip_on=False)
    return end


def _label_ends(ends: list[tuple[float, str, str]], axes: Axes) -> None:
    """Name each line at the right edge, labels moved apart where lines end close together."""
    low, high = axes.get_ylim()
    wanted = [(value - low) / (high - low) for value, _, _ in ends]
    for (_, title, color), place in zip(ends, spread(wanted, 0.075), strict=True):
        axes.annotate(title, (1.035, place), xycoords="axes fraction", color=color, va="center", fontsize=9.5)


def _by_seed(rows: list[Row]) -> Iterable[Iterable[Row]]:
    return (run for _, run in groupby(rows, key=lambda row: row["seed"]))


def _order(row: Row, trained: list[str]) -> tuple[bool, int, str, int, int]:
    known = row["folder"] in trained
    return known, trained.index(row["folder"]) if known else 0, row["folder"], row["seed"], row["epoch"]


def _kept(rows: list[Row], schema: pa.Schema) -> list[Row]:
    return [{name: row.get(name) for name in schema.names} for row in rows]

"""Figures of variations: accuracy, and sharpness where it was measured, by the setting that is varied."""

from functools import partial
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes

from seqrepro.ledger.evidence import Row
from seqrepro.ledger.statistics import t_interval
from seqrepro.ledger.variations import PACE, VARIATIONS
from seqrepro.report.drawing import MARKERS, PAPER, Drawn, color_of, draw, name_models, names_height, slug

SHOWN = {
    "ndcg@10": "ndcg@10 on the test split",
    "ndcg@10, unmasked": "ndcg@10 on the test split, seen items ranked too",
    "lambda_max": "Largest eigenvalue of the Hessian",
    PACE: "Seconds of a step of training",
}
LOGARITHMIC = 8  # the axis of settings is, if the largest is so many times the smallest


def variations(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """A figure a varied setting and measure, one line a model with 95 % t intervals over seeds.

    Rows: the table `variations`; those whose setting has no single number are left to the table.
    """
    rows = [row for row in rows if _is_shown(row) and row["at"] is not None]
    rows = sorted(rows, key=_place)  # stable: models and settings stay in order
    drawn = []
    for (experiment, group, measure), own in groupby(rows, key=_place):
        listed = list(own)
        words = {
            "alt": f"{SHOWN[measure]} by {group} on {title}",
            "caption": f"{SHOWN[measure]} by {group}: mean over seeds with a 95 % t interval. "
            "Dotted: the same model with nothing varied, as its name has it.",
        }
        stem = folder / f"varied-{dataset}-{experiment}-{slug(group)}-{slug(measure)}"
        paint, height = partial(_paint, listed, group, SHOWN[measure]), 3.2 + names_height(listed)
        drawn.append(draw(stem, listed, VARIATIONS, paint, height, **words))
    return drawn


def _paint(rows: list[Row], group: str, label: str, axes: Axes) -> None:
    for index, model in enumerate(dict.fromkeys(row["model"] for row in rows)):
        own = [row for row in rows if row["model"] == model]
        places = sorted({row["at"] for row in own})
        found = [t_interval([row["value"] for row in own if row["at"] == at]) for at in places]
        reach = [0.0 if high is None else high - mean for mean, _, high in found]
        look = {"color": color_of(index), "marker": MARKERS[index % len(MARKERS)], "label": own[0]["title"]}
        means = [mean for mean, *_ in found]
        axes.errorbar(places, means, yerr=reach, capsize=3, linewidth=1.5, markersize=6, markeredgecolor=PAPER, **look)
        if plain := {row["seed"]: row["plain"] for row in own if row["plain"] is not None}:
            axes.axhline(sum(plain.values()) / len(plain), color=color_of(index), linewidth=1.1, linestyle=":")
    places = sorted({row["at"] for row in rows})
    if places[0] > 0 and places[-1] / places[0] > LOGARITHMIC:
        axes.set_xscale("log")
        if rows[0]["measure"] == PACE:  # its slope over a length is what claims are about
            axes.set_yscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places], minor=False)
    axes.set_xticks([], minor=True)
    axes.grid(axis="y")
    axes.set_xlabel(group)
    axes.set_title(label)
    name_models(axes)


def _is_shown(row: Row) -> bool:
    """Generated items recur, so that a ranking without those of the history says nothing there."""
    return row["measure"] in SHOWN and (row["data_class"], row["measure"]) != ("generated", "ndcg@10")


def _place(row: Row) -> tuple[str, str, str]:
    return row["experiment"], row["group"], row["measure"]

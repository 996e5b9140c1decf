"""Figures of robustness: what is left of the accuracy when histories are disturbed, and accuracy slice by slice.

A kind of disturbance that was tried at several strengths is a curve, with a 95 % t-interval over seeds where there are
two or more; the others are dots, one a seed. A slice is a bin of users (`probes/slices.py`).
"""

from functools import partial
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from scipy import stats

from seqrepro.files import Json
from seqrepro.ledger.evidence import Row, seed_folder
from seqrepro.ledger.measurements import bin_text
from seqrepro.ledger.statistics import Part, degrees_of_freedom, t_interval
from seqrepro.report.drawing import INK, MARKERS, PAPER, SOFT, Drawn, color_of, draw, name_models, names_height

METRIC = "ndcg@10"
UNPERTURBED = "none"  # as the robustness probe calls the true history
TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
OWN = (("title", TEXT), ("folder", TEXT), ("seed", WHOLE))
ROBUSTNESS = pa.schema(
    [
        *((name, TEXT) for name in ("title", "folder", "perturbation", "metric")),
        ("seed", WHOLE),
        *((name, REAL) for name in ("original", "perturbed")),
    ]
)
SLICES = pa.schema(
    [
        *OWN,
        *(("slice", TEXT), ("low", WHOLE), ("high", WHOLE), ("users", WHOLE)),
        *(("metric", TEXT), ("mean", REAL), ("standard_error", REAL)),
    ]
)
KINDS = {  # of disturbances: title of a panel, what its axis counts
    "insert_random": ("Random items inserted", "share of the history"),
    "swap": ("Neighbours swapped", "share of the history"),
    "delete": ("Random items deleted", "share of the history"),
    "duplicate": ("Random items doubled", "share of the history"),
    "drop_last": ("Newest items missing", "items"),
}
SLICED = {  # panels of slices: title, meaning of the bins
    "history": ("Users by length of history", "training interactions of the user"),
    "popularity": ("Users by popularity of the target", "training interactions of the held-out item"),
}


def read_robustness(runs: list[Json]) -> list[Row]:
    """One row a (configuration, seed, perturbation): accuracy with the true history and with the disturbed one."""
    return [row for run in runs for seed in run["seeds"] for row in _robustness(run, seed)]


def read_slices(runs: list[Json]) -> list[Row]:
    """One row a (configuration, seed, slice, bin) of the probe slices."""
    return [row for run in runs for seed in run["seeds"] for row in _rows(run, seed, "slices.parquet")]


def robustness(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """The share of accuracy that is left when histories are disturbed: dots, and curves. Rows: `read_robustness`."""
    rows = [row for row in rows if row["original"]]
    names = dict.fromkeys(row["perturbation"] for row in rows)
    kinds = [_kind(name) for name in names]
    varied = [kind for kind in KINDS if kinds.count(kind) > 1]
    dots = [row for row in rows if _kind(row["perturbation"]) not in varied]
    curves = [row for row in rows if _kind(row["perturbation"]) in varied]
    models, stem = _models(rows), folder / f"robustness-{dataset}"
    return [*_dots(stem, title, dots, models), *_curves(stem, title, curves, models, varied)]


def slices(folder: Path, dataset: str, title: str, rows: list[Row]) -> list[Drawn]:
    """Accuracy by length of history and by popularity of the target, a panel each. Rows: `read_slices`."""
    models, shown = _models(rows), [name for name in SLICED if any(row["slice"] == name for row in rows)]
    if not shown:
        return []
    words = {
        "alt": f"{METRIC} of {len(models)} models on {title} by length of history and by popularity of the target",
        "caption": f"{METRIC} on the test split, by training interactions of the user and of the held-out item, with "
        "95 % intervals over users, and over seeds where there are several. Below each bin: its users.",
    }
    height = 0.8 + 2.3 * len(shown) + names_height(rows)
    paint = partial(_paint_slices, rows, models, shown)
    return [draw(folder / f"slices-{dataset}", rows, SLICES, paint, height, (len(shown), 1), **words)]


def _dots(stem: Path, title: str, rows: list[Row], models: list[str]) -> list[Drawn]:
    if not rows:
        return []
    names = list(dict.fromkeys(row["perturbation"] for row in rows))
    words = {
        "alt": f"Share of {METRIC} left under {len(names)} disturbances of the history on {title}",
        "caption": f"{METRIC} with a disturbed history, as a share of that with the true one; a dot a seed. "
        "At 100 % the disturbance costs nothing.",
    }
    height = 0.9 + len(names) * (0.2 + 0.22 * len(models)) + names_height(rows)
    return [draw(stem, rows, ROBUSTNESS, partial(_paint_dots, rows, names, models), height, **words)]


def _curves(stem: Path, title: str, rows: list[Row], models: list[str], kinds: list[str]) -> list[Drawn]:
    if not rows:
        return []
    words = {
        "alt": f"Share of {METRIC} left by strength of {len(kinds)} disturbances of the history on {title}",
        "caption": f"{METRIC} with a disturbed history, as a share of that with the true one, by strength of the "
        "disturbance. A line is the mean of a model's seeds, with a 95 % t-interval where there are two or more.",
    }
    grid = (-(-len(kinds) // 2), min(2, len(kinds)))
    height = 0.5 + 2.2 * grid[0] + names_height(rows)
    paint = partial(_paint_curves, rows, models, kinds)
    return [draw(stem.with_name(f"{stem.name}-by-strength"), rows, ROBUSTNESS, paint, height, grid, **words)]


def _paint_dots(rows: list[Row], names: list[str], models: list[str], axes: Axes) -> None:
    step = 0.8 / len(models)
    for index, folder in enumerate(models):
        own = [row for row in rows if row["folder"] == folder]
        heights = [names.index(row["perturbation"]) - 0.4 + step * (index + 0.5) for row in own]
        shares = [row["perturbed"] / row["original"] for row in own]
        look = _look(index, own[0]["title"] if own else "")
        axes.plot(shares, heights, linestyle="none", markersize=6.5, markeredgecolor=PAPER, **look)
    axes.axvline(1, color=SOFT, linewidth=1.2, zorder=0)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    name_models(axes)
    axes.set_title("What is left of " + rows[0]["metric"])


def _paint_curves(rows: list[Row], models: list[str], kinds: list[str], *panels: Axes) -> None:
    for axes, kind in zip(panels, kinds, strict=False):
        for index, folder in enumerate(models):
            own = [row for row in rows if row["folder"] == folder and _kind(row["perturbation"]) == kind]
            if own:
                _paint_line(own, index, axes)
        axes.axhline(1, color=SOFT, linewidth=1, zorder=0)
        axes.set_xlim(left=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        if KINDS[kind][1] != "items":
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel(KINDS[kind][1])
        axes.grid(axis="y")
        axes.set_title(KINDS[kind][0], fontsize=10)
    _share_heights(list(panels[: len(kinds)]))
    for axes in panels[len(kinds) :]:
        axes.remove()
    name_models(panels[0])


def _paint_line(rows: list[Row], index: int, axes: Axes) -> None:
    """A model's mean share by strength, from 100 % at none."""
    by_strength: dict[float, list[float]] = {}
    for row in rows:
        by_strength.setdefault(_strength(row["perturbation"]), []).append(row["perturbed"] / row["original"])
    found = {0.0: (1.0, 1.0, 1.0)} | {at: _with_ends(own) for at, own in sorted(by_strength.items())}
    at, (means, low, high) = list(found), zip(*found.values(), strict=True)
    look = _look(index, rows[0]["title"])
    axes.plot(at, means, linewidth=1.5, markersize=4.5, markeredgecolor=PAPER, markevery=slice(1, None), **look)
    axes.fill_between(at, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _with_ends(values: list[float]) -> tuple[float, float, float]:
    """The mean of some seeds and the ends of its interval, which are the mean itself for one seed."""
    mean, low, high = t_interval(values)
    return mean, mean if low is None else low, mean if high is None else high


def _paint_slices(rows: list[Row], models: list[str], shown: list[str], *panels: Axes) -> None:
    for axes, name in zip(panels, shown, strict=True):
        own = [row for row in rows if row["slice"] == name]
        users = {(row["low"], row["high"]): row["users"] for row in own}
        places = [place for place in sorted(users, key=lambda place: place[0]) if users[place]]
        for index, folder in enumerate(models):
            _paint_bins([row for row in own if row["folder"] == folder], places, index, len(models), axes)
        texts = [bin_text({"low": low, "high": high}).replace("-", "\N{EN DASH}") for low, high in places]
        labels = [f"{text}\n{users[place]:,}" for text, place in zip(texts, places, strict=True)]
        axes.set_xticks(range(len(places)), labels, color=INK)
        axes.set_xlim(-0.5, len(places) - 0.5)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.set_xlabel(SLICED[name][1])
        axes.set_ylabel(METRIC)
        axes.set_title(SLICED[name][0], fontsize=10)
    name_models(panels[0])


def _paint_bins(rows: list[Row], places: list[Any], index: int, n_models: int, axes: Axes) -> None:
    """A model's mean in each bin with its interval, beside those of the other models."""
    step = 0.7 / n_models
    for number, place in enumerate(places):
        seeds = [row for row in rows if (row["low"], row["high"]) == place and row["mean"] is not None]
        if seeds:
            look = _look(index, rows[0]["title"]) | {"markersize": 4.5, "markeredgecolor": PAPER}
            at, value, reach = (
                number - 0.35 + step * (index + 0.5),
                fmean(row["mean"] for row in seeds),
                bin_reach(seeds),
            )
            ends = [[min(reach, value)], [min(reach, 1 - value)]]  # a metric lies between 0 and 1
            axes.errorbar(at, value, ends, elinewidth=1.4, linestyle="none", clip_on=False, **look)


def bin_reach(seeds: list[Row]) -> float:
    """Half of the 95 % interval of a bin's mean over its users and over some seeds; 0 for one user with one seed.

    The variance over the users of a seed and that between seeds add up, with the degrees of freedom of
    `ledger/statistics.py`. With several seeds that is a little more than is needed: their interaction counts twice.
    """
    users, n = seeds[0]["users"], len(seeds)
    within = Part(fmean((row["standard_error"] or 0.0) ** 2 for row in seeds), max(1, users - 1))
    between = Part(variance(row["mean"] for row in seeds) / n if n > 1 else 0.0, max(1, n - 1))
    df = degrees_of_freedom(within, between)
    return float(stats.t.ppf(0.975, df) * (within.variance + between.variance) ** 0.5)


def _share_heights(panels: list[Axes]) -> None:
    """One scale for all panels."""
    low, high = min(axes.get_ylim()[0] for axes in panels), max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(max(0.0, low), high)


def _look(index: int, title: str) -> dict[str, Any]:
    return {"color": color_of(index), "marker": MARKERS[index % len(MARKERS)], "label": title}


def _models(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["folder"] for row in rows))


def _kind(perturbation: str) -> str:
    return perturbation.partition("-")[0]


def _strength(perturbation: str) -> float:
    return float(perturbation.partition("-")[2])


def _robustness(run: Json, seed: int) -> list[Row]:
    """Of all robustness probes of a run; what two of them measured is the same, and stands here once."""
    rows = _rows(run, seed, "robustness.parquet")
    found = {row["perturbation"]: row for row in rows}
    original = found.pop(UNPERTURBED)["value"] if found else None
    return [
        {name: row[name] for name in ("title", "folder", "seed", "perturbation", "metric")}
        | {"original": original, "perturbed": row["value"]}
        for row in found.values()
    ]


def _rows(run: Json, seed: int, name: str) -> list[Row]:
    """The rows of all probes of a run that wrote such a file, of one metric."""
    own = {"title": run["title"], "folder": run["folder"], "seed": seed}
    paths = sorted((seed_folder(run, seed) / "probes").glob(f"*/{name}"))
    found = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return [own | row for row in found if row["metric"] == METRIC]

"""What the pages show of one protocol on one dataset: its tables and its figures."""

from pathlib import Path
from typing import Any

from seqrepro.files import Json
from seqrepro.ledger import cost, exposure, searches, tables
from seqrepro.ledger.evidence import Row
from seqrepro.probes.measurements import FILE
from seqrepro.report import curvature, figures, geometry, planes, robustness, timings
from seqrepro.report.cells import read_histories
from seqrepro.report.probed import chosen, machines, read_probe
from seqrepro.report.varied import variations

GENERATED = "generated"
HEADLINE = "ndcg@10"
SURFACE = ("curvature", "around", "trajectory")  # figures of the training loss
TIMED = ("attention", "timing", "efficiency")  # kinds of probes that measure times and write tidy rows
OF_PLACE = ("variations", "searches")  # tables of runs that stand in no table of accuracy
Section = dict[str, Any]


def read_sections(wanted: Json, rows: dict[str, list[Row]]) -> list[Section]:
    """The sections of a suite, in the order of its datasets; their figures are drawn."""
    places = tables.places(wanted["runs"], wanted["datasets"], wanted["runs"])
    return [_section(dataset, words, runs, wanted, rows) for dataset, words, runs in places]


def _section(name: str, words: str, runs: list[Json], wanted: Json, rows: dict[str, list[Row]]) -> Section:
    """One protocol on one dataset; `words` name it, unless it is the only one there."""
    dataset = wanted["datasets"][name]
    if words:
        name, dataset = f"{name}-{runs[0]['protocol_name']}", dataset | {"title": dataset["title"] + words}
    folders = {run["folder"] for run in runs}
    own = {table: [row for row in found if row["folder"] in folders] for table, found in rows.items()}
    for table in OF_PLACE:
        own[table] = [row for row in rows[table] if _is_here(row, runs[0])]
    folder = Path(wanted["figures"])
    surface = _surface(folder, name, dataset["title"], runs, wanted["probes"])
    drawn = _drawn(folder, name, dataset["title"], runs, own) | {group: surface[group] for group in SURFACE}
    timed = {kind: chosen(runs, wanted["probes"], kind, FILE) for kind in TIMED}
    measured = {kind: (read_probe(runs, probe, FILE), machines(runs, probe)) for kind, probe in timed.items()}
    for kind, shown in {"attention": timings.ATTENTION, "efficiency": timings.NETWORKS}.items():
        drawn[kind] = timings.figures(folder, name, dataset["title"], shown, *measured[kind])
    return {
        "name": name,
        "anchor": f"data-{name}",
        "dataset": dataset,
        "runs": runs,
        "done": sum(row["state"] == "done" for row in own["runs"]),
        "papers": list(dict.fromkeys(paper for run in runs for paper in run["papers"])),
        "protocol": runs[0]["protocol"],
        "generated": dataset["family"] == GENERATED,
        "among": runs[0]["rankings"].get("sampled"),
        "drawn": drawn,
        "figures": [figure for group in drawn.values() for figure in group],
        "surface": f"surface-{name}" if surface["table"] or any(surface[group] for group in SURFACE) else "",
        "curvature": surface["table"],
        "timing": timings.whole_runs(folder, name, *measured["timing"]),
        **_accuracies(own["metrics"]),
        **_comparisons(own),
    }


def _is_here(row: Row, run: Json) -> bool:
    return all(row[name] == run[name] for name in ("dataset", "protocol_name"))


def _drawn(folder: Path, name: str, title: str, runs: list[Json], own: dict[str, list[Row]]) -> dict[str, Any]:
    return {
        "accuracy": figures.accuracy(folder, name, title, own["metrics"]),
        "learning": figures.learning_curves(folder, name, title, read_histories(runs)),
        "variations": variations(folder, name, title, own["variations"]),
        "robustness": robustness.robustness(folder, name, title, robustness.read_robustness(runs)),
        "slices": robustness.slices(folder, name, title, robustness.read_slices(runs)),
    }


def _surface(folder: Path, name: str, title: str, runs: list[Json], probes: dict[str, str]) -> dict[str, Any]:
    """What the probes of the training loss found: a table, and figures by group."""
    sharpness = chosen(runs, probes, "sharpness", FILE)
    measured = read_probe(runs, sharpness, FILE)
    lines = read_probe(runs, chosen(runs, probes, "landscape", "landscape.parquet"), "landscape.parquet")
    along = read_probe(runs, chosen(runs, probes, "trajectory", FILE), FILE)
    return {
        "table": curvature.write(folder, name, runs, sharpness, measured),
        "curvature": [
            *geometry.eigenvalues(folder, name, title, measured),
            *geometry.density(folder, name, title, read_probe(runs, sharpness, "density.parquet")),
        ],
        "around": [
            *geometry.slices(folder, name, title, lines),
            *planes.contours(folder, name, title, lines),
            *planes.surfaces(folder, name, title, lines),
        ],
        "trajectory": geometry.trajectories(folder, name, title, along),
    }


def _accuracies(rows: list[Row]) -> dict[str, Any]:
    by_masking = {name: [row for row in rows if row["masking"] == name] for name in ("masked", "unmasked", "sampled")}
    masked = by_masking["masked"]
    best = tables.best_folders(masked).get(HEADLINE)
    return {
        **{name: _table(own) for name, own in by_masking.items()},
        "top": next((row for row in masked if (row["metric"], row["folder"]) == (HEADLINE, best)), None),
        "users": max((row["users"] or 0 for row in masked), default=0),
        "repeated": max((row["targets_in_history"] or 0 for row in masked), default=0),
    }


def _comparisons(own: dict[str, list[Row]]) -> dict[str, Any]:
    first = next(iter(own["comparisons"]), None)
    return {
        "baseline": first and {"title": first["baseline"], "folder": first["baseline_folder"]},
        "comparisons": tables.by_folder(own["comparisons"]),
        "exposure": exposure.by_cutoff(own["exposure"]),
        "parameters": own["parameters"],
        "searches": searches.by_model(own["searches"]),
        "cost": cost.by_model(own["cost"], own["compute"]),
        "comparable": [row for row in own["published"] if row["comparable"] == "yes"],
        "other_published": [row for row in own["published"] if row["comparable"] != "yes"],
    }


def _table(rows: list[Row]) -> dict[str, Any]:
    """Rows by configuration and metric, the best of each metric, and whether one seed or ties need a footnote."""
    shown = [row for row in rows if row["metric"] in tables.PAPER_METRICS]
    finished = [row for row in shown if row["seeds"]]
    return {
        "models": tables.by_folder(shown),
        "best": tables.best_folders(shown),
        "one_seed": any(row["interval_covers"] == "users" for row in finished),
        "ties": any(tables.ties_matter(row) for row in finished),
    }

"""The runs that are points of the Performance Law: those of experiments with `law`, as step `refit` reads them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqrepro.config.parameters import Parameters
from seqrepro.config.plan import Need, Run
from seqrepro.config.run_plan import measure_request
from seqrepro.ledger.parts import Tabulated
from seqrepro.request import Request

Entry = dict[str, Any]
READ = ("metrics.json", "history.parquet", "ranks.parquet")
ALL = "all"  # of the data
OWN_TABLES = {
    "points": ("", ""),  # hundreds of rows: not shown in the report
    "own": ("", ""),  # as many columns as forms.csv
    "replicates": (
        "What the seeds of our own runs say of the panels",
        "F tests against the noise between seeds. Shape: a small p says that depth and width matter at all. "
        "Attainable: about the R2 that the true means would have. Lack of fit: small if the form "
        "misses something.",
    ),
    "losses": (
        "Training loss by depth in our own runs",
        "Last change: of the deepest model against the next one, mean over seeds with a 95 % t interval. The loss is "
        "that of the epoch whose weights count; its fit is A N^-a + c with c at least 0.",
    ),
    "frameworks": (
        "Weights of depth and width by architecture",
        "Fits with one p1 for all, in the sign of the authors' script. Intervals are of resampled seeds and residuals.",
    ),
    "interventions": ("", ""),  # hundreds of pairs, counted below
    "agreement": (
        "Training sets with the same tokens and another entropy",
        "Pairs of training sets in which accuracy changes in the direction of the measure of data (agreeing), against "
        "it (opposed), or where the 95 % t interval over seeds holds 0 (open).",
    ),
}


def law_entries(parameters: Parameters, runs: list[Run], datasets: dict[str, Any]) -> list[Entry]:
    """An entry a (run, model), in the order of the plan; one that several experiments need comes once.

    Args:
        parameters: the parameters.
        runs: all runs of the suite.
        datasets: descriptions, by name.
    """
    entries: dict[tuple[str, int, str], Entry] = {}
    for run in runs:
        for need in run.needs:
            if parameters.experiments[need.experiment].law:
                entries.setdefault((run.folder, run.seed, need.model), _entry(parameters, run, need, datasets))
    return list(entries.values())


def is_of_own_runs(part: Tabulated) -> bool:
    """Whether the rows of a table that a part means are made from our own runs, and not from published points."""
    own = {"points": "own", "fit": "joint"}
    return part.table in {f"laws/{name}.csv" for name in OWN_TABLES} or any(
        part.where.get(column) == value for column, value in own.items()
    )


def law_files(entries: list[Entry]) -> list[str]:
    """What the tables of own points read."""
    runs = [f"{entry['folder']}/{name}" for entry in entries for name in READ]
    return list(dict.fromkeys([*runs, *(entry["measures"] for entry in entries if entry["measures"])]))


def law_tables(paths: list[str]) -> list[dict[str, str]]:
    """How the report shows the tables of own points."""
    named = [(path, *OWN_TABLES[Path(path).stem]) for path in paths]
    return [{"title": title, "caption": caption, "path": path} for path, title, caption in named if title]


def law_requests(parameters: Parameters, runs: list[Run]) -> Iterator[tuple[Path, Request]]:
    """The measuring of what the trainings of a law's points saw."""
    for run in runs:
        if parameters.measures and any(parameters.experiments[need.experiment].law for need in run.needs):
            yield measure_request(run, parameters.measures)


def _entry(parameters: Parameters, run: Run, need: Need, datasets: dict[str, Any]) -> Entry:
    assert need.variant is not None, "an experiment with `law` has settings"
    shape, data = run.config["model"], need.variant.setup.training.data
    measured = measure_request(run, parameters.measures) if parameters.measures else None
    return {
        "dataset": run.dataset,
        "data_class": datasets[run.dataset]["class"],
        "model": need.model,
        "title": parameters.models[need.model].title,
        "family": shape["family"],
        "protocol_name": parameters.experiments[need.experiment].protocol,
        "experiment": need.experiment,
        "n_blocks": shape["layers"],
        "d_emb": shape["width"],
        "max_length": shape["max_length"],
        "data": data.text() if data else ALL,
        "folder": f"{run.folder}/seed-{run.seed}",
        "seed": run.seed,
        "measures": f"{measured[1].folder}/measures.json" if measured else None,
    }

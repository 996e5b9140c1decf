"""Select: which trial of each model is the best on each dataset, by the validation rows of rank files alone.

The rows of the test split are filtered out while a file is read, and `metrics.json`, which tells of the test, is not
opened. A target that stands in its own masked history is a miss. The earlier of equal trials wins.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seqrepro.config.dataset_plan import Registry
from seqrepro.config.parameters import Parameters
from seqrepro.config.plan import Run, plan_experiment
from seqrepro.config.selection import read_selections
from seqrepro.errors import InputError
from seqrepro.evaluation.metrics import user_values
from seqrepro.evaluation.ranks import ranks_of
from seqrepro.files import Json, read_json, sha256_file
from seqrepro.provenance.sidecar import NAME

Tried = dict[tuple[str, str], list[Run]]  # dataset and model -> its trials, in order
KEYS = ["user", "position"]
COLUMNS = [*KEYS, "target_in_history", "rank_masked_worst"]
DIGITS = 8  # of a value: the last bits, in which processors differ, decide nothing


def planned_trials(parameters: Parameters, experiment: str, registry: Registry, suites: Iterable[str]) -> Tried:
    """The trials of an experiment in some suites."""
    found: dict[tuple[str, str], dict[int, Run]] = {}
    for suite in suites:
        for run in plan_experiment(parameters, suite, experiment, registry):
            need = run.needs[0]
            if need.trial is not None:
                found.setdefault((run.dataset, need.model), {})[need.trial.number] = run
    return {place: [runs[number] for number in sorted(runs)] for place, runs in found.items()}


def select(parameters: Parameters, experiment: str, suite: str, registry: Registry) -> Json:
    """The selection of an experiment, as it stands in `registry/selected/`.

    What was selected from the same search for the datasets and models of other suites stays in it.

    Raises:
        InputError: a trial is not finished, or a rank file is not what it must be.
    """
    tried = planned_trials(parameters, experiment, registry, [suite])
    _expect_all(experiment, suite, tried)
    name = parameters.experiments[experiment].search or ""
    search = parameters.searches[name].of_trials()
    choices = _kept(experiment, search)
    for (dataset, model), runs in tried.items():
        choices.setdefault(dataset, {})[model] = choice(runs, search["metric"])
    return {"schema_version": 1, "experiment": experiment, "name": name, "search": search, "choices": choices}


def choice(runs: Sequence[Run], metric: str) -> Json:
    """The chosen trial of one model on one dataset, and all trials with what they reached.

    Raises:
        InputError: a rank file is not one, or is of other users than the first.
    """
    tables = [validation_rows(ranks_path(run)) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if not table.select(KEYS).equals(tables[0].select(KEYS)):
            raise InputError(f"{ranks_path(run)}: users and positions differ from those of {ranks_path(runs[0])}")
    trials = [_trial(run, value(metric, table)) for run, table in zip(runs, tables, strict=True)]
    best = max(range(len(trials)), key=lambda number: float(trials[number]["value"]))  # the first of equals
    return {"trial": best, "settings": trials[best]["settings"], "trials": trials}


def validation_rows(path: Path) -> pa.Table:
    """The validation rows of a rank file; those of the test are never loaded. Raises InputError."""
    try:
        table = pq.read_table(path, columns=COLUMNS, filters=[("split", "=", "validation")])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a rank file ({str(error).splitlines()[0]})") from None
    if not len(table):
        raise InputError(f"{path}: no validation rows")
    return table


def value(metric: str, table: pa.Table) -> float:
    """A metric of validation rows: history masked, ties against the target; rounded to 8 digits."""
    gains = user_values(metric, ranks_of(table), sys.maxsize).numpy().copy()
    gains[table["target_in_history"].to_numpy()] = 0.0
    return round(float(gains.mean()), DIGITS)


def run_folder(run: Run) -> Path:
    """The folder of one training."""
    return Path(run.folder) / f"seed-{run.seed}"


def ranks_path(run: Run) -> Path:
    """The rank file of one training."""
    return run_folder(run) / "ranks.parquet"


def _trial(run: Run, reached: float) -> Json:
    trial = run.needs[0].trial
    return {
        "settings": trial.settings if trial else {},
        "run": run_folder(run).as_posix(),
        "config_sha256": run.config_hash,
        "ranks_sha256": sha256_file(ranks_path(run)),
        "value": reached,
    }


def _expect_all(experiment: str, suite: str, tried: Tried) -> None:
    missing = {place: sum(not _finished(run) for run in runs) for place, runs in tried.items()}
    if lacking := sum(missing.values()):
        where = ", ".join(f"{model} on {dataset}: {n}" for (dataset, model), n in missing.items() if n)
        raise InputError(
            f"{experiment}: {lacking} of {sum(map(len, tried.values()))} trials are not finished ({where}); "
            f"`snakemake --cores all --config suite={suite}` runs them"
        )


def _finished(run: Run) -> bool:
    """Whether results with a sidecar are there, whichever version of the code made them."""
    path, sidecar = ranks_path(run), run_folder(run) / NAME
    if not path.is_file() or not sidecar.is_file():
        return False
    if read_json(sidecar).get("outputs", {}).get(path.as_posix()) != sha256_file(path):
        raise InputError(f"{path}: not what its sidecar says; `seqrepro audit` says more")
    return True


def _kept(experiment: str, search: Mapping[str, object]) -> Json:
    before = read_selections([experiment]).get(experiment, {})
    same = before.get("search") == search and isinstance(before.get("choices"), dict)
    return dict(before["choices"]) if same else {}

"""Audit of selections: is what was chosen what the validation ranks of the trials choose?"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from seqrepro.config.dataset_plan import Registry
from seqrepro.config.load import load_parameters
from seqrepro.config.parameters import Parameters
from seqrepro.config.plan import Run
from seqrepro.config.selection import SELECTED, chosen_trial
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError
from seqrepro.files import Json, read_json, sha256_file
from seqrepro.ledger.select import choice, planned_trials, ranks_path, run_folder
from seqrepro.provenance.audit import Finding, listed_sidecars
from seqrepro.provenance.manifest import manifest_path
from seqrepro.provenance.sidecar import NAME

CHECK = "selection"


def selection_findings(manifests: Sequence[Path]) -> list[Finding]:
    """Check the committed selections of the suites that some manifests are of."""
    files = sorted(SELECTED.glob("*.json"))
    if not files:
        return []
    parameters, registry = load_parameters(), load_registry()
    listed = {name for path in manifests for name in listed_sidecars(path)}
    return [
        finding
        for path in files
        if (suites := _suites(parameters, path.stem, manifests))
        for finding in _findings(path, parameters, registry, suites, listed)
    ]


def _suites(parameters: Parameters, experiment: str, manifests: Sequence[Path]) -> list[str]:
    """The suites that need a selection and that the manifests are of; an unknown manifest may be of any suite."""
    searched = experiment in parameters.experiments and parameters.experiments[experiment].search
    of_suites = {name: manifest_path(name, suite.versioned) for name, suite in parameters.suites.items()}
    unknown = any(path not in of_suites.values() for path in manifests)
    needing = [name for name, suite in parameters.suites.items() if searched and experiment in suite.experiments]
    return [name for name in needing if unknown or of_suites[name] in manifests]


def _findings(
    path: Path, parameters: Parameters, registry: Registry, suites: list[str], listed: set[str]
) -> list[Finding]:
    experiment, name = path.stem, path.as_posix()
    search = parameters.searches[parameters.experiments[experiment].search or ""]
    found: list[Finding] = []
    try:
        selection = read_json(path)
        for place, runs in planned_trials(parameters, experiment, registry, suites).items():
            planned = [(run.needs[0].trial.settings, run.config_hash) for run in runs if run.needs[0].trial]
            if chosen_trial(selection, experiment, place, search, planned) is not None:
                recorded = selection["choices"][place[0]][place[1]]
                found += _choice_findings(name, place, recorded, runs, search.metric, listed)
    except InputError as error:
        found.append(Finding(name, CHECK, "inconsistent", str(error).removeprefix(f"{name}: ")))
    return found or [Finding(name, CHECK, "ok")]


def _choice_findings(
    name: str, place: tuple[str, str], recorded: Json, runs: list[Run], metric: str, listed: set[str]
) -> Iterator[Finding]:
    pairs = zip(runs, recorded["trials"], strict=True)
    if faults := [fault for run, trial in pairs for fault in _trial_findings(run, trial, listed)]:
        yield from faults
        return
    computed, where = choice(runs, metric), ", ".join(place)
    for number, (trial, again) in enumerate(zip(recorded["trials"], computed["trials"], strict=True)):
        if trial != again:
            key = next(key for key in again if trial.get(key) != again[key])
            what = f"{key} of trial {number} is {trial.get(key)}, its validation ranks say {again[key]}"
            yield Finding(name, CHECK, "inconsistent", f"{where}: {what}")
            return
    if recorded != computed:
        what = f"trial {recorded['trial']} is chosen, the validation ranks choose trial {computed['trial']}"
        yield Finding(name, CHECK, "inconsistent", f"{where}: {what}")


def _trial_findings(run: Run, recorded: Json, listed: set[str]) -> Iterator[Finding]:
    """The rank file that a trial's value comes from must be there, the same, and vouched for."""
    path, sidecar = ranks_path(run), run_folder(run) / NAME
    if not path.is_file():
        yield Finding(path.as_posix(), CHECK, "missing", "a trial of a selection")
    elif (found := sha256_file(path)) != recorded.get("ranks_sha256"):
        expected = str(recorded.get("ranks_sha256"))[:12]
        yield Finding(path.as_posix(), CHECK, "changed", f"sha256 {found[:12]}, the selection says {expected}")
    elif sidecar.as_posix() not in listed:
        yield Finding(path.as_posix(), CHECK, "inconsistent", f"no manifest lists {sidecar}")

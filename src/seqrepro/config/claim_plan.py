"""What the claims ask of a suite: which runs serve something, and which claims have all that they need.

A run is planned because something needs it: a claim or a gate (a part names its model on its dataset under its
protocol), a published number (of its dataset's family, under a name in `published_as`), a chapter of the report that
its experiment declares in `shows`, or the tables of laws, for which its experiment says `law`. This is decided for each
model of an experiment on each dataset, with all seeds. What serves nothing is left out of the plan.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from seqrepro.config.dataset_plan import Registry, description
from seqrepro.config.law_plan import is_of_own_runs
from seqrepro.config.parameters import Parameters
from seqrepro.config.plan import Need, Run, plan_suite
from seqrepro.config.training import Gradient
from seqrepro.files import Json
from seqrepro.ledger.claims import Claim, Claims, Gate, claim_files, published_files, read_claims
from seqrepro.ledger.parts import AnyPart, Probed, Scaling, Tabulated, Untestable
from seqrepro.ledger.published import keys_of, read_published
from seqrepro.request import Request

Place = tuple[str, str, str]  # model, dataset, protocol
Gap = tuple[str, str, str]  # what a suite lacks: words, a name, more words; names are put together


@dataclass(frozen=True)
class LeftOut:
    """Models of an experiment on a dataset that serve nothing."""

    experiment: str
    dataset: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Covered:
    """How much of what a claim needs is in a suite."""

    claim: str
    state: str  # planned, in part, not planned, nothing to run
    missing: list[str]


def needed_runs(
    parameters: Parameters, suite: str, registry: Registry, selections: Mapping[str, Json] | None = None
) -> tuple[list[Run], list[LeftOut]]:
    """The runs of a suite that serve something, and what is left out; `selections` as `plan_suite` has them.

    Raises:
        InputError: a file of claims or of published numbers is not what it must be.
    """
    runs = plan_suite(parameters, suite, registry, selections)
    claimed = set(_claimed(map(read_claims, claim_files(parameters.suites[suite].claims))))
    published = _published(parameters, {run.dataset for run in runs}, registry)

    def serves(run: Run, need: Need) -> bool:
        experiment = parameters.experiments[need.experiment]
        asked = (need.model, run.dataset, experiment.protocol) in claimed
        return bool(experiment.shows) or experiment.law or asked or (need.model, run.dataset) in published

    kept = [replace(run, needs=tuple(need for need in run.needs if serves(run, need))) for run in runs]
    idle = [(need.experiment, run.dataset, need.model) for run in runs for need in run.needs if not serves(run, need)]
    places = dict.fromkeys(key[:2] for key in idle)
    left = [LeftOut(*place, tuple(dict.fromkeys(key[2] for key in idle if key[:2] == place))) for place in places]
    return [run for run in kept if run.needs], left


def coverage(claims: Iterable[Claims], parameters: Parameters, judged: Request) -> list[Covered]:
    """How much of what each gate and each claim needs is in a suite, whose request to judge is given."""
    named = [(f"{paper.paper}/{one.id}", one) for paper in claims for one in paper.statements]
    return [_covered(name, claim, parameters, judged) for name, claim in named]


def unknown_names(claims: Claims, parameters: Parameters) -> list[str]:
    """Names that neither params.yaml nor `to_come` has: mostly misspelt ones."""
    parts = [part for one in claims.statements for part in one.parts]
    probes = [part.probe for part in parts if isinstance(part, Probed)]
    named: list[tuple[str, list[str], Mapping[str, object]]] = [
        ("model", [name for one in claims.statements for name in one.models()], parameters.models),
        ("dataset", [name for part in parts for name in _datasets(part, True)], parameters.datasets),
        ("probe", probes, parameters.probes),
        ("variation", [part.variation for part in parts if isinstance(part, Scaling)], parameters.variations),
        ("protocol", [one.protocol for one in claims.statements], parameters.protocols),
    ]
    coming = claims.to_come.canonical()
    return [
        f"{kind} {name}"
        for kind, names, known in named
        for name in dict.fromkeys(names)
        if name not in known and name not in coming.get(f"{kind}s", {})
    ]


def _claimed(claims: Iterable[Claims]) -> Iterator[Place]:
    for one in (one for paper in claims for one in paper.statements):
        for part in one.parts:
            for dataset in _datasets(part, extensions=True):
                yield from ((model, dataset, one.protocol) for model in part.needed_models())


def _published(parameters: Parameters, datasets: set[str], registry: Registry) -> set[tuple[str, str]]:
    """The models that have a published number on a dataset."""
    there = {number.key for number in read_published(published_files())}
    described = {name: description(name, parameters.datasets[name], registry) for name in datasets}
    return {
        (model, dataset)
        for model, told in parameters.models.items()
        for dataset, facts in described.items()
        if not there.isdisjoint(keys_of(told.published_as, facts["family"]))
    }


def _datasets(part: AnyPart, extensions: bool = False) -> list[str]:
    return [*getattr(part, "datasets", []), *(getattr(part, "extensions", []) if extensions else [])]


def _covered(name: str, claim: Claim | Gate, parameters: Parameters, judged: Request) -> Covered:
    """Only deciding parts count, and of their datasets those that the paper names."""
    parts = [part for part in claim.parts if part.deciding and not isinstance(part, Untestable)]
    needs = dict(need for part in parts for need in _needs(part, claim, parameters, judged))
    gaps = [gap for gap in needs.values() if gap]
    if not needs:
        return Covered(name, "nothing to run", [])
    state = "planned" if not gaps else "not planned" if len(gaps) == len(needs) else "in part"
    return Covered(name, state, _in_words(gaps))


def _needs(
    part: AnyPart, claim: Claim | Gate, parameters: Parameters, judged: Request
) -> Iterator[tuple[tuple[object, ...], Gap | None]]:
    """Each thing that a part needs, and what is missing of it."""
    if isinstance(part, Tabulated):
        yield from _needs_of_table(part, parameters, judged)
        return
    probe, seeds = getattr(part, "probe", None), getattr(part, "seeds", 1)
    for model in part.needed_models():
        for dataset in _datasets(part):
            place = model, dataset, claim.protocol
            gap = _gap(place, seeds, probe, parameters, judged)
            if isinstance(part, Scaling):
                gap = gap or _unvaried(part, place, parameters, judged)
                yield (*place, seeds, part.variation), gap
            else:
                yield (*place, seeds, probe), gap


def _needs_of_table(
    part: Tabulated, parameters: Parameters, judged: Request
) -> Iterator[tuple[tuple[object, ...], Gap | None]]:
    """A table, or the runs that its rows are made from: of a law, a grid of ours on real data."""
    suite = judged.parameters["suite"]
    if f"results/{suite}/{part.table}" not in judged.inputs:
        yield (part.table,), ("table", part.table, "")
    elif not is_of_own_runs(part):
        yield (part.table,), None
    else:
        model, dataset = (part.where.get(name) for name in ("model", "dataset"))
        words = " ".join(f"of {name}" for name in (model, dataset) if name)
        there = any(_matches(model, one) and _matches(dataset, on) for one, on in real_grids(parameters, suite))
        yield (part.table, words), None if there else ("law experiment", words or "on real data", "")


def real_grids(parameters: Parameters, suite: str) -> Iterator[tuple[str, str]]:
    """(model, dataset) of each experiment of a suite whose runs are points of a law, but for generated data."""
    for name, scale in parameters.suites[suite].experiments.items():
        experiment = parameters.experiments[name]
        if experiment.law:
            models, datasets = scale.models or experiment.models, scale.datasets
            real = [one for one in datasets if parameters.datasets[one].source != "generated"]
            yield from ((model, dataset) for model in models for dataset in real)


def _matches(wanted: str | list[str] | None, name: str) -> bool:
    return wanted is None or name in ([wanted] if isinstance(wanted, str) else wanted)


def _gap(place: Place, seeds: int, probe: str | None, parameters: Parameters, judged: Request) -> Gap | None:
    model, dataset, protocol = place
    if model not in parameters.models:
        return "models to come:", model, ""
    if dataset not in parameters.datasets:
        return "datasets to come:", dataset, ""
    runs = [run for run in judged.parameters["runs"] if run["dataset"] == dataset]
    own = [run for run in runs if any(name == model for name, _ in run["names"])]
    run = next((run for run in own if [model, protocol] in run["names"]), None)
    if run is None:
        return f"{model} on", dataset, f" under {protocol}" if own else ""
    if isinstance(parameters.training[parameters.models[model].training], Gradient) and len(run["seeds"]) < seeds:
        return f"{model} on", dataset, f" with {seeds} seeds ({len(run['seeds'])} planned)"
    measured = f"{run['folder']}/seed-{run['seeds'][0]}/probes/{probe}/"
    if probe is not None and not any(path.startswith(measured) for path in judged.inputs):
        return f"probe {probe} of {model} on", dataset, ""
    return None


def _unvaried(part: Scaling, place: Place, parameters: Parameters, judged: Request) -> Gap | None:
    """That no experiment of the suite varies a model so."""
    model, dataset, protocol = place
    for name, scale in parameters.suites[judged.parameters["suite"]].experiments.items():
        experiment = parameters.experiments[name]
        meant = part.variation in experiment.variations and experiment.protocol == protocol
        if meant and dataset in scale.datasets and model in (scale.models or experiment.models):
            return None
    return f"variation {part.variation} of {model} on", dataset, ""


def _in_words(gaps: list[Gap]) -> list[str]:
    """Each gap once, those with the same words together."""
    alike: dict[tuple[str, str], dict[str, None]] = {}
    for words, name, more in gaps:
        alike.setdefault((words, more), {})[name] = None
    return [f"{words} {', '.join(names)}{more}" for (words, more), names in alike.items()]

"""From parameters to runs: what a suite must compute, and why.

A run is a configuration and a seed. The configuration's canonical JSON gives its hash; a run that two experiments or
two suites need has one hash, one folder, and is trained once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from seqrepro.config.architectures.bayes_optimal import BayesOptimalParameters
from seqrepro.config.architectures.timed import TimedParameters
from seqrepro.config.dataset_plan import Registry, identity, law, require_timestamps
from seqrepro.config.overrides import Setup, override, setup_of
from seqrepro.config.parameters import Parameters, Scale
from seqrepro.config.protocols import Protocol
from seqrepro.config.search import Search
from seqrepro.config.selection import chosen_trial, read_selections
from seqrepro.config.training import Gradient
from seqrepro.config.trials import Trial, trials_of
from seqrepro.config.variants import Variant, variants_of
from seqrepro.files import Json, canonical_json, sha256_text


@dataclass(frozen=True)
class Need:
    """Why a run is in the plan."""

    suite: str
    experiment: str
    papers: tuple[str, ...]
    purpose: str
    model: str  # the model's name in params.yaml
    probes: tuple[str, ...]
    trial: Trial | None = None  # the point of a search
    variant: Variant | None = None  # the point of a variation

    @property
    def is_plain(self) -> bool:
        """Whether its accuracy stands in the tables: neither a trial nor a variant."""
        return self.trial is None and self.variant is None


@dataclass(frozen=True)
class Run:
    """One training: a configuration on a dataset with a seed."""

    dataset: str
    config: dict[str, Any]  # canonical; the seed is no part of it
    seed: int
    needs: tuple[Need, ...]
    protocol: Protocol

    @cached_property
    def config_hash(self) -> str:
        """Hexadecimal SHA-256 of the canonical configuration."""
        return sha256_text(canonical_json(self.config))

    @property
    def label(self) -> str:
        """What the model is, in short: its family and, if it was trained by gradient descent, its objective."""
        family, objective = self.config["model"]["family"], self.config["training"].get("objective")
        return f"{family}-{objective['name']}" if objective else str(family)

    @property
    def name(self) -> str:
        """`<label>-<first 8 digits of the hash>`."""
        return f"{self.label}-{self.config_hash[:8]}"

    @property
    def folder(self) -> str:
        """The folder of all seeds of this configuration."""
        return f"results/runs/{self.dataset}/{self.name}"

    @property
    def is_trained(self) -> bool:
        """Whether a gradient trained it (and not a closed form)."""
        return bool(self.config["training"]["kind"] == "gradient")

    @property
    def final(self) -> Need | None:
        """The first need of its accuracy; None if it is nothing but a trial of a search or a variant."""
        return next((need for need in self.needs if need.is_plain), None)

    @property
    def probes(self) -> tuple[str, ...]:
        """Names of the probes that somebody wants of it."""
        return tuple(sorted({probe for need in self.needs for probe in need.probes}))


def plan_suite(
    parameters: Parameters, suite: str, registry: Registry, selections: Mapping[str, Json] | None = None
) -> list[Run]:
    """The runs of one suite, each once, in the order of `params.yaml`.

    An experiment with a search has trials, and final runs of those models for which one was chosen. One with variations
    also has each of its models with each of their settings; of one with `law` these are all.

    Args:
        parameters: the parameters.
        suite: a name under `suites`.
        registry: the datasets.
        selections: by experiment; by default those in `registry/selected/`.

    Raises:
        InputError: a dataset names an entry that the registry does not have; a model needs a law that is not known; a
            selection is of another search.
    """
    experiments = parameters.suites[suite].experiments
    if selections is None:
        selections = read_selections(filter(None, (selecting(parameters, name) for name in experiments)))
    runs: dict[tuple[str, str, int], Run] = {}
    for name in experiments:
        selection = selections.get(selecting(parameters, name) or "")
        for run in plan_experiment(parameters, suite, name, registry, selection):
            key = (run.dataset, run.config_hash, run.seed)
            before = runs[key].needs if key in runs else ()
            runs[key] = replace(run, needs=(*before, *run.needs))
    return list(runs.values())


def plan_experiment(
    parameters: Parameters, suite: str, name: str, registry: Registry, selection: Json | None = None
) -> Iterator[Run]:
    """The runs of one experiment of a suite; a final run that is also a trial comes twice. Raises as `plan_suite`."""
    scale, experiment = parameters.suites[suite].experiments[name], parameters.experiments[name]
    protocol, purpose = parameters.protocols[experiment.protocol], experiment.purpose
    for dataset in scale.datasets:
        place = _Place(dataset, protocol, parameters, registry)
        for model in scale.models or experiment.models:
            setup = setup_of(parameters, model, dataset)
            trained = isinstance(setup.training, Gradient)
            probes = tuple(name for name in experiment.probes if trained or parameters.probes[name].models == "all")
            need = Need(suite, name, tuple(experiment.papers), purpose, model, probes)
            if experiment.search:
                yield from _tried(place, need)
            chosen = _chosen(place, setup, need, selection)
            if chosen is not None:
                if not experiment.law:
                    yield from place.runs(chosen, need, scale.seeds)
                yield from _varied(place, chosen, need, scale)


def selecting(parameters: Parameters, experiment: str) -> str | None:
    """The experiment whose selection says with which settings the models of an experiment run; None: as they stand."""
    found = parameters.experiments[experiment]
    return experiment if found.search else found.selected_by


def awaiting_selection(runs: Iterable[Run]) -> list[str]:
    """Experiments of which a model has trials on a dataset, but no final runs: nothing was selected yet."""
    needs = [(run.dataset, need) for run in runs for need in run.needs]
    tried = {(need.experiment, dataset, need.model): None for dataset, need in needs if need.trial is not None}
    final = {(need.experiment, dataset, need.model) for dataset, need in needs if need.is_plain}
    return list(dict.fromkeys(key[0] for key in tried if key not in final))


def datasets_of(runs: Iterable[Run]) -> list[str]:
    """Names of the datasets that runs use, in order of first use."""
    return list(dict.fromkeys(run.dataset for run in runs))


def configuration(
    parameters: Parameters, dataset: str, setup: Setup, protocol: Protocol, registry: Registry
) -> dict[str, Any]:
    """The canonical configuration of a run, from which its hash is made.

    Raises:
        InputError: a model that needs the law of its data, which is not known, or timestamps, which are not there.
    """
    if isinstance(setup.architecture, TimedParameters) and setup.architecture.reads_times:
        require_timestamps(dataset, parameters.datasets[dataset], registry)
    known = isinstance(setup.architecture, BayesOptimalParameters)
    told = {"generator": law(dataset, parameters.datasets[dataset])} if known else {}
    return {
        "dataset": identity(parameters.datasets[dataset], registry),
        **protocol.configuration(),
        "model": setup.architecture.canonical() | told,
        "training": setup.training.canonical(),
    }


@dataclass(frozen=True)
class _Place:
    """A dataset under a protocol, where setups run."""

    dataset: str
    protocol: Protocol
    parameters: Parameters
    registry: Registry

    def runs(self, setup: Setup, need: Need, seeds: Iterable[int]) -> list[Run]:
        """One run a seed; one run of what no seed changes."""
        config = configuration(self.parameters, self.dataset, setup, self.protocol, self.registry)
        wanted = seeds if setup.training.random else [0]
        return [Run(self.dataset, config, seed, (need,), self.protocol) for seed in wanted]


def _trials(place: _Place, search: Search, name: str, model: str) -> list[tuple[Trial, list[Run]]]:
    """The trials of a model, each with its run; what needs the runs is left open."""
    setup = setup_of(place.parameters, model, place.dataset)
    nobody = Need("", "", (), "", model, ())
    found = trials_of(name, search, model, setup)
    return [(trial, place.runs(trial.setup, nobody, [search.seed])) for trial in found]


def _tried(place: _Place, need: Need) -> Iterator[Run]:
    """The trials of a model of an experiment with a search."""
    name, search = _search(place, need.experiment)
    for trial, runs in _trials(place, search, name, need.model):
        yield from (replace(run, needs=(replace(need, probes=(), trial=trial),)) for run in runs)


def _chosen(place: _Place, setup: Setup, need: Need, selection: Json | None) -> Setup | None:
    """A model as it runs: as it stands, or with chosen settings, its own or those of the model that it follows.

    None: its settings are not chosen yet.
    """
    experiment = selecting(place.parameters, need.experiment)
    if experiment is None:
        return setup
    name, search = _search(place, experiment)
    model = search.follow.get(need.model, need.model)
    if model not in search.spaces:
        return setup
    if selection is None:
        return None
    trials = _trials(place, search, name, model)
    planned = [(trial.settings, run.config_hash) for trial, runs in trials for run in runs]
    number = chosen_trial(selection, experiment, (place.dataset, model), search, planned)
    return None if number is None else override(setup, trials[number][0].settings)


def _search(place: _Place, experiment: str) -> tuple[str, Search]:
    name = place.parameters.experiments[experiment].search or ""
    return name, place.parameters.searches[name]


def _varied(place: _Place, setup: Setup, need: Need, scale: Scale) -> Iterator[Run]:
    """A model with each setting of the experiment's variations."""
    for name in place.parameters.experiments[need.experiment].variations:
        for variant in variants_of(name, place.parameters.variations[name], setup):
            yield from place.runs(variant.setup, replace(need, variant=variant), scale.seeds)

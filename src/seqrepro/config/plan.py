"""From parameters to runs: what a suite must compute, and why.

A run is a configuration and a seed. The configuration's canonical JSON gives its hash; a run that two experiments or
two suites need has one hash, one folder, and is trained once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from seqrepro.config.architectures.bayes_optimal import BayesOptimalParameters
from seqrepro.config.dataset_plan import Registry, identity, law
from seqrepro.config.overrides import Setup, setup_of
from seqrepro.config.parameters import Parameters, Scale
from seqrepro.config.protocols import Protocol
from seqrepro.config.selection import chosen_trial, read_selections
from seqrepro.config.training import Gradient
from seqrepro.config.trials import Trial, trials_of
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
    trial: Trial | None = None  # the point of a search; None: a run whose accuracy stands in the tables


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
        """The first need of its accuracy; None if it is nothing but a trial of a search."""
        return next((need for need in self.needs if need.trial is None), None)

    @property
    def probes(self) -> tuple[str, ...]:
        """Names of the probes that somebody wants of it."""
        return tuple(sorted({probe for need in self.needs for probe in need.probes}))


def plan_suite(
    parameters: Parameters, suite: str, registry: Registry, selections: Mapping[str, Json] | None = None
) -> list[Run]:
    """The runs of one suite, each once, in the order of `params.yaml`.

    An experiment with a search has trials, and final runs of those models for which one was chosen.

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
        selections = read_selections(name for name in experiments if parameters.experiments[name].search)
    runs: dict[tuple[str, str, int], Run] = {}
    for name in experiments:
        for run in plan_experiment(parameters, suite, name, registry, selections.get(name)):
            key = (run.dataset, run.config_hash, run.seed)
            before = runs[key].needs if key in runs else ()
            runs[key] = replace(run, needs=(*before, *run.needs))
    return list(runs.values())


def plan_experiment(
    parameters: Parameters, suite: str, name: str, registry: Registry, selection: Json | None = None
) -> Iterator[Run]:
    """The runs of one experiment of a suite; a final run that is also a trial comes twice. Raises as `plan_suite`."""
    scale, experiment = parameters.suites[suite].experiments[name], parameters.experiments[name]
    for dataset in scale.datasets:
        for model in scale.models or experiment.models:
            setup = setup_of(parameters, model, dataset)
            trained = isinstance(setup.training, Gradient)
            probes = tuple(name for name in experiment.probes if trained or parameters.probes[name].models == "all")
            need = Need(suite, name, tuple(experiment.papers), experiment.purpose, model, probes)
            place = _Place(dataset, parameters.protocols[experiment.protocol], parameters, registry)
            if experiment.search is None:
                yield from place.runs(setup, need, scale.seeds)
            else:
                yield from _searched(place, setup, need, scale, selection)


def awaiting_selection(runs: Iterable[Run]) -> list[str]:
    """Experiments of which a model has trials on a dataset, but no final runs: nothing was selected yet."""
    needs = [(run.dataset, need) for run in runs for need in run.needs]
    tried = {(need.experiment, dataset, need.model): None for dataset, need in needs if need.trial is not None}
    final = {(need.experiment, dataset, need.model) for dataset, need in needs if need.trial is None}
    return list(dict.fromkeys(key[0] for key in tried if key not in final))


def datasets_of(runs: Iterable[Run]) -> list[str]:
    """Names of the datasets that runs use, in order of first use."""
    return list(dict.fromkeys(run.dataset for run in runs))


def configuration(
    parameters: Parameters, dataset: str, setup: Setup, protocol: Protocol, registry: Registry
) -> dict[str, Any]:
    """The canonical configuration of a run, from which its hash is made.

    Raises:
        InputError: a model that needs the law of its data, which is not known.
    """
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
        """One run a seed; of a closed form, one run."""
        config = configuration(self.parameters, self.dataset, setup, self.protocol, self.registry)
        trained = isinstance(setup.training, Gradient)
        return [Run(self.dataset, config, seed, (need,), self.protocol) for seed in (seeds if trained else [0])]


def _searched(place: _Place, setup: Setup, need: Need, scale: Scale, selection: Json | None) -> Iterator[Run]:
    """The trials of one model on one dataset, and the final runs of the chosen one."""
    name = place.parameters.experiments[need.experiment].search or ""
    search = place.parameters.searches[name]
    trials = trials_of(name, search, need.model, setup)
    tried = [
        run for trial in trials for run in place.runs(trial.setup, replace(need, probes=(), trial=trial), [search.seed])
    ]
    yield from tried
    if selection is not None:
        planned = [(trial.settings, run.config_hash) for trial, run in zip(trials, tried, strict=True)]
        number = chosen_trial(selection, need.experiment, (place.dataset, need.model), search, planned)
        if number is not None:
            yield from place.runs(trials[number].setup, need, scale.seeds)

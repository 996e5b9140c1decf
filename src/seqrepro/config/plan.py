"""From parameters to runs: what a suite must compute, and why.

A run is a configuration and a seed. The configuration's canonical JSON gives its hash; a run that two experiments or
two suites need has one hash, one folder, and is trained once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from seqrepro.config.dataset_plan import Registry, identity
from seqrepro.config.parameters import Experiment, Model, Parameters, Scale
from seqrepro.config.protocols import Protocol
from seqrepro.config.training import Gradient
from seqrepro.files import canonical_json, sha256_text


@dataclass(frozen=True)
class Need:
    """Why a run is in the plan."""

    suite: str
    experiment: str
    papers: tuple[str, ...]
    purpose: str
    model: str  # the model's name in params.yaml
    probes: tuple[str, ...]


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
    def probes(self) -> tuple[str, ...]:
        """Names of the probes that somebody wants of it."""
        return tuple(sorted({probe for need in self.needs for probe in need.probes}))


def plan_suite(parameters: Parameters, suite: str, registry: Registry) -> list[Run]:
    """The runs of one suite, each once, in the order of `params.yaml`.

    Raises:
        InputError: a dataset names an entry that the registry does not have.
    """
    runs: dict[tuple[str, str, int], Run] = {}
    for name, scale in parameters.suites[suite].experiments.items():
        for run in _experiment_runs(parameters, suite, name, scale, registry):
            key = (run.dataset, run.config_hash, run.seed)
            before = runs[key].needs if key in runs else ()
            runs[key] = replace(run, needs=(*before, *run.needs))
    return list(runs.values())


def datasets_of(runs: Iterable[Run]) -> list[str]:
    """Names of the datasets that runs use, in order of first use."""
    return list(dict.fromkeys(run.dataset for run in runs))


def configuration(
    parameters: Parameters, dataset: str, model: Model, protocol: Protocol, registry: Registry
) -> dict[str, Any]:
    """The canonical configuration of a run, from which its hash is made."""
    return {
        "dataset": identity(parameters.datasets[dataset], registry),
        **protocol.configuration(),
        "model": model.architecture.canonical(),
        "training": parameters.training[model.training].canonical(),
    }


def _experiment_runs(parameters: Parameters, suite: str, name: str, scale: Scale, registry: Registry) -> Iterable[Run]:
    experiment: Experiment = parameters.experiments[name]
    protocol = parameters.protocols[experiment.protocol]
    for dataset in scale.datasets:
        for model_name in scale.models or experiment.models:
            model = parameters.models[model_name]
            trained = isinstance(parameters.training[model.training], Gradient)
            probes = tuple(name for name in experiment.probes if trained or parameters.probes[name].models == "all")
            need = Need(suite, name, tuple(experiment.papers), experiment.purpose, model_name, probes)
            config = configuration(parameters, dataset, model, protocol, registry)
            for seed in scale.seeds if trained else [0]:
                yield Run(dataset, config, seed, (need,), protocol)

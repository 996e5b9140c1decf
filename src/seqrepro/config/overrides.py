"""Settings laid over a model and its recipe: by dataset, or by a trial of a search.

A setting is a path and a value: `architecture.dropout: 0.3`, `training.optimizer.learning_rate: 1e-3`. What comes out
is validated again as a whole, so a setting can do nothing that a model in `params.yaml` could not.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from seqrepro.config.base import Configuration
from seqrepro.config.faults import dotted, explain, nearest
from seqrepro.config.parameters import Architecture, Parameters
from seqrepro.config.training import Recipe

Settings = Mapping[str, Any]


class Setup(Configuration):
    """What a run trains, and how: an architecture, and the content of a recipe."""

    architecture: Architecture
    training: Recipe


class UnfitSetting(Exception):
    """A setting that does not fit its model.

    path: the setting, or None where several do not go together; what: found and expected.
    """

    def __init__(self, path: str | None, what: str) -> None:
        super().__init__(what)
        self.path, self.what = path, what


def setup_of(parameters: Parameters, model: str, dataset: str | None = None) -> Setup:
    """A model of `params.yaml` with its settings for a dataset. Raises UnfitSetting."""
    wanted = parameters.models[model]
    plain = Setup(architecture=wanted.architecture, training=parameters.training[wanted.training])
    return override(plain, wanted.datasets.get(dataset or "", {}))


def override(setup: Setup, settings: Settings) -> Setup:
    """The same with other values at some paths; every path must be there, and every value fit.

    Raises:
        UnfitSetting: a path that the architecture or the recipe lacks, or values that their classes refuse.
    """
    if not settings:
        return setup
    tree = setup.model_dump()
    for path, value in settings.items():
        _place(tree, path, value)
    try:
        return Setup.model_validate(tree)
    except ValidationError as error:
        place, what = explain(error.errors(include_url=False)[0], tree, Setup)
        found = dotted(place)
        told = next((path for path in settings if found == path or found.startswith(f"{path}.")), None)
        raise UnfitSetting(told, what if told else f"{found}: {what}") from None


def _place(tree: dict[str, Any], path: str, value: Any) -> None:
    inside: Any = tree
    *parents, last = path.split(".")
    for part in parents:
        inside = inside[_known(part, inside, path)]
    inside[_known(last, inside, path)] = value


def _known(part: str, inside: Any, path: str) -> str:
    known = list(inside) if isinstance(inside, dict) else []
    if part not in known:
        raise UnfitSetting(path, f"unknown key '{part}'{nearest(part, known)}")
    return part

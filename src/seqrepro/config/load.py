"""Read `params.yaml`, and say in one line a fault what is wrong, where, and what was probably meant."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from seqrepro.config.check_settings import setting_faults
from seqrepro.config.faults import Location, dotted, explain, line_of, nearest
from seqrepro.config.fit import misfit
from seqrepro.config.parameters import Parameters
from seqrepro.config.probes import OTHERS, Cost, Timing
from seqrepro.config.training import Gradient
from seqrepro.errors import InputError

PARAMETERS = Path("params.yaml")


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats (1e-3 is a number), and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key '{key.value}' stands here twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:timestamp",)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load_parameters(path: Path = PARAMETERS, overrides: dict[str, Any] | None = None) -> Parameters:
    """Read and validate a parameter file.

    Args:
        path: the YAML file.
        overrides: values laid over the file's, nested as in the file (Snakemake's `--config`).

    Raises:
        InputError: a line for each fault: file, line number, path of the key, what was found, what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run this from the root of the repository") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    return parse_parameters(text, str(path), overrides)


def parse_parameters(text: str, name: str, overrides: dict[str, Any] | None = None) -> Parameters:
    """Validate the text of a parameter file; `name` is what messages call it. Raises InputError."""
    try:
        raw = yaml.load(text, _Loader)
        tree = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{name}:{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{name}: expected a mapping of keys, found {type(raw).__name__}")
    merged = _merge(raw, overrides or {})
    try:
        parameters = Parameters.model_validate(merged)
    except ValidationError as error:
        faults = [explain(fault, merged, Parameters) for fault in error.errors(include_url=False)]
    else:
        faults = _broken_references(parameters) or [*_misfits(parameters), *setting_faults(parameters)]
    if faults:
        raise InputError("\n".join(f"{name}:{line_of(tree, place)}: {dotted(place)}: {what}" for place, what in faults))
    return parameters


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _broken_references(parameters: Parameters) -> list[tuple[Location, str]]:
    """Names that point nowhere."""
    known: dict[str, Mapping[str, object]] = {
        "suite": parameters.suites,
        "training recipe": parameters.training,
        "protocol": parameters.protocols,
        "model": parameters.models,
        "probe": parameters.probes,
        "dataset": parameters.datasets,
        "experiment": parameters.experiments,
        "search": parameters.searches,
        "variation": parameters.variations,
    }
    return [
        (place, f"unknown {kind} '{name}'{nearest(name, list(known[kind]))}")
        for kind, name, place in _references(parameters)
        if name not in known[kind]
    ]


def _misfits(parameters: Parameters) -> Iterator[tuple[Location, str]]:
    """Models whose recipe cannot train their architecture, and probes that would train what has no steps."""
    for key, model in parameters.models.items():
        recipe = parameters.training.get(model.training)
        if recipe is not None and (why := misfit(model.architecture, recipe)):
            yield ("models", key, "training"), why
    for key, probe in parameters.probes.items():
        if isinstance(probe, Cost | Timing):
            kind = parameters.training[parameters.models[probe.against].training]
            if not isinstance(kind, Gradient):
                yield ("probes", key, "against"), f"found '{probe.against}', a closed form, expected a trained model"


def _references(parameters: Parameters) -> Iterator[tuple[str, str, Location]]:
    """Every name in the file that must be defined elsewhere in it: kind, name, where it stands."""
    yield "suite", parameters.suite, ("suite",)
    for key, model in parameters.models.items():
        yield "training recipe", model.training, ("models", key, "training")
        yield from (("dataset", name, ("models", key, "datasets", name)) for name in model.datasets)
    yield from _looked_at(parameters)
    for key, search in parameters.searches.items():
        yield from (("model", name, ("searches", key, "spaces", name)) for name in search.spaces)
        yield from (("model", name, ("searches", key, "follow", name)) for name in search.follow)
    for key, experiment in parameters.experiments.items():
        yield "protocol", experiment.protocol, ("experiments", key, "protocol")
        yield from _names("model", experiment.models, ("experiments", key, "models"))
        yield from _names("probe", experiment.probes, ("experiments", key, "probes"))
        if experiment.search is not None:
            yield "search", experiment.search, ("experiments", key, "search")
        if experiment.selected_by is not None:
            yield "experiment", experiment.selected_by, ("experiments", key, "selected_by")
        yield from _names("variation", experiment.variations, ("experiments", key, "variations"))
    for name, suite in parameters.suites.items():
        yield from _names("dataset", suite.describe, ("suites", name, "describe"))
        for key, scale in suite.experiments.items():
            place: Location = ("suites", name, "experiments", key)
            yield "experiment", key, place
            yield from _names("dataset", scale.datasets, (*place, "datasets"))
            yield from _names("model", scale.models or [], (*place, "models"))


def _looked_at(parameters: Parameters) -> Iterator[tuple[str, str, Location]]:
    """Models whose runs probes of other models look at."""
    for key, probe in parameters.probes.items():
        for field in OTHERS:
            if other := getattr(probe, field, None):
                yield "model", other, ("probes", key, field)


def _names(kind: str, names: list[str], place: Location) -> Iterator[tuple[str, str, Location]]:
    for index, name in enumerate(names):
        yield kind, name, (*place, index)

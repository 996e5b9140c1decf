"""Read `params.yaml`, and say in one line a fault what is wrong, where, and what was probably meant."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from seqrepro.config.fit import misfit
from seqrepro.config.parameters import Parameters
from seqrepro.config.probes import Landscape
from seqrepro.errors import InputError

Location = tuple[str | int, ...]
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
        faults = [_explain(fault, merged) for fault in error.errors(include_url=False)]
    else:
        faults = [*_broken_references(parameters), *_misfits(parameters)]
    if faults:
        raise InputError("\n".join(f"{name}:{_line(tree, place)}: {_dotted(place)}: {what}" for place, what in faults))
    return parameters


def nearest(word: str, known: list[str]) -> str:
    """', did you mean X?' or the list of known names, to end an error line with."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(sorted(known)) or 'none'}"


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _explain(fault: Any, raw: Any) -> tuple[Location, str]:
    place, context = _in_file(fault["loc"], raw), fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            return place, f"unknown key '{place[-1]}'{nearest(str(place[-1]), _known_keys(fault['loc'][:-1]))}"
        case "missing":
            return place, "is missing"
        case "union_tag_invalid":
            tags = re.findall(r"'([^']+)'", context["expected_tags"])
            return place, f"unknown {context['discriminator']} '{context['tag']}'{nearest(str(context['tag']), tags)}"
        case "union_tag_not_found":
            return place, f"key {context['discriminator']} is missing"
        case "literal_error":
            options = re.findall(r"'([^']+)'", context["expected"])
            return place, f"unknown value {fault['input']!r}{nearest(str(fault['input']), options)}"
        case "value_error":
            return place, str(context["error"])
        case _:
            message = fault["msg"].removeprefix("Input should be ")
            return place, f"found {fault['input']!r}, expected {message}"


def _in_file(location: Location, raw: Any) -> Location:
    """A pydantic location without the union tags, which are not keys of the file."""
    place: list[str | int] = []
    for index, part in enumerate(location):
        inside = (isinstance(raw, dict) and part in raw) or (isinstance(raw, list) and isinstance(part, int))
        if inside:
            raw = raw[part]
            place.append(part)
        elif index == len(location) - 1 and part != "[key]" and not _is_tag(part, raw):
            place.append(part)
    return tuple(place)


def _is_tag(part: str | int, raw: Any) -> bool:
    return isinstance(raw, dict) and part in raw.values()


def _known_keys(location: Location) -> list[str]:
    """The keys that the schema knows at a pydantic location."""
    schema = Parameters.model_json_schema()
    definitions, node = schema["$defs"], schema
    for part in location:
        node = _step(node, part, definitions)
    return sorted(_resolve(node, definitions).get("properties", {}))


def _step(node: Any, part: str | int, definitions: Any) -> Any:
    node = _resolve(node, definitions)
    if part in node.get("properties", {}):
        return node["properties"][part]
    if mapping := node.get("discriminator", {}).get("mapping"):
        return {"$ref": mapping[part]}
    named = next(iter(node.get("patternProperties", {}).values()), None)
    return named or node.get("additionalProperties") or node.get("items") or {}


def _resolve(node: Any, definitions: Any) -> Any:
    options = [option for option in node.get("anyOf", []) if option.get("type") != "null"]
    node = options[0] if len(options) == 1 else node
    return definitions[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


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
    }
    return [
        (place, f"unknown {kind} '{name}'{nearest(name, list(known[kind]))}")
        for kind, name, place in _references(parameters)
        if name not in known[kind]
    ]


def _misfits(parameters: Parameters) -> Iterator[tuple[Location, str]]:
    """Models whose recipe cannot train their architecture."""
    for key, model in parameters.models.items():
        recipe = parameters.training.get(model.training)
        if recipe is not None and (why := misfit(model.architecture, recipe)):
            yield ("models", key, "training"), why


def _references(parameters: Parameters) -> Iterator[tuple[str, str, Location]]:
    """Every name in the file that must be defined elsewhere in it: kind, name, where it stands."""
    yield "suite", parameters.suite, ("suite",)
    for key, model in parameters.models.items():
        yield "training recipe", model.training, ("models", key, "training")
    for key, probe in parameters.probes.items():
        if isinstance(probe, Landscape) and probe.towards:
            yield "model", probe.towards, ("probes", key, "towards")
    for key, experiment in parameters.experiments.items():
        yield "protocol", experiment.protocol, ("experiments", key, "protocol")
        yield from _names("model", experiment.models, ("experiments", key, "models"))
        yield from _names("probe", experiment.probes, ("experiments", key, "probes"))
    for name, suite in parameters.suites.items():
        yield from _names("dataset", suite.describe, ("suites", name, "describe"))
        for key, scale in suite.experiments.items():
            place: Location = ("suites", name, "experiments", key)
            yield "experiment", key, place
            yield from _names("dataset", scale.datasets, (*place, "datasets"))
            yield from _names("model", scale.models or [], (*place, "models"))


def _names(kind: str, names: list[str], place: Location) -> Iterator[tuple[str, str, Location]]:
    for index, name in enumerate(names):
        yield kind, name, (*place, index)


def _line(tree: yaml.Node | None, place: Location) -> int:
    """The line of a key in the file; of its nearest parent if the key itself is not there."""
    line = 1
    for part in place:
        if isinstance(tree, yaml.MappingNode):
            found = next(((key, value) for key, value in tree.value if key.value == str(part)), None)
            if found is None:
                return line
            line, tree = found[0].start_mark.line + 1, found[1]
        elif isinstance(tree, yaml.SequenceNode) and isinstance(part, int) and part < len(tree.value):
            tree = tree.value[part]
            line = tree.start_mark.line + 1
    return line


def _dotted(place: Location) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".") or "the file"

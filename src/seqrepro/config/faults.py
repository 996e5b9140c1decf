"""Faults of a file in words: a line for each, with the key, what was found and what was expected."""

import difflib
import re
from typing import Any

import yaml
from pydantic import BaseModel

Location = tuple[str | int, ...]


def nearest(word: str, known: list[str]) -> str:
    """', did you mean X?' or the list of known names, to end an error line with."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(sorted(known)) or 'none'}"


def explain(fault: Any, raw: Any, configuration: type[BaseModel]) -> tuple[Location, str]:
    """Where a fault stands in the raw values, and what it is; `configuration` is the class that refused them."""
    place, context = _in_file(fault["loc"], raw), fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            known = _known_keys(fault["loc"][:-1], configuration)
            return place, f"unknown key '{place[-1]}'{nearest(str(place[-1]), known)}"
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
        elif index == len(location) - 1 and not str(part).startswith("[") and not _is_tag(part, raw):
            place.append(part)
    return tuple(place)


def _is_tag(part: str | int, raw: Any) -> bool:
    return isinstance(raw, dict) and part in raw.values()


def _known_keys(location: Location, configuration: type[BaseModel]) -> list[str]:
    """The keys that the schema knows at a pydantic location."""
    schema = configuration.model_json_schema()
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
    if str(part).startswith("["):  # the tag of a class among values that are told apart by their type
        return next(option for option in node["oneOf"] if "$ref" in option)
    named = next(iter(node.get("patternProperties", {}).values()), None)
    return named or node.get("additionalProperties") or node.get("items") or {}


def _resolve(node: Any, definitions: Any) -> Any:
    options = [option for option in node.get("anyOf", []) if option.get("type") != "null"]
    node = options[0] if len(options) == 1 else node
    return definitions[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def line_of(tree: yaml.Node | None, place: Location) -> int:
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


def dotted(place: Location) -> str:
    """The path of a key as people write it."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".") or "the file"

"""Attributes of items as S3-Rec gives them: one JSON object, item id -> list of attributes (Zhou et al., CIKM 2020)."""

from pathlib import Path

from seqrepro.errors import InputError
from seqrepro.files import read_json


def read_attributes(paths: dict[str, Path]) -> dict[str, tuple[str, ...]] | None:
    """The attributes of each item, as text, from the .json file among `paths`; None if there is none.

    Raises:
        InputError: not such an object.
    """
    if not any(name.endswith(".json") for name in paths):
        return None
    path = only(paths, ".json")
    attributes = read_json(path)
    for item, values in attributes.items():
        if not isinstance(values, list):
            raise InputError(f"{path}: item {item}: found {values!r}, expected a list of attributes")
    return {item: tuple(str(value) for value in values) for item, values in attributes.items()}


def only(paths: dict[str, Path], ending: str) -> Path:
    """The one file whose name has this ending.

    Raises:
        InputError: none, or several.
    """
    found = [path for name, path in paths.items() if name.endswith(ending)]
    if len(found) != 1:
        raise InputError(f"files: found {len(found)} that end in {ending} among {sorted(paths)}, expected one")
    return found[0]

"""The datasets of the registry that are at hand, read on demand: for checks across datasets, not for the pipeline.

A file is at hand if it lies in `data/raw/<entry>/`, or if the mirror holds it. Nothing is fetched from elsewhere.
"""

import json
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from seqrepro.config.datasets import Filter
from seqrepro.data import filters
from seqrepro.data.interactions import Interactions, Numbered, Ordered, number, order
from seqrepro.data.references import Sequences, compare, compare_structure
from seqrepro.data.registry import Agreement, Counts, Entry, OrderSource, Reference
from seqrepro.data.retrieve import difference, retrieve
from seqrepro.data.source_kinds import MirrorSource, RawFile
from seqrepro.data.sources.fetch import Downloads
from seqrepro.errors import InputError


class NotAtHand(Exception):
    """A file of the dataset is neither in data/raw nor in the mirror."""


@dataclass
class Library:
    """The registry, where its files may be, and what was read so far."""

    registry: dict[str, Entry]
    mirror: str | None
    folder: Path  # a temporary one, for what comes from the mirror
    was_read: dict[str, Interactions] = field(default_factory=dict)

    def read(self, name: str) -> Interactions:
        """All interactions of an entry.

        Raises:
            NotAtHand: a file is missing.
            InputError: a file is not the one that the registry knows, or breaks its format.
        """
        if name not in self.was_read:
            entry = self.registry[name]
            paths = {file.name: self.path(entry.name, file) for file in entry.files}
            module: Any = import_module(f"seqrepro.data.formats.{entry.format}")
            self.was_read[name] = module.read(paths, **entry.options)
        return self.was_read[name]

    def path(self, entry: str, file: RawFile) -> Path:
        """Where a file lies, with the right content.

        Raises:
            NotAtHand: nowhere.
            InputError: its content is another.
        """
        path = Path("data/raw") / entry / file.name
        if path.is_file():
            if problem := difference(file, path):
                raise InputError(f"{path}: {problem}")
            return path
        mirrored = tuple(source for source in file.sources if isinstance(source, MirrorSource))
        if not mirrored or self.mirror is None:
            raise NotAtHand(f"{path} is not there, and {'no mirror is set' if mirrored else 'no mirror holds it'}")
        if "://" not in self.mirror and not any((Path(self.mirror) / source.path).is_file() for source in mirrored):
            raise NotAtHand(f"{path} is not there, and the mirror lacks {mirrored[0].path}")
        target = self.folder / (file.sha256 or entry) / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        return retrieve(file.model_copy(update={"sources": mirrored}), target, self.mirror, Downloads(self.folder))

    def counts(self, name: str, filters_: dict[str, Any]) -> Counts:
        """Users, items and interactions after a filter."""
        numbered, _ = self.ordered(name, filters_, None)
        return Counts(users=len(numbered.user_ids), items=len(numbered.item_ids), interactions=len(numbered.users))

    def ordered(self, name: str, filters_: dict[str, Any], by: OrderSource | None) -> tuple[Numbered, Ordered]:
        """The sequences of an entry after a filter, in its own order or in another."""
        wanted = Filter.model_validate_json(json.dumps(filters_)).canonical()
        order_source = by or self.registry[name].order_source
        kept, _ = filters.apply(self.read(name), wanted, order_source)
        numbered = number(kept, order_source)
        return numbered, order(numbered)

    def compare(self, name: str, reference: Reference) -> Agreement:
        """An entry and one of its references, user by user."""
        ours = self.ordered(name, reference.filter, reference.order_source)
        theirs = self.ordered(reference.entry, reference.reference_filter, None)
        if reference.ids == "structure":
            return compare_structure(
                *(_sequences(ordered, ordered.users, ordered.items) for _, ordered in (ours, theirs))
            )
        maps = [self.mapping(reference.entry, file) for file in (reference.user_map, reference.item_map)]
        return compare(_under_source_ids(*ours, maps), _under_source_ids(*theirs, [{}, {}]))

    def mapping(self, entry: str, file: RawFile | None) -> dict[str, str]:
        """Our ids -> their ids, as text; an id that is not mapped stays as it is."""
        if file is None:
            return {}
        lines = self.path(entry, file).read_text(encoding="utf-8").splitlines()[1:]
        return {ours: theirs for theirs, ours in (line.split("\t") for line in lines)}


def _under_source_ids(numbered: Numbered, ordered: Ordered, maps: list[dict[str, str]]) -> Sequences:
    names = [
        np.array([translation.get(str(i), str(i)) for i in ids.to_pylist()], dtype=object)
        for ids, translation in zip((numbered.user_ids, numbered.item_ids), maps, strict=True)
    ]
    return _sequences(ordered, names[0][ordered.users - 1], names[1][ordered.items - 1])


def _sequences(ordered: Ordered, users: Any, items: Any) -> Sequences:
    return Sequences(users, ordered.offsets, items, ordered.timestamps)

"""The registry of datasets: what each one is, where it comes from, and which content is the right one.

Read when a plan is made, so it needs pydantic and YAML and nothing heavier. The file itself,
`registry/datasets.yaml`, explains its keys in its header.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from seqrepro.config.base import Configuration, canonical_value
from seqrepro.data.source_kinds import FileName, Provenance, RawFile, Url, first_problem
from seqrepro.errors import InputError
from seqrepro.files import canonical_json, sha256_text

REGISTRY = Path("registry/datasets.yaml")
OrderSource = Literal["timestamp", "source", "rank"]


class Counts(Configuration):
    """How many users, items and interactions there are."""

    users: int = Field(ge=1)
    items: int = Field(ge=1)
    interactions: int = Field(ge=1)


class Agreement(Configuration):
    """How the sequences of two datasets compare, user by user."""

    users: int = Field(ge=0, description="users that are in both")
    equal: int = Field(ge=0, description="the same items in the same order")
    ties: int = Field(0, ge=0, description="the same but for the order of items with equal timestamps")
    other: int = Field(0, ge=0, description="all others, with users that only one of the two has")
    test_targets: int = Field(0, ge=0, description="users whose last items differ")
    validation_targets: int = Field(0, ge=0, description="users whose last items but one differ")
    times: int = Field(0, ge=0, description="users whose timestamps differ, if both datasets have them")
    untold: int = Field(0, ge=0, description="structure only: users and items that their neighbours do not tell apart")


class Reference(Configuration):
    """Another entry that must hold the same sequences, but for differences that are known and counted."""

    entry: str
    filter: dict[str, Any] = Field({}, description="of this entry, as in params.yaml")
    reference_filter: dict[str, Any] = Field({}, description="of the other entry")
    order_source: OrderSource | None = Field(None, description="of this entry, if another than its own")
    ids: Literal["same", "maps", "structure"]
    user_map: RawFile | None = Field(None, description="maps: two columns under a header, id there and id here")
    item_map: RawFile | None = None
    expected: Agreement | None = Field(description="null: nobody has compared them yet")
    note: str = Field("", description="what explains the differences")

    @model_validator(mode="after")
    def _maps_are_given(self) -> "Reference":
        if {self.user_map is not None, self.item_map is not None} != {self.ids == "maps"}:
            raise ValueError("user_map and item_map go with `ids: maps`")
        return self


class Entry(Configuration):
    """One dataset in one variant."""

    name: FileName
    title: str
    family: str = Field(description="the slug under which published numbers name the dataset")
    variant: str
    terms: str
    citation: str
    homepage: Url
    format: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="a module of seqrepro.data.formats")]
    options: dict[str, str] = Field({}, description="arguments of the format's `read`")
    order_source: OrderSource
    provenance: Provenance = Field(description="class of the best source of exactly this content")
    expected: dict[Annotated[str, Field(pattern=r"^(raw|[1-9][0-9]*_core)$")], Counts]
    files: tuple[RawFile, ...] = Field(min_length=1)
    published_variants: tuple[str, ...] = Field((), description="texts that mean this variant in published tables")
    time_unit: Literal["millisecond", "second", "day", "month"] | None = Field(None, description="as the source has it")
    counts: Literal["computed", "published"] = Field("computed", description="where `expected` comes from")
    comparable: bool = Field(True, description="false: its levels must not stand beside published ones")
    caveat: str | None = Field(None, description="why not, or what else a reader must know; tables print it")
    references: tuple[Reference, ...] = ()

    def content(self) -> str:
        """SHA-256 of what determines the content: format, options, order, file names and checksums; not the sources."""
        files = {file.name: file.sha256 or file.git_blob_sha1 for file in self.files}
        told = {"format": self.format, "order_source": self.order_source, "files": files}
        return sha256_text(canonical_json(told | ({"options": self.options} if self.options else {})))

    def raw_paths(self) -> list[str]:
        """Where `retrieve` puts the files, relative to the repository, in the registry's order."""
        return [f"data/raw/{self.name}/{file.name}" for file in self.files]

    def retrieval(self) -> dict[str, Any]:
        """The parameters of the `retrieve` step that depend on the entry."""
        return {"entry": self.name, "files": [canonical_value(file) for file in self.files]}

    def preparation(self, filters: dict[str, Any]) -> dict[str, Any]:
        """The parameters of the `prepare` step that depend on the entry and the (canonical) filter."""
        return {
            "source": "registry",
            "entry": self.name,
            "format": self.format,
            "files": [file.name for file in self.files],
            "checksums": {file.name: file.sha256 for file in self.files},
            "provenance": self.provenance,
            "order_source": self.order_source,
            "filter": filters,
            "expected": self._expected(filters),
            **({"options": self.options} if self.options else {}),
            **({"git_blobs": blobs} if (blobs := self._git_blobs()) else {}),
        }

    def _git_blobs(self) -> dict[str, str]:
        """What git calls the content of files of which nobody has told a SHA-256."""
        return {file.name: file.git_blob_sha1 for file in self.files if not file.sha256 and file.git_blob_sha1}

    def _expected(self, filters: dict[str, Any]) -> dict[str, Any] | None:
        """The counts after this filter, where they are known: after none, or after a k-core alone."""
        if set(filters) - {"k_core"}:
            return None
        counts = self.expected.get(f"{filters['k_core']}_core" if filters else "raw")
        return counts.canonical() if counts else None


def load_registry(path: Path = REGISTRY) -> dict[str, Entry]:
    """Read and validate the registry: entry name -> entry.

    Raises:
        InputError: no such file, not YAML, or an entry that breaks the schema; the message names the key.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping of entries, found {type(value).__name__}")
    return {name: _entry(path, name, fields) for name, fields in value.items()}


def _entry(path: Path, name: str, fields: Any) -> Entry:
    if not isinstance(fields, dict):
        raise InputError(f"{path}: {name}: expected a mapping, found {type(fields).__name__}")
    try:
        return Entry.model_validate_json(json.dumps({"name": name} | fields, default=str))
    except ValidationError as error:
        raise InputError(f"{path}: {name}.{first_problem(error)}") from None

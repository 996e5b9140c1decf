"""The registry of datasets: what each one is, where it comes from, and which content is the right one.

Read when a plan is made, so it needs pydantic and YAML and nothing heavier. The file itself,
`registry/datasets.yaml`, explains its keys in its header.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from seqrepro.config.base import Configuration, canonical_value
from seqrepro.errors import InputError
from seqrepro.files import canonical_json, sha256_text

REGISTRY = Path("registry/datasets.yaml")
MIRROR_VARIABLE = "SEQREPRO_MIRROR"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
MirrorPath = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
Provenance = Literal["primary", "archived", "third-party"]
OrderSource = Literal["timestamp", "source"]


class ArchiveSource(Configuration):
    """A member of a zip file on the web."""

    kind: Literal["archive"]
    url: Url
    member: str
    provenance: Provenance
    md5: Md5 | None = Field(None, description="of the zip file")
    sha256: Sha256 | None = Field(None, description="of the zip file")


class UrlSource(Configuration):
    """A plain file on the web."""

    kind: Literal["url"]
    url: Url
    provenance: Provenance


class MirrorSource(Configuration):
    """A file of the mirror that the user names: a folder, or a URL under which the same paths are found."""

    kind: Literal["mirror"]
    path: MirrorPath
    provenance: Provenance
    compression: Literal["xz", "none"] = "none"


Source = Annotated[ArchiveSource | UrlSource | MirrorSource, Field(discriminator="kind")]


class RawFile(Configuration):
    """One file of a dataset: its name in `data/raw/<entry>/`, its content, and where it can be had."""

    name: FileName
    sha256: Sha256 | None = Field(description="of the content as stored in data/raw; null if nobody has computed it")
    sources: tuple[Source, ...] = Field(min_length=1)


class Counts(Configuration):
    """How many users, items and interactions there are."""

    users: int = Field(ge=1)
    items: int = Field(ge=1)
    interactions: int = Field(ge=1)


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
    order_source: OrderSource
    provenance: Provenance = Field(description="class of the best source of exactly this content")
    expected: dict[Annotated[str, Field(pattern=r"^(raw|[1-9][0-9]*_core)$")], Counts]
    files: tuple[RawFile, ...] = Field(min_length=1)
    published_variants: tuple[str, ...] = Field((), description="texts that mean this variant in published tables")

    def content(self) -> str:
        """SHA-256 of what determines the content: format, order, file names and their checksums; not the sources."""
        files = {file.name: file.sha256 for file in self.files}
        return sha256_text(canonical_json({"format": self.format, "order_source": self.order_source, "files": files}))

    def raw_paths(self) -> list[str]:
        """Where `retrieve` puts the files, relative to the repository, in the registry's order."""
        return [f"data/raw/{self.name}/{file.name}" for file in self.files]

    def retrieval(self) -> dict[str, Any]:
        """The parameters of the `retrieve` step that depend on the entry."""
        return {"entry": self.name, "files": [canonical_value(file) for file in self.files]}

    def preparation(self, k_core: int | None) -> dict[str, Any]:
        """The parameters of the `prepare` step that depend on the entry and the filter."""
        expected = self.expected.get(f"{k_core}_core" if k_core else "raw")
        return {
            "source": "registry",
            "entry": self.name,
            "format": self.format,
            "files": [file.name for file in self.files],
            "checksums": {file.name: file.sha256 for file in self.files},
            "provenance": self.provenance,
            "order_source": self.order_source,
            "filter": {"k_core": k_core} if k_core else {},
            "expected": expected.canonical() if expected else None,
        }


RawFiles = TypeAdapter(tuple[RawFile, ...])


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


def first_problem(error: ValidationError) -> str:
    """The first finding of a validation as one line: key, what is wrong, what was found."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    found = "" if problem["type"] == "missing" else f", found {problem['input']!r}"
    return f"{key}: {problem['msg']}{found}"

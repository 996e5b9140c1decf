"""Parameters of datasets: where the interactions come from, and how they are filtered."""

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from seqrepro.config.base import Configuration, identity
from seqrepro.config.generators import Generator

FilterStep = Literal["rating_at_least", "duplicates", "minimum", "k_core"]
FILTER_ORDER: tuple[FilterStep, ...] = ("rating_at_least", "duplicates", "minimum", "k_core")
DUPLICATES = {
    "drop_exact": "exact repetitions dropped",
    "keep_first": "first interaction of a user with an item",
    "keep_last": "last interaction of a user with an item",
}
FileFormat = Literal["csv", "tsv", "parquet", "jsonl"]
SUFFIXES: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
OPTIONS = ("separator", "timestamps", "bad_rows")  # arguments of the reader that only stand where they are used
COMPRESSED = (".gz", ".xz", ".zst", ".bz2")


class Minimum(Configuration):
    """Least numbers of interactions, counted once, before anything of this step is removed (one pass)."""

    user: int = Field(1, ge=1)
    item: int = Field(1, ge=1)


class Filter(Configuration):
    """What is removed before sequences are built. The steps that are asked for are taken in the order of `order`."""

    rating_at_least: float | None = identity(None, description="keep ratings of at least so much")
    duplicates: Literal["keep", "drop_exact", "keep_first", "keep_last"] = identity(
        "keep", description="drop_exact: same user, item and timestamp; keep_first, keep_last: one a (user, item)"
    )
    minimum: Minimum | None = identity(None, description="single-pass counts, as SASRec's own preparation has them")
    k_core: int | None = identity(None, ge=1, description="iterate until all users and items have so many interactions")
    order: tuple[FilterStep, ...] = identity(FILTER_ORDER, strict=False)

    @model_validator(mode="after")
    def _each_step_once(self) -> "Filter":
        if sorted(self.order) != sorted(FILTER_ORDER):
            raise ValueError(f"found order {list(self.order)}, expected each of {', '.join(FILTER_ORDER)} once")
        return self

    def text(self) -> str:
        """The steps in words, in the order in which they are taken, as tables print them; empty if there are none."""
        return ", ".join(text for step in self.order if (text := self._step_text(step)))

    def _step_text(self, step: FilterStep) -> str:
        match step, getattr(self, step):
            case _, None | "keep":
                return ""
            case "rating_at_least", least:
                return f"ratings of at least {least:g}"
            case "duplicates", policy:
                return DUPLICATES[policy]
            case "minimum", least:
                return f"at least {least.user} a user and {least.item} an item (one pass)"
            case _, k:
                return f"{k}-core"


class RegistryDataset(Configuration):
    """A public dataset, described in registry/datasets.yaml."""

    source: Literal["registry"]
    entry: str = Field(description="a key of registry/datasets.yaml")
    filter: Filter = Filter()


class Columns(Configuration):
    """How the columns of a file are called."""

    user: str = Field(min_length=1)
    item: str = Field(min_length=1)
    timestamp: str | None = Field(None, min_length=1, description="without it the rows stand in order of time")
    rating: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _each_column_once(self) -> "Columns":
        names = [name for name in (self.user, self.item, self.timestamp, self.rating) if name is not None]
        if len(set(names)) < len(names):
            raise ValueError(f"found the columns {names}, expected another name for each")
        return self


class FileDataset(Configuration):
    """Your own interactions, a row each, in a CSV, TSV, Parquet or JSON-lines file."""

    source: Literal["file"]
    path: str = Field(min_length=1, description="relative to the repository, or absolute")
    columns: Columns
    format: FileFormat | None = identity(None, description="by default what the file's suffix says")
    separator: str | None = identity(None, min_length=1, max_length=1, description="of csv; by default a comma")
    timestamps: Literal["iso", "s", "ms"] | None = identity(None, description="by default as the values look")
    bad_rows: Literal["error", "drop"] = identity("error", description="drop: leave them out, and count them")
    title: str | None = identity(None, description="as tables print it")
    filter: Filter = Filter()

    @model_validator(mode="after")
    def _format_is_known(self) -> "FileDataset":
        if self.format is None and self._suffix() not in SUFFIXES:
            expected = f"{', '.join(SUFFIXES)} (also with {', '.join(COMPRESSED)}), or the key format"
            raise ValueError(f"found path '{self.path}', expected a name that ends in {expected}")
        if self.separator is not None and self.reading()["format"] != "csv":
            raise ValueError("found a separator, expected it with format csv only")
        return self

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePath(self.path).name

    def reading(self) -> dict[str, Any]:
        """How the file is read: arguments of the reader, canonical."""
        columns = {key: name for key, name in self.columns.canonical().items() if name is not None}
        told = {"columns": columns, "format": self.format or SUFFIXES[self._suffix()]}
        given = {key: value for key, value in self.canonical().items() if key in OPTIONS}
        return told | given

    def _suffix(self) -> str:
        plain = PurePath(self.name.lower())
        return plain.with_suffix("").suffix if plain.suffix in COMPRESSED else plain.suffix


class GeneratedDataset(Configuration):
    """A dataset that we generate: no download, and the truth is known."""

    source: Literal["generated"]
    generator: Generator


Dataset = Annotated[RegistryDataset | FileDataset | GeneratedDataset, Field(discriminator="source")]

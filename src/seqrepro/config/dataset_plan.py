"""What the plan needs to know of a dataset: its identity, the jobs that make it, and how tables call it."""

from pathlib import Path
from typing import Any

from seqrepro.config.datasets import Dataset, FileDataset, GeneratedDataset, RegistryDataset
from seqrepro.config.faults import nearest
from seqrepro.config.generators import NoisyGenerator
from seqrepro.data.own.local_files import content_sha256
from seqrepro.data.registry import Entry
from seqrepro.errors import InputError
from seqrepro.files import canonical_json, sha256_text
from seqrepro.provenance.fingerprint import fingerprint
from seqrepro.request import Request

Registry = dict[str, Entry]
PLAN = Path("results/plan")
PREPARED = ("interactions.parquet", "sequences.parquet", "items.parquet", "statistics.json")


def identity(dataset: Dataset, registry: Registry) -> dict[str, Any]:
    """What determines a dataset's content: checksums of its files (or its generator) and the filter."""
    if isinstance(dataset, RegistryDataset):
        return {"content": entry_of(dataset.entry, registry).content(), "filter": dataset.filter.canonical()}
    if isinstance(dataset, FileDataset):
        told = {"file": content_sha256(Path(dataset.path)), "reading": dataset.reading()}
        return {"content": sha256_text(canonical_json(told)), "filter": dataset.filter.canonical()}
    return {"content": sha256_text(canonical_json(dataset.generator.canonical())), "filter": {}}


def law(name: str, dataset: Dataset) -> dict[str, Any]:
    """The parameters of the generator whose law of the next item is known, given the history.

    Raises:
        InputError: data that nobody generated, or whose law is not one of the history alone.
    """
    if not isinstance(dataset, GeneratedDataset):
        raise InputError(
            f"params.yaml: datasets.{name}.source: found '{dataset.source}', expected 'generated': "
            "family bayes_optimal needs data whose law is known"
        )
    if isinstance(dataset.generator, NoisyGenerator) and dataset.generator.clean_targets:
        raise InputError(
            f"params.yaml: datasets.{name}.generator.clean_targets: found true, expected false: "
            "family bayes_optimal needs a law of the history, and this one depends on how many items are to come"
        )
    return dataset.generator.canonical()


def require_timestamps(name: str, dataset: Dataset, registry: Registry) -> None:
    """Raises InputError if a dataset has no timestamps."""
    if isinstance(dataset, RegistryDataset) and entry_of(dataset.entry, registry).time_unit is None:
        raise InputError(
            f"params.yaml: datasets.{name}.entry: found '{dataset.entry}', which has no timestamps; expected one that "
            "has, for models that read them"
        )
    if isinstance(dataset, FileDataset) and dataset.columns.timestamp is None:
        raise InputError(
            f"params.yaml: datasets.{name}.columns.timestamp: found none, expected a column, for models that read it"
        )


def requests(name: str, dataset: Dataset, registry: Registry) -> dict[Path, Request]:
    """The jobs that make a prepared dataset, by the file that each request stands in."""
    if isinstance(dataset, RegistryDataset):
        entry = entry_of(dataset.entry, registry)
        fetched = PLAN / f"retrieve/{dataset.entry}.json", _retrieve(entry)
        reader = f"seqrepro.data.formats.{entry.format}"
        made = entry.preparation(dataset.filter.canonical())
        return dict([fetched, _prepare(name, entry.raw_paths(), made, reader)])
    if isinstance(dataset, FileDataset):
        adopted = _adopt(name, dataset)
        raw = [f"{adopted.folder}/{dataset.name}"]
        fetched = PLAN / f"retrieve/{Path(adopted.folder).name}.json", adopted
        made = _own_preparation(dataset, adopted.parameters["sha256"])
        return dict([fetched, _prepare(name, raw, made, "seqrepro.data.formats.user_file")])
    return dict([_prepare(name, [], dataset.canonical(), f"seqrepro.data.synthetic.{dataset.generator.kind}")])


def description(name: str, dataset: Dataset, registry: Registry) -> dict[str, Any]:
    """How tables call a dataset: title, family, variant, and texts that mean this variant in published tables."""
    if isinstance(dataset, RegistryDataset):
        entry = entry_of(dataset.entry, registry)
        filtered = dataset.filter.text()
        return {
            "title": entry.title,
            "family": entry.family,
            "variant": f"{entry.variant}, {filtered}" if filtered else entry.variant,
            "published_variants": list(entry.published_variants),
            "class": entry.provenance,
            "comparable": entry.comparable,
            "caveat": entry.caveat,
        }
    if isinstance(dataset, FileDataset):
        variant = dataset.filter.text() or "as it is"
        return _unpublished(dataset.title or name, "own", variant, "user")
    return _unpublished(name, "generated", "generated", "generated")


def _unpublished(title: str, family: str, variant: str, provenance: str) -> dict[str, Any]:
    """The description of a dataset of which nobody else has published anything."""
    own = {"title": title, "family": family, "variant": variant, "class": provenance}
    return own | {"published_variants": [], "comparable": True, "caveat": None}


def entry_of(name: str, registry: Registry) -> Entry:
    """An entry of the dataset registry. Raises InputError if there is none of that name."""
    if name not in registry:
        raise InputError(f"registry/datasets.yaml: no entry '{name}'{nearest(name, list(registry))}")
    return registry[name]


def _retrieve(entry: Entry) -> Request:
    module = "seqrepro.data.retrieve"
    return Request("retrieve", module, f"data/raw/{entry.name}", [], entry.retrieval(), [], fingerprint((module,)))


def _adopt(name: str, dataset: FileDataset) -> Request:
    module = "seqrepro.data.own.adopt"
    wanted = {"dataset": name, "file": dataset.name, "sha256": content_sha256(Path(dataset.path))}
    return Request("retrieve", module, f"data/raw/own-{name}", [], wanted, [], fingerprint((module,)))


def _own_preparation(dataset: FileDataset, sha256: str) -> dict[str, Any]:
    """The parameters of the `prepare` step; the same keys as a registry entry's."""
    return {
        "source": "file",
        "format": "user_file",
        "files": [dataset.name],
        "checksums": {dataset.name: sha256},
        "provenance": "user",
        "order_source": "timestamp" if dataset.columns.timestamp else "source",
        "filter": dataset.filter.canonical(),
        "expected": None,
        "options": dataset.reading(),
    }


def _prepare(name: str, inputs: list[str], made: dict[str, Any], reader: str) -> tuple[Path, Request]:
    module = "seqrepro.data.prepare"
    code = fingerprint((module, reader))
    wanted = {"dataset": name, **made}
    request = Request("prepare", module, f"data/prepared/{name}", inputs, wanted, [reader], code)
    return PLAN / f"prepare/{name}.json", request

"""The `prepare` step: from raw files, or a generator, to one dataset variant in one shape.

It writes into `data/prepared/<dataset>/`:

- `interactions.parquet`: user int64, item int32, timestamp int64 (null if there are none); rows in source order
- `sequences.parquet`: user int64, items list<int32>, timestamps list<int64> (null if none); a row a user, by user id
- `items.parquet`: item int32, source_id string, and attributes list<string> if the source has them
- `users.parquet`: user int64, source_id string; only if the users were renumbered
- `statistics.json`: counts, lengths, order, ties, and the hash of the content

Ids start at 1 (0 is padding): ids that are 1..n after filtering are kept, others are numbered by first appearance.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqrepro.data.filters import k_core
from seqrepro.data.interactions import Interactions, Numbered, Ordered, codes, number, order
from seqrepro.errors import CheckFailed, InputError
from seqrepro.files import Json, sha256_file, write_json, write_parquet
from seqrepro.request import Request


def run(request: Request) -> list[Path]:
    """Prepare one dataset into `request.folder`.

    Raises:
        InputError: a raw file that is missing, is not the one the registry knows, or breaks its format.
        CheckFailed: other counts than expected.
    """
    parameters = request.parameters
    paths = {Path(name).name: Path(name) for name in request.inputs}
    files = check_files(paths, parameters.get("checksums", {}))
    kept = filtered(_source(parameters, paths), parameters.get("filter", {}))
    numbered = number(kept)
    order_source = parameters.get("order_source", "source")
    ordered = order(numbered, order_source)
    statistics = summary(numbered, ordered) | {
        "order_source": order_source,
        "filter": parameters.get("filter", {}),
        "provenance": parameters.get("provenance", parameters["source"]),
        "files": files,
        "verified": all(file["verified"] for file in files.values()),
    }
    _check_counts(request.folder, statistics, parameters.get("expected"))
    return _write(request.output, kept, numbered, ordered, statistics)


def check_files(paths: dict[str, Path], checksums: dict[str, str | None]) -> dict[str, Json]:
    """The checksum of each raw file, and whether the registry vouches for it.

    Raises:
        InputError: a file is missing or differs from the known checksum.
    """
    found = {}
    for name, path in paths.items():
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected what `seqrepro retrieve` puts there")
        digest, expected = sha256_file(path), checksums.get(name)
        if expected is not None and digest != expected:
            raise InputError(f"{path}: found sha256 {digest}, expected {expected}")
        found[name] = {"sha256": digest, "verified": expected is not None}
    return found


def filtered(interactions: Interactions, filters: dict[str, Any]) -> Interactions:
    """The interactions that a filter keeps: `{}` keeps all, `{"k_core": k}` the k-core.

    Raises:
        InputError: an unknown filter, or one that leaves nothing.
    """
    if unknown := sorted(set(filters) - {"k_core"}):
        raise InputError(f"filter: found {unknown[0]!r}, expected k_core")
    k = filters.get("k_core")
    kept = interactions
    if k is not None:
        kept = interactions.select(k_core(codes(interactions.users)[0], codes(interactions.items)[0], k))
    if not len(kept):
        raise InputError(f"filter: {filters} leaves none of the {len(interactions)} interactions")
    return kept


def summary(numbered: Numbered, ordered: Ordered) -> Json:
    """The counts that describe a dataset, and the hash of its sequences."""
    n_users, n_items, n = len(ordered.users), len(numbered.item_ids), len(ordered.items)
    lengths = ordered.lengths
    return {
        "n_users": n_users,
        "n_items": n_items,
        "n_interactions": n,
        "density": n / (n_users * n_items),
        "length": {
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "mean": float(lengths.mean()),
            "max": int(lengths.max()),
        },
        "repeated_interactions": n - len(_group_sizes(numbered.users, numbered.items)),
        **_time_summary(numbered, ordered),
        "content_sha256": ordered.content_sha256(),
    }


def _time_summary(numbered: Numbered, ordered: Ordered) -> Json:
    """Ties: interactions that share user and time with another; reversals: steps back in time within a sequence."""
    if numbered.timestamps is None or ordered.timestamps is None:
        return {"timestamps": None}
    sizes = _group_sizes(numbered.users, numbered.timestamps)
    steps = np.diff(ordered.timestamps)
    within = np.diff(np.repeat(ordered.users, ordered.lengths)) == 0
    return {
        "timestamps": {
            "first": int(numbered.timestamps.min()),
            "last": int(numbered.timestamps.max()),
            "ties": int(sizes[sizes > 1].sum()),
            "reversals": int(np.count_nonzero(within & (steps < 0))),
        }
    }


def _group_sizes(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How often each distinct pair (first, second) occurs."""
    rows = np.lexsort((second, first))
    new = (np.diff(first[rows]) != 0) | (np.diff(second[rows]) != 0)
    edges = np.concatenate([[0], np.flatnonzero(new) + 1, [len(rows)]])
    return np.diff(edges)


def _source(parameters: dict[str, Any], paths: dict[str, Path]) -> Interactions:
    if parameters["source"] == "generated":
        generated: Interactions = importlib.import_module("seqrepro.data.synthetic").generate(parameters["generator"])
        return generated
    name = parameters["format"]
    if not (Path(__file__).parent / "formats" / f"{name}.py").is_file():
        raise InputError(f"format: found {name!r}, expected a module of seqrepro.data.formats")
    read: Interactions = importlib.import_module(f"seqrepro.data.formats.{name}").read(paths)
    return read


def _check_counts(dataset: str, statistics: Json, expected: dict[str, int] | None) -> None:
    found = {name: statistics[f"n_{name}"] for name in ("users", "items", "interactions")}
    if expected is not None and found != expected:
        raise CheckFailed(f"{dataset}: found {_counts(found)}, expected {_counts(expected)}")


def _counts(counts: dict[str, int]) -> str:
    return " / ".join(f"{counts[name]:,} {name}" for name in ("users", "items", "interactions"))


def _write(folder: Path, source: Interactions, numbered: Numbered, ordered: Ordered, statistics: Json) -> list[Path]:
    tables = {
        "interactions": interactions_table(numbered),
        "sequences": sequences_table(ordered),
        "items": items_table(source, numbered),
    }
    if not numbered.user_ids.equals(pa.array(np.arange(1, len(numbered.user_ids) + 1))):
        users = pa.array(np.arange(1, len(numbered.user_ids) + 1))
        tables["users"] = pa.table({"user": users, "source_id": numbered.user_ids.cast(pa.string())})
    paths = [folder / f"{name}.parquet" for name in tables]
    for path, table in zip(paths, tables.values(), strict=True):
        write_parquet(path, table)
    write_json(folder / "statistics.json", statistics)
    return [*paths, folder / "statistics.json"]


def interactions_table(numbered: Numbered) -> pa.Table:
    """A row an interaction, in source order."""
    n = len(numbered.users)
    times = pa.nulls(n, pa.int64()) if numbered.timestamps is None else pa.array(numbered.timestamps)
    return pa.table({"user": pa.array(numbered.users), "item": pa.array(numbered.items), "timestamp": times})


def sequences_table(ordered: Ordered) -> pa.Table:
    """A row a user, by user id."""
    offsets = pa.array(ordered.offsets.astype(np.int32))
    times = pa.nulls(len(ordered.users), pa.list_(pa.int64()))
    if ordered.timestamps is not None:
        times = pa.ListArray.from_arrays(offsets, pa.array(ordered.timestamps))
    items = pa.ListArray.from_arrays(offsets, pa.array(ordered.items))
    return pa.table({"user": pa.array(ordered.users), "items": items, "timestamps": times})


def items_table(source: Interactions, numbered: Numbered) -> pa.Table:
    """A row an item of the catalogue, by item id."""
    source_ids = numbered.item_ids.cast(pa.string())
    items = pa.array(np.arange(1, len(source_ids) + 1, dtype=np.int32))
    columns = {"item": items, "source_id": source_ids}
    if source.attributes is not None:
        attributes = [list(source.attributes.get(item, ())) for item in source_ids.to_pylist()]
        columns["attributes"] = pa.array(attributes, pa.list_(pa.string()))
    return pa.table(columns)

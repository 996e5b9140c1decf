"""The `prepare` step: from raw files, or a generator, to one dataset variant in one shape.

It writes into `data/prepared/<dataset>/`:

- `interactions.parquet`: user int64, item int32, timestamp int64 (null if there are none), rating float32 if the source
  has ratings; rows in source order
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

from seqrepro.data import filters
from seqrepro.data.interactions import Int64, Interactions, Numbered, Ordered, combined, number, order
from seqrepro.data.sources.checksums import git_blob_sha1
from seqrepro.errors import CheckFailed, InputError
from seqrepro.files import Json, sha256_file, write_json, write_parquet
from seqrepro.request import Request

MOST_INTERACTIONS = 2**31 - 1


def run(request: Request) -> list[Path]:
    """Prepare one dataset into `request.folder`.

    Raises:
        InputError: a raw file that is missing, is not the one the registry knows, or breaks its format.
        CheckFailed: other counts than expected.
    """
    paths = {Path(name).name: Path(name) for name in request.inputs}
    files = check_files(paths, request.parameters.get("checksums", {}), request.parameters.get("git_blobs", {}))
    return prepare(_source(request.parameters, paths), request.output, request.parameters, files)


def prepare(source: Interactions, folder: Path, parameters: dict[str, Any], files: dict[str, Json]) -> list[Path]:
    """Filter, number and order interactions, and write them into `folder`.

    Raises:
        InputError: a filter or an order that this source does not allow.
        CheckFailed: other counts than expected.
    """
    wanted, order_source = parameters.get("filter", {}), parameters.get("order_source", "source")
    kept, steps = filters.apply(source, wanted, order_source)
    numbered = number(kept, order_source)
    ordered = order(numbered)
    statistics = summary(numbered, ordered) | {
        "order_source": order_source,
        "filter": wanted,
        "provenance": parameters.get("provenance", parameters["source"]),
        "files": files,
        "verified": all(file["verified"] for file in files.values()),
        **_only_if_used(source, wanted, steps),
    }
    _check_counts(folder.as_posix(), statistics, parameters.get("expected"))
    return _write(folder, kept, numbered, ordered, statistics)


def _only_if_used(source: Interactions, wanted: dict[str, Any], steps: list[Json]) -> Json:
    """What a dataset without these options does not have: steps of the filter, rows left out, how it was read."""
    facts = {"filter_steps": steps if set(wanted) - {"k_core"} else [], "dropped": source.dropped, "read": source.notes}
    return {name: value for name, value in facts.items() if value}


def check_files(
    paths: dict[str, Path], checksums: dict[str, str | None], git_blobs: dict[str, str] | None = None
) -> dict[str, Json]:
    """The checksum of each raw file, and whether it is the one that the registry (or the plan, of your own file) knows.

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
        blob = (git_blobs or {}).get(name)
        if blob is not None and (other := git_blob_sha1(path)) != blob:
            raise InputError(f"{path}: found the git blob {other}, expected {blob}")
        found[name] = {"sha256": digest, "verified": expected is not None or blob is not None}
    return found


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
        "repeated_interactions": n - len(_group_sizes(numbered.users, numbered.items.astype(np.int64))),
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


def _group_sizes(first: Int64, second: Int64) -> Int64:
    """How often each distinct pair (first, second) occurs; both [N]."""
    pairs = np.sort(combined(first, second))
    edges = np.concatenate([[0], np.flatnonzero(np.diff(pairs)) + 1, [len(pairs)]])
    return np.diff(edges)


def _source(parameters: dict[str, Any], paths: dict[str, Path]) -> Interactions:
    if parameters["source"] == "generated":
        generator = dict(parameters["generator"])
        module = _module("generator.kind", "synthetic", generator.pop("kind", None))
        generated: Interactions = module.generate(**generator)
        return generated
    reader = _module("format", "formats", parameters["format"])
    read: Interactions = reader.read(paths, **parameters.get("options", {}))
    return read


def _module(key: str, package: str, name: Any) -> Any:
    if not (Path(__file__).parent / package / f"{name}.py").is_file():
        raise InputError(f"{key}: found {name!r}, expected a module of seqrepro.data.{package}")
    return importlib.import_module(f"seqrepro.data.{package}.{name}")


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
    else:
        (folder / "users.parquet").unlink(missing_ok=True)  # of an earlier variant
    paths = [folder / f"{name}.parquet" for name in tables]
    for path, table in zip(paths, tables.values(), strict=True):
        write_parquet(path, table)
    write_json(folder / "statistics.json", statistics)
    return [*paths, folder / "statistics.json"]


def interactions_table(numbered: Numbered) -> pa.Table:
    """A row an interaction, in source order."""
    n = len(numbered.users)
    times = pa.nulls(n, pa.int64()) if numbered.timestamps is None else pa.array(numbered.timestamps)
    columns = {"user": pa.array(numbered.users), "item": pa.array(numbered.items), "timestamp": times}
    if numbered.ratings is not None:
        columns["rating"] = pa.array(numbered.ratings, pa.float32())
    return pa.table(columns)


def sequences_table(ordered: Ordered) -> pa.Table:
    """A row a user, by user id.

    Raises:
        InputError: more interactions than the 32-bit offsets of a list column can count.
    """
    if len(ordered.items) > MOST_INTERACTIONS:
        raise InputError(f"found {len(ordered.items):,} interactions, expected at most {MOST_INTERACTIONS:,}")
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

"""Preparation side by side with RecBole: from a raw text file to leave-one-out splits that training can take.

    SEQREPRO_MIRROR=... python benchmarks/prepare.py [--repeats 5] [--out benchmarks/results/prepare.json]

Needs an environment of its own that has RecBole (see README.md here). Both read the same rows from a tab-separated file
of user, item and time; keep the 5-core; number users and items; sort each user by time; and hold out the last item for
the test and the one before for validation. Times: both in one process, taking turns. Memory: a fresh process each.
"""

import lzma
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from common import arguments, finish, mirror, workplace
from machine import machine, peak_mb

from seqrepro.data.prepare import run
from seqrepro.data.sequences import read_sequences
from seqrepro.data.splits import leave_one_out
from seqrepro.files import read_json
from seqrepro.request import Request

OURS = ("user", "item", "time")
THEIRS = ("user_id:token", "item_id:token", "timestamp:float")
MAX_LENGTH = 50


def ml_100k(mirror: Path) -> pa.Table:
    """u.data: user, item, rating, time."""
    options = pa.csv.ReadOptions(column_names=["user", "item", "rating", "time"])
    return _table(mirror / "ml-100k/u.data.xz", options)


def ml_1m(mirror: Path) -> pa.Table:
    """All rows; where the exact second is not known, its lower bound stands in."""
    table = _table(mirror / "ml-1m/ratings.partial_timestamps.tsv.xz", None)
    times = pc.coalesce(table["timestamp"], table["ts_lo"])
    return pa.table({"user": table["user_id"], "item": table["movie_id"], "time": times})


def beauty(mirror: Path) -> pa.Table:
    """S3-Rec's ids with the days of the reviews."""
    table = _table(mirror / "amazon-beauty-5core-2014/s3rec_interactions_with_timestamps.tsv.xz", None)
    return table.rename_columns(["user", "item", "time"])


def _table(path: Path, options: pa.csv.ReadOptions | None) -> pa.Table:
    with lzma.open(path) as stream:
        return pa.csv.read_csv(stream, read_options=options, parse_options=pa.csv.ParseOptions(delimiter="\t"))


DATASETS: dict[str, Callable[[Path], pa.Table]] = {"ml-100k": ml_100k, "ml-1m": ml_1m, "beauty": beauty}


def write_raw(folder: Path, name: str, table: pa.Table) -> None:
    """The same rows for both; only the header differs."""
    rows = table.select(OURS)
    for path, header in ((folder / f"{name}.tsv", OURS), (folder / name / f"{name}.inter", THEIRS)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.write(("\t".join(header) + "\n").encode())
            options = pa.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
            pa.csv.write_csv(rows, stream, options)


def prepared(folder: Path, name: str) -> dict[str, int]:
    """The `prepare` step, which writes Parquet and flushes it to the disk; its counts."""
    options = {"columns": {"user": "user", "item": "item", "timestamp": "time"}, "format": "tsv"}
    wanted = {"source": "file", "format": "user_file", "order_source": "timestamp", "filter": {"k_core": 5}}
    out, raw = folder / f"{name}-prepared", str(folder / f"{name}.tsv")
    run(Request("prepare", "seqrepro.data.prepare", str(out), [raw], wanted | {"options": options}, [], ""))
    counts = read_json(out / "statistics.json")
    return {key: counts[key] for key in ("n_users", "n_items", "n_interactions")}


def ours(folder: Path, name: str) -> dict[str, int]:
    """Preparation, and what a training job reads of it."""
    counts = prepared(folder, name)
    split = leave_one_out(read_sequences(folder / f"{name}-prepared/sequences.parquet", counts["n_items"]))
    return {**counts, "tested": len(split.targets["test"])}


def read_and_filtered(folder: Path, name: str) -> Any:
    """RecBole up to its filtered and numbered table, not yet sorted or split."""
    from recbole.config import Config
    from recbole.data import create_dataset

    told = {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "user_inter_num_interval": "[5,inf)",
        "item_inter_num_interval": "[5,inf)",
        "MAX_ITEM_LIST_LENGTH": MAX_LENGTH,
        "train_neg_sample_args": None,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "show_progress": False,
        "state": "ERROR",
        "use_gpu": False,
    }
    return create_dataset(Config(model="SASRec", dataset=name, config_dict=told))


def recbole(folder: Path, name: str) -> dict[str, int]:
    """RecBole up to the splits that its SASRec trains on: a padded row for each training target."""
    dataset = read_and_filtered(folder, name)
    found = {"n_users": dataset.user_num - 1, "n_items": dataset.item_num - 1, "n_interactions": dataset.inter_num}
    return found | {"tested": len(dataset.build()[2])}


PARTS: dict[str, Callable[[Path, str], Any]] = {
    "ours": ours,
    "recbole": recbole,
    "recbole, without sorting and splitting": read_and_filtered,
}


def compare(folder: Path, name: str, repeats: int) -> dict[str, Any]:
    """Times and memory of all parts on one dataset, and the counts, which must agree."""
    found = {part: PARTS[part](folder, name) for part in ("ours", "recbole")}  # also imports and warms caches
    if found["ours"] != found["recbole"]:
        raise SystemExit(f"{name}: not the same work: {found}")
    times: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(repeats):
        for part in PARTS:
            started = time.perf_counter()
            PARTS[part](folder, name)
            times[part].append(time.perf_counter() - started)
    seconds = {part: round(statistics.median(values), 3) for part, values in times.items()}
    memory = {part: in_fresh_process(part, folder, name) for part in ("ours", "recbole")}
    parts = {part: {"seconds": seconds[part], **memory.get(part, {})} for part in PARTS}
    ratio = round(seconds["recbole"] / seconds["ours"], 1)
    return {**found["ours"], "repeats": repeats, "parts": parts, "times_faster": ratio}


def in_fresh_process(part: str, folder: Path, name: str) -> dict[str, int]:
    """Peak resident memory, and how much of it the imports had taken before."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory, (part, folder, name))


def _memory(part: str, folder: Path, name: str) -> dict[str, int]:
    if part != "ours":
        import recbole.data  # noqa: F401
    before = peak_mb()
    PARTS[part](folder, name)
    return {"peak_mb": peak_mb(), "of_which_imports_mb": before}


def main() -> None:
    """Measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=5, device=False)
    with workplace() as folder:
        for name, read in DATASETS.items():
            write_raw(folder, name, read(mirror()))
        results = {name: compare(folder, name, given.repeats) for name in DATASETS}
    finish(given, {"datasets": results, "machine": machine("recbole", "pandas", "torch")})


if __name__ == "__main__":
    main()

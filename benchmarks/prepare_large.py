"""Time and peak memory of preparing 20 million generated interactions: from a CSV file, and directly.

    python benchmarks/prepare_large.py [--interactions 20000000] [--out benchmarks/results/prepare_large.json]

Each part runs in a process of its own, whose peak resident memory the operating system reports.
"""

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

sys.path.insert(0, str(Path(__file__).parent))

from common import arguments, finish
from machine import machine, peak_mb

from seqrepro.data.interactions import Interactions
from seqrepro.data.prepare import prepare, run
from seqrepro.data.sequences import read_sequences
from seqrepro.files import read_json
from seqrepro.request import Request

USERS, ITEMS = 138_000, 27_000  # as in MovieLens-20M
START, YEARS_S = 1_100_000_000, 315_360_000
COLUMNS = {"user": "user", "item": "item", "timestamp": "timestamp", "rating": "rating"}
WANTED = {"source": "file", "format": "user_file", "order_source": "timestamp", "filter": {"k_core": 5}}


def interactions(n: int, seed: int = 1) -> Interactions:
    """Users by a heavy-tailed law, items by Zipf's, times uniform over ten years, rows in random order."""
    draw = np.random.default_rng(seed)
    share = n / 20_000_000
    users, items = (max(int(size * share**0.5), 50) for size in (USERS, ITEMS))
    weights = draw.gamma(0.5, size=users) + 0.02
    popularity = 1 / (np.arange(1, items + 1) + 20.0)
    return Interactions(
        users=pa.array(draw.choice(users, size=n, p=weights / weights.sum()) + 1),
        items=pa.array(draw.choice(items, size=n, p=popularity / popularity.sum()) + 1),
        timestamps=START + draw.integers(0, YEARS_S, size=n),
        ratings=(draw.integers(1, 11, size=n) / 2).astype(np.float32),
    )


def write_csv(path: Path, n: int) -> None:
    """The same interactions as a file."""
    made = interactions(n)
    table = pa.table({"user": made.users, "item": made.items, "rating": made.ratings, "timestamp": made.timestamps})
    pa.csv.write_csv(table, path)


def from_csv(folder: Path, n: int) -> None:
    """The whole `prepare` step on a user's file."""
    wanted = WANTED | {"options": {"columns": COLUMNS, "format": "csv"}}
    run(Request("prepare", "seqrepro.data.prepare", str(folder / "csv"), [str(folder / "rows.csv")], wanted, [], ""))


def directly(folder: Path, n: int) -> None:
    """The same without reading text."""
    prepare(interactions(n), folder / "direct", WANTED, {})


def load(folder: Path, n: int) -> None:
    """What a training job does with it first."""
    read_sequences(folder / "csv/sequences.parquet", read_json(folder / "csv/statistics.json")["n_items"])


def measured(part, folder: Path, n: int) -> dict[str, float]:
    """Seconds and peak gigabytes of one part, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_timed, (part, folder, n))


def _timed(part, folder: Path, n: int) -> dict[str, float]:
    started = time.perf_counter()
    part(folder, n)
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 1), "peak_gb": round(peak_mb() / 1000, 2)}


def measure(n: int, folder: Path) -> dict:
    """All parts, and what came out of them."""
    write_csv(folder / "rows.csv", n)
    found = {part.__name__: measured(part, folder, n) for part in (from_csv, directly, load)}
    statistics = [read_json(folder / name / "statistics.json") for name in ("csv", "direct")]
    counts = {key: statistics[0][key] for key in ("n_users", "n_items", "n_interactions")}
    same = statistics[0]["content_sha256"] == statistics[1]["content_sha256"]
    csv_mb = round((folder / "rows.csv").stat().st_size / 1e6)
    return {"generated": n, **counts, "csv_mb": csv_mb, "same_sequences": same, "parts": found}


def main() -> None:
    """Measure, print, and write the result if asked to."""
    given = arguments(__doc__, device=False, interactions=20_000_000)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(given.interactions, Path(folder)) | {"machine": machine()}
    finish(given, result)


if __name__ == "__main__":
    main()

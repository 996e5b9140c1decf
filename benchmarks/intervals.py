"""Time and memory of intervals for a million users and ten runs: rank files, closed forms, and the bootstrap.

    python benchmarks/intervals.py [--users 1000000] [--repeats 3] [--out benchmarks/results/intervals.json]

Two methods with five seeds each. Rank files of generated ranks are written first, both splits, in the schema of a run;
all that follows runs in one fresh process, whose peak memory after each step is told. At last the bootstrap over
distinct rows takes turns with one that resamples users, which makes few replicates; both must agree on the standard
error of the ratio's logarithm, or the benchmark stops.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent))

from common import arguments, finish, summary, take_turns
from machine import machine, peak_mb

from seqrepro.evaluation.ranks import MASKINGS, SCHEMA
from seqrepro.files import write_json, write_parquet
from seqrepro.ledger.bootstrap import REPLICATES, distinct, relative_gain, replicates
from seqrepro.ledger.evidence import collect
from seqrepro.ledger.statistics import Sample, difference, mean

ITEMS, SEEDS, METRIC, NAIVE = 100_000, 5, "ndcg@10", 100
SKILLS = {"first": 0.2, "second": 0.0}


def runs(folder: Path) -> list[dict[str, Any]]:
    """The two methods, as a plan names their runs."""
    shared = {"dataset": "generated", "protocol": "generated", "rankings": dict.fromkeys(MASKINGS, "generated")}
    return [shared | {"folder": str(folder / name), "seeds": list(range(SEEDS))} for name in SKILLS]


def write_runs(folder: Path, users: int) -> None:
    """Rank files whose ranks have a part of the user, of the user with a method, of the seed, and of chance."""
    generator = np.random.default_rng(1)
    ease = generator.normal(6, 2.4, users)
    for name, skill in SKILLS.items():
        own = generator.normal(0, 0.5, users)
        for seed in range(SEEDS):
            effect = generator.normal(0, 0.03) - skill
            parts = [split_rows(generator, split, ease + own + effect) for split in ("validation", "test")]
            write_parquet(folder / name / f"seed-{seed}/ranks.parquet", pa.concat_tables(parts))
            write_json(folder / name / f"seed-{seed}/metrics.json", {"n_items": ITEMS, "stopped": "patience"})


def split_rows(generator: np.random.Generator, split: str, level: np.ndarray) -> pa.Table:
    """The rows of one split."""
    users = len(level)
    worst = np.clip(np.ceil(np.exp(level + generator.normal(0, 1, users))), 1, ITEMS).astype(np.int32)
    ranks = [np.maximum(worst - 1, 1), worst, np.minimum(worst, ITEMS), np.minimum(worst + 1, ITEMS)]
    columns = [
        pa.array([split]).take(pa.array(np.zeros(users, np.int8))),
        np.arange(1, users + 1),
        np.arange(users, dtype=np.int32) % 200,
        np.zeros(users, bool),
        *ranks,
        np.log(worst).astype(np.float32),
    ]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=SCHEMA)


class Watch:
    """What steps take, in their order."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    def step(self, name: str, do: Callable[[], Any]) -> Any:
        """Do it; its seconds, and the peak memory of the process by then."""
        clock, processor = time.perf_counter(), time.process_time()
        found = do()
        took = {"seconds": time.perf_counter() - clock, "processor_seconds": time.process_time() - processor}
        took["peak_gb"] = peak_mb() / 1000
        self.steps.append({"step": name} | {key: round(value, 2) for key, value in took.items()})
        return found


def both_bootstraps(first: Sample, second: Sample, repeats: int) -> dict[str, Any]:
    """Replicates a second, over distinct rows and over users."""
    spread: dict[str, float] = {}
    means = [sample.gains_US.mean(axis=1) for sample in (first, second)]
    generator = np.random.default_rng(2)

    def over_rows() -> int:
        sums = replicates(*distinct([first, second]), REPLICATES)
        spread["distinct rows"] = float(np.log(sums[:, 1] / sums[:, 2]).std(ddof=1))
        return REPLICATES

    def over_users() -> int:
        logs = []
        for _ in range(NAIVE):
            chosen = generator.integers(0, len(means[0]), len(means[0]))
            logs.append(np.log(means[0][chosen].sum() / means[1][chosen].sum()))
        spread["resampled users"] = float(np.std(logs, ddof=1))
        return NAIVE

    turns = take_turns({"distinct rows": over_rows, "resampled users": over_users}, repeats)
    if abs(spread["resampled users"] / spread["distinct rows"] - 1) > 4 / np.sqrt(2 * NAIVE):
        raise SystemExit(f"standard errors of the logarithm do not agree: {spread}")
    told = {name: {"standard_error": round(value, 6)} for name, value in spread.items()}
    parts = {name: summary(own, "replicates") | told[name] for name, own in turns.items()}
    speeds = [part["replicates_a_processor_second"] for part in parts.values()]
    return {"parts": parts, "times_faster": round(speeds[0] / speeds[1], 1)}


def measured(folder: Path, repeats: int) -> dict[str, Any]:
    """All steps, in this process."""
    watch = Watch()
    evidence = watch.step("ranks read and users compared", lambda: collect(runs(folder)))
    first, second = watch.step(METRIC, lambda: [one.sample(METRIC, "test") for one in evidence])
    means = watch.step("two means, closed form", lambda: [mean(first), mean(second)])
    watch.step("difference, closed form", lambda: difference(first, second))
    gain = watch.step("relative gain, bootstrap", lambda: relative_gain(first, second))
    return {
        "means": [round(one.value, 5) for one in means],
        "gain": [round(value, 4) for value in (gain.value, gain.low, gain.high)],
        "distinct_rows": len(distinct([first, second])[0]),
        "steps": watch.steps,
        "bootstraps": both_bootstraps(first, second, repeats),
    }


def measure(users: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Write the files, and measure in a fresh process."""
    write_runs(folder, users)
    megabytes = sum(path.stat().st_size for path in folder.glob("*/*/ranks.parquet")) / 1e6
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(measured, (folder, repeats))
    sizes = {"users": users, "runs": len(SKILLS) * SEEDS, "files_mb": round(megabytes)}
    return {**sizes, "replicates": REPLICATES, "replicates_of_users": NAIVE, "repeats": repeats, **found}


def main() -> None:
    """Measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=3, device=False, users=1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(given.users, given.repeats, Path(folder)) | {"machine": machine("scipy")}
    finish(given, result)


if __name__ == "__main__":
    main()

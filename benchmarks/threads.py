"""Two cores, one training or two: targets a second of a job of two threads, and of two jobs of one thread together.

    SEQREPRO_MIRROR=... python benchmarks/threads.py [--repeats 3] [--out benchmarks/results/threads.json]

Our trainer on Beauty and MovieLens-1M. Each job is a process of its own. Jobs side by side start their steps together;
their speed is that of all their targets from the common start to the end of the slower one.
"""

import multiprocessing
import statistics
import time
from typing import Any

import torch
from common import arguments, finish
from machine import machine
from ours import SETTINGS, OurSteps, configuration, read_split

ARRANGEMENTS = {  # name: jobs, threads of each
    "one job, one thread": (1, 1),
    "one job, two threads": (1, 2),
    "two jobs, one thread each": (2, 1),
}
STEPS = {"beauty": 40, "ml-1m": 3}


def job(name: str, threads: int, steps: int, barrier: Any, results: Any) -> None:
    """Prepare, wait for the others, train, and say how many targets it took when."""
    torch.set_num_threads(threads)
    part = OurSteps(configuration(SETTINGS[name]), read_split(name))
    part.run(1)
    barrier.wait()
    started = time.monotonic()
    targets = part.run(steps)
    results.put((targets, started, time.monotonic()))


def together(name: str, arrangement: str, steps: int) -> float:
    """Targets a second of all jobs of an arrangement."""
    jobs, threads = ARRANGEMENTS[arrangement]
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(jobs), context.Queue()
    processes = [context.Process(target=job, args=(name, threads, steps, barrier, results)) for _ in range(jobs)]
    for process in processes:
        process.start()
    found = [results.get(timeout=3600) for _ in processes]
    for process in processes:
        process.join()
    targets, starts, ends = zip(*found, strict=True)
    return float(sum(targets) / (max(ends) - min(starts)))


def measure(name: str, repeats: int, steps: int) -> dict[str, Any]:
    """Medians of the arrangements, which take turns."""
    speeds: dict[str, list[float]] = {arrangement: [] for arrangement in ARRANGEMENTS}
    for _ in range(repeats):
        for arrangement, found in speeds.items():
            found.append(together(name, arrangement, steps))
            print(f"{name}, {arrangement}: {found[-1]:,.0f} targets a second", flush=True)
    return {
        arrangement: {
            "targets_a_second": round(statistics.median(found)),
            "slowest_and_fastest_turn": [round(min(found)), round(max(found))],
        }
        for arrangement, found in speeds.items()
    }


def main() -> None:
    """Measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=3, device=False, datasets=list(STEPS), one_step=False)
    steps = {name: 1 if given.one_step else STEPS[name] for name in given.datasets}
    found = {
        name: {"steps_a_turn": steps[name], "arrangements": measure(name, given.repeats, steps[name])}
        for name in given.datasets
    }
    finish(given, {"datasets": found, "repeats": given.repeats, "machine": machine("torch")})


if __name__ == "__main__":
    main()

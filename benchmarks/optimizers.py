"""What sharpness-aware optimizers cost: a step of each against a step of Adam, of the same SASRec on Beauty.

    SEQREPRO_MIRROR=... python benchmarks/optimizers.py [--repeats 3] [--out benchmarks/results/optimizers.json]

Our trainer, 256 users a step, D = 64, dropout 0.5, one thread, with two objectives. The optimizers take turns of ten
steps, one period of LookSAM, in one process; times are processor times, and the ratio is of those of the same round,
whose batches are the same. Passes are counted by the trainer. Peak memory is what a fresh process needed beyond the
imports and the data.
"""

import multiprocessing
import statistics
from functools import partial
from typing import Any

import torch
from common import arguments, finish, take_turns
from machine import machine, peak_mb
from ours import ADAM, SETTINGS, OurSteps, configuration, read_split

from seqrepro.data.splits import Split

DATASET = "beauty"
SHARP = ("sam", "asam", "gsam", "looksam", "random_sam")
OPTIMIZERS = {"adam": ADAM, **{name: {"name": name, "base": ADAM} for name in SHARP}}
OBJECTIVES = {
    "cross-entropy over all items": {"name": "cross_entropy"},
    "binary cross-entropy, one negative": {"name": "bce"},
}
STEPS = 10


def part_of(name: str, objective: str, split: Split) -> OurSteps:
    """A trainer with the optimizer of that name."""
    changes = {"optimizer": OPTIMIZERS[name], "objective": OBJECTIVES[objective]}
    return OurSteps(configuration(SETTINGS[DATASET], **changes), split)


def memory(name: str, objective: str, split: Split) -> int:
    """Megabytes of three steps beyond what was there before; runs in a process of its own."""
    torch.set_num_threads(1)
    before = peak_mb()
    part_of(name, objective, split).run(3)
    return peak_mb() - before


def measure(objective: str, split: Split, repeats: int, steps: int) -> dict[str, dict[str, Any]]:
    """Each optimizer with one objective."""
    parts = {name: part_of(name, objective, split) for name in OPTIMIZERS}
    turns = take_turns({name: partial(part.run, steps) for name, part in parts.items()}, repeats + 1)
    times = {name: [turn.processor / steps for turn in found[1:]] for name, found in turns.items()}  # one to warm up
    result = {}
    for name, part in parts.items():
        ratios = [mine / adam for mine, adam in zip(times[name], times["adam"], strict=True)]
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            megabytes = pool.apply(memory, (name, objective, split))
        result[name] = {
            "processor_milliseconds_a_step": round(1e3 * statistics.median(times[name]), 1),
            "times_adam": round(statistics.median(ratios), 2),
            "least_and_most_times_adam": [round(min(ratios), 2), round(max(ratios), 2)],
            "passes_a_step": part.trainer.progress.passes / part.trainer.progress.step,
            "peak_mb": megabytes,
        }
    return result


def main() -> None:
    """Measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=3, device=False, steps=STEPS)
    torch.set_num_threads(1)
    split = read_split(DATASET)
    found = {objective: measure(objective, split, given.repeats, given.steps) for objective in OBJECTIVES}
    result = {"dataset": DATASET, "by_objective": found, "steps_a_turn": given.steps, "repeats": given.repeats}
    finish(given, result | {"threads": 1, "machine": machine("torch")})


if __name__ == "__main__":
    main()

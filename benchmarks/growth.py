"""How time and memory of training and evaluation grow: with interactions, items, length and width.

    python benchmarks/growth.py [--repeats 3] [--device cuda] [--out benchmarks/results/growth.json]

Generated rows; each point in a process of its own, whose peak memory is what it needed beyond the imports (on a GPU,
what its tensors took). One axis changes, the others stay at the base: 20,000 interactions in rows of 10, 4,000 items,
window 50, D = 64, 2 blocks, 2 heads. Rows of the axis `length` fill the window, and the number of interactions stays:
fewer, longer rows. Epoch: all training steps, 256 users each. Evaluation: all users, as at the end of a run. Processor
seconds on the CPU, seconds on a GPU; medians.

Slopes are those of straight lines through the logarithms of the upper three points: 1 is linear.

Shapes: U users, N interactions, V items.
"""

import multiprocessing
import statistics
from functools import partial
from typing import Any

import numpy as np
import torch
from common import arguments, finish, take_turns
from machine import machine, peak_mb
from ours import OurSteps, configuration

from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.data.splits import Split, leave_one_out
from seqrepro.evaluation.ranking import rank_all

BASE = {"interactions": 20_000, "items": 4_000, "length": 10, "width": 64}
AXES = {
    "interactions": (10_000, 20_000, 40_000, 80_000, 160_000),
    "items": (1_000, 2_000, 4_000, 8_000, 16_000, 32_000),
    "length": (25, 50, 100, 200, 400),
    "width": (32, 64, 128, 256),
}
MEASURES = ("epoch_seconds", "evaluation_seconds", "peak_mb")
FITTED = 3  # points of a line


def rows(interactions: int, items: int, length: int) -> Split:
    """U = N / length rows of equal length, items by Zipf's law; three more items each, of which two are held out."""
    draw = np.random.default_rng(1)
    law = 1 / np.arange(1, items + 1)
    users = max(2, interactions // length)
    values = torch.from_numpy(draw.choice(items, size=users * (length + 3), p=law / law.sum()) + 1)
    lengths = torch.full((users,), length + 3)
    return leave_one_out(Sequences(torch.arange(1, users + 1), values, offsets_of(lengths), None, items))


def point(sizes: dict[str, int], repeats: int, device: str) -> dict[str, float]:
    """One point; runs in a process of its own."""
    torch.set_num_threads(1)
    before = peak_mb()
    window = max(50, sizes["length"])
    model = {"max_length": window, "dropout": 0.5, "attention_dropout": 0.5}
    model |= {"width": sizes["width"], "inner_width": 4 * sizes["width"]}
    split = rows(sizes["interactions"], sizes["items"], sizes["length"])
    part = OurSteps(configuration(model, device=device), split)
    part.run(1)
    calls = {"epoch_seconds": partial(part.run, part.steps_an_epoch), "evaluation_seconds": partial(evaluate, part)}
    found: dict[str, float] = {}
    for name, turns in take_turns(calls, repeats, device).items():
        spent = [turn.processor if device == "cpu" else turn.seconds for turn in turns]
        found[name] = round(statistics.median(spent), 4)
    on_gpu = device == "cuda"
    found["peak_mb"] = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else peak_mb() - before
    return sizes | found


def evaluate(part: OurSteps) -> int:
    """Rank all test users."""
    part.model.eval()
    rank_all(part.model, *part.trainer.split.evaluation("test"), likelihood=True)
    return len(part.trainer.split.targets["test"])


def measure(axis: str, repeats: int, device: str, shortest: bool) -> dict[str, Any]:
    """All points of an axis, and the slopes of its measures."""
    found = []
    for size in AXES[axis][: 3 if shortest else None]:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(point, (BASE | {axis: size}, repeats, device)))
        print(f"{axis}: {found[-1]}", flush=True)
    return {"points": found, "slopes": {name: slope(found, axis, name) for name in MEASURES}}


def slope(points: list[dict[str, float]], axis: str, name: str) -> float:
    """Of a straight line through the logarithms of the last points."""
    sizes, values = ([max(place[key], 1e-9) for place in points[-FITTED:]] for key in (axis, name))
    return round(float(np.polyfit(np.log(sizes), np.log(values), 1)[0]), 2)


def main() -> None:
    """Measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=3, axes=list(AXES), shortest=False)
    found = {axis: measure(axis, given.repeats, given.device, given.shortest) for axis in given.axes}
    result = {"axes": found, "base": BASE, "fitted_points": FITTED, "repeats": given.repeats, "threads": 1}
    finish(given, result | {"machine": machine("torch", device=given.device)})


if __name__ == "__main__":
    main()

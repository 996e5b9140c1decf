"""Training throughput side by side with RecBole: targets a second of one and the same SASRec on Beauty.

    SEQREPRO_MIRROR=... python benchmarks/training.py [--repeats 5] [--out benchmarks/results/training.json]

Needs an environment of its own that has RecBole (see README.md here). Both train the same network (D = 64, 2 blocks,
2 heads, inner width 256, L = 50, both dropouts 0.5) from the same weights with Adam and the cross-entropy over the full
catalogue, in float32, on one thread, in one process, taking turns. First their scores, losses and gradients are shown
to be equal at dropout 0 in float64 by the functions of the oracle test, or the benchmark stops.

- `recbole`: its trainer, its loader and its defaults, 2,048 prefixes a step.
- `ours`: 256 users a step, all positions at once.
- `ours, prefixes`: as RecBole trains, 2,048 prefixes a step; what is left without all positions.

A part's turn is so many steps; a step counts the targets that it learns from. On one thread, the processor time of a
turn shows what other work on the machine took from it.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), *(str(ROOT / name) for name in ("src", "tests/oracles"))]
sys.argv, ARGUMENTS = sys.argv[:1], sys.argv[1:]  # RecBole reads the command line too

import test_recbole_sasrec as oracle  # noqa: E402
from machine import machine  # noqa: E402
from prepare import beauty, write_raw  # noqa: E402

from seqrepro.files import write_json  # noqa: E402
from seqrepro.models.interfaces import SequentialModel, build_sequential  # noqa: E402
from seqrepro.training.objectives import cross_entropy  # noqa: E402
from seqrepro.training.optimizers import adam  # noqa: E402
from seqrepro.training.randomness import Randomness  # noqa: E402
from seqrepro.training.softmax import mean_cross_entropy  # noqa: E402
from seqrepro.training.views import make_view  # noqa: E402

WINDOW, DROPOUT, SEED = 50, 0.5, 0
BATCH = {"ours": 256, "ours, prefixes": 2048, "recbole": 2048}
STEPS = {"ours": 44, "ours, prefixes": 12, "recbole": 3}  # of a turn
ADAM = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
FILTER = dict.fromkeys(("user_inter_num_interval", "item_inter_num_interval"), "[5,inf)")


class Turn(NamedTuple):
    """What a part did when it had its turn."""

    targets: int
    seconds: float
    processor: float  # seconds


class OurSteps:
    """The step of the project's trainer, without its epochs."""

    def __init__(self, model: SequentialModel, view: str, train, batch_size: int) -> None:
        self.model, self.view, self.batch_size = model, make_view(view, train), batch_size
        self.objective, self.randomness = cross_entropy.build({}), Randomness(SEED)
        self.optimizer = adam.build(ADAM, model.parameters())
        self.permutations = self._permutations()
        self.per_row = (self.view.lengths - 1).clamp(max=WINDOW) if view == "all_positions" else None

    def _permutations(self) -> Iterator[torch.Tensor]:
        while True:
            yield from torch.randperm(len(self.view), generator=self.randomness.shuffle).split(self.batch_size)

    def run(self, steps: int) -> int:
        """Take so many steps; the number of targets."""
        torch.set_deterministic_debug_mode("error")  # as a training does
        self.model.train()
        targets = 0
        for examples in islice(self.permutations, steps):
            batch = self.view.batch(examples)
            self.optimizer.zero_grad()
            self.objective.loss(self.model, batch, self.randomness).backward()
            self.optimizer.step()
            targets += len(examples) if self.per_row is None else int(self.per_row[examples].sum())
        torch.set_deterministic_debug_mode("default")
        return targets


class TheirSteps:
    """RecBole's trainer on the next batches of its loader."""

    def __init__(self, config, model, train) -> None:
        from recbole.data.dataloader import TrainDataLoader
        from recbole.trainer import Trainer

        self.trainer = Trainer(config, model)
        loader = TrainDataLoader(config, train, None, shuffle=True)
        self.batches = (batch for _ in iter(int, 1) for batch in loader)

    def run(self, steps: int) -> int:
        """Take so many steps; the number of targets."""
        batches = _Counted(islice(self.batches, steps))
        self.trainer._train_epoch(batches, 0, show_progress=False)
        return batches.targets


class _Counted:
    """Batches, and how many rows they had."""

    def __init__(self, batches) -> None:
        self.batches, self.targets = batches, 0

    def __iter__(self):
        for batch in self.batches:
            self.targets += len(batch)
            yield batch


def show_equal(pair, folder: Path) -> None:
    """Equal scores, losses and gradients at dropout 0, on the oracle's data and on rows of Beauty."""
    small = oracle.small_pair(folder, 6)
    oracle.assert_same_network(small, without_padding=True)
    oracle.assert_same_network(small, without_padding=False)
    rows = pair.parts[0].inter_feat[:: len(pair.parts[0].inter_feat) // 300]
    histories = oracle.histories_of(rows, pair.split.train.n_items)
    theirs = pair.theirs.full_sort_predict(rows)
    oracle.assert_same({"scores": pair.ours.score(histories)}, {"scores": theirs})
    loss = mean_cross_entropy(pair.ours.last_hidden(histories), pair.ours.item_table(), rows["item_id"])
    their_loss = oracle.their_loss_of_items(pair, rows)
    torch.testing.assert_close(loss, their_loss, rtol=1e-10, atol=0)
    expected = oracle.to_our_names(oracle.gradients(pair.theirs, their_loss))
    oracle.assert_same(oracle.gradients(pair.ours, loss), expected)


def make_parts(folder: Path) -> dict[str, Any]:
    """The three ways to train, from the same initial weights."""
    from recbole.data import create_dataset
    from recbole.model.sequential_recommender import SASRec

    config = oracle.recbole_config(folder, "beauty", WINDOW, 0.0, **FILTER)
    pair = oracle.make_pair(config, create_dataset(config), WINDOW, 0.0)
    show_equal(pair, folder)
    config = oracle.recbole_config(folder, "beauty", WINDOW, DROPOUT, **FILTER)
    theirs = SASRec(config, pair.parts[0])
    parts: dict[str, Any] = {}
    for name, view in (("ours", "all_positions"), ("ours, prefixes", "prefixes")):
        told = {"family": "sasrec", **oracle.SIZES, "max_length": WINDOW}
        told |= {"dropout": DROPOUT, "attention_dropout": DROPOUT}
        model = build_sequential(told, pair.split.train.n_items, torch.Generator())
        model.load_state_dict(oracle.to_our_names(theirs.state_dict()))
        parts[name] = OurSteps(model, view, pair.split.train, BATCH[name])
    return parts | {"recbole": TheirSteps(config, theirs, pair.parts[0])}


def measure(parts: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Targets a second of each part: the median of its turns, after one step that does not count."""
    turns: dict[str, list[Turn]] = {name: [] for name in parts}
    for part in parts.values():
        part.run(1)
    for _ in range(repeats):
        for name, part in parts.items():
            started, processor = time.perf_counter(), time.process_time()
            targets = part.run(STEPS[name])
            turn = Turn(targets, time.perf_counter() - started, time.process_time() - processor)
            turns[name].append(turn)
            print(f"{name}: {targets} targets in {turn.seconds:.1f} s, {turn.processor:.1f} s of processor", flush=True)
    return {name: summary(name, found) for name, found in turns.items()}


def summary(name: str, turns: list[Turn]) -> dict[str, Any]:
    """Medians over the turns of a part."""
    speeds = [turn.targets / turn.seconds for turn in turns]
    return {
        "targets_a_second": round(statistics.median(speeds)),
        "slowest_and_fastest_turn": [round(min(speeds)), round(max(speeds))],
        "targets_a_processor_second": round(statistics.median(turn.targets / turn.processor for turn in turns)),
        "examples_a_step": BATCH[name],
        "steps_a_turn": STEPS[name],
        "seconds_in_all": round(sum(turn.seconds for turn in turns), 1),
    }


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    base = found["recbole"]
    lines = [
        "| | examples a step | targets/s | slowest and fastest turn | times RecBole | by processor time |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, part in found.items():
        low, high = part["slowest_and_fastest_turn"]
        wall, processor = (part[key] / base[key] for key in ("targets_a_second", "targets_a_processor_second"))
        speed = f"{part['targets_a_second']:,} | {low:,} to {high:,}"
        lines.append(f"| {name} | {part['examples_a_step']:,} | {speed} | {wall:.1f} | {processor:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Show equality, measure, print, and write the result if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(ARGUMENTS)
    out = given.out.resolve() if given.out else None
    mirror = Path(os.environ["SEQREPRO_MIRROR"]).resolve()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # RecBole leaves logs behind
        write_raw(Path(folder), "beauty", beauty(mirror))
        parts = make_parts(Path(folder))
        print("equal scores, losses and gradients at dropout 0", flush=True)
        found = measure(parts, given.repeats)
        os.chdir(ROOT)
    print(table(found))
    result = {"dataset": "beauty", "repeats": given.repeats, "threads": 1, "parts": found}
    result |= {"machine": machine("recbole", "torch") | {"capability": torch.backends.cpu.get_cpu_capability()}}
    print(json.dumps(result, indent=2))
    if out:
        write_json(out, result)


if __name__ == "__main__":
    main()

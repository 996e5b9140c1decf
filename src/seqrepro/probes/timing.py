"""Timing: a step of training and inference of a whole run, beside another model's, and what attention can give at most.

Steps are timed as the probe cost times them (`cost.py`), inference in the same way: a block ranks all test users. Of
two networks that differ in nothing but attention, with p the part of the other's operations that is attention, one
whose attention took nothing would be

    1 / (1 - p)                                                                                     (Amdahl 1967)

times as fast. Operations are those of the forward pass (`operations.py`); the way back has about twice as many of every
part. The bound is one of operations: what is bound by memory may gain more.

`measurements.parquet` (measure, at, value), `against_...` for the other model:
- seconds_per_step and the other measures of a step, `ratio`, `ratio_low`, `ratio_high`, as the probe cost has them.
- inference_seconds (median over blocks; all test users); inference_ratio, inference_ratio_low, inference_ratio_high.
- training_seconds: to the best validation epoch, without evaluation: seconds_per_step times the steps to it. Null for
  a training with two stages, whose first is not measured.
- attention_share: of the seconds of a step what passes within attention and its maps, forward and backward, on steps of
  their own.
- operations_per_step, inference_operations; core_share, inference_core_share: the part of attention without maps.
- bound_of_step, gain_of_step (one over ratio; with _low and _high), bound_of_inference, gain_of_inference.

`machine.json` says the device.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seqrepro.evaluation.ranking import rank_all, user_blocks
from seqrepro.files import read_json, write_json
from seqrepro.probes import cost
from seqrepro.probes.cost import PREFIXES, RATIOS
from seqrepro.probes.measurements import write_measurements
from seqrepro.probes.operations import counted
from seqrepro.probes.turns import Side, interval, take_turns, wait
from seqrepro.request import Request
from seqrepro.training import machine
from seqrepro.training.loop import Trainer

FULL_SOFTMAX = ("cross_entropy",)  # objectives that score every item for every target
Values = dict[str, float | None]


@dataclass
class Clock:
    """Seconds that passed inside of something."""

    device: torch.device
    seconds: float = 0.0
    entered: float = 0.0

    def enter(self, *_: Any) -> None:
        """Begin."""
        wait(self.device)
        self.entered = time.perf_counter()

    def leave(self, *_: Any) -> None:
        """End, and add up."""
        wait(self.device)
        self.seconds += time.perf_counter() - self.entered


def run(request: Request) -> list[Path]:
    """Measure the training steps and the inference of a run and of another one.

    Parameters of the request: seed, config (of the run), rounds, steps, warm_up and, if there is another model,
    `against`: the config and the weights of its run. Inputs: sequences.parquet, statistics.json, model.safetensors,
    metrics.json, and both of the other run.

    Raises:
        InputError: the two trainings have another device or another number of threads.
        CheckFailed: a loss is not a number.
    """
    wanted, trainers = request.parameters, cost.both_trainers(request)
    weights = [request.inputs[2], *([wanted["against"]["weights"]] if "against" in wanted else [])]
    steps = list(cost.paces(trainers, cost.time_steps(trainers, wanted)))
    found: Values = {name: value for name, at, value in steps if at is None}
    for prefix, trainer, path in zip(PREFIXES, trainers, weights, strict=False):
        facts = read_json(Path(path).with_name("metrics.json"))
        found[f"{prefix}training_seconds"] = _training_seconds(facts, trainer, found[f"{prefix}seconds_per_step"])
        found[f"{prefix}attention_share"] = attention_share(trainer, wanted["steps"])
    found |= _inference(trainers, wanted["rounds"])
    for prefix, trainer in zip(PREFIXES, trainers, strict=False):
        found |= {f"{prefix}{name}": value for name, value in _operations(trainer).items()}
    found |= _gains(found) if len(trainers) == 2 else {}
    blocks = [row for row in steps if row[1] is not None]
    told = request.output / "machine.json"
    write_json(told, machine.used(trainers[0].recipe, trainers[0].device) | {"torch": torch.__version__})
    return [write_measurements(request, [*((name, None, value) for name, value in found.items()), *blocks]), told]


def attention_share(trainer: Trainer, steps: int) -> float:
    """The part of the seconds of some steps that passes within attention and its maps."""
    mixers = [block.mixer for block in getattr(trainer.model, "blocks", [])]
    inside, whole = Clock(trainer.device), Clock(trainer.device)
    with _clocked(mixers, inside):
        whole.enter()
        trainer.take_steps(steps)
        whole.leave()
    return inside.seconds / whole.seconds


@contextmanager
def _clocked(modules: list[nn.Module], clock: Clock) -> Iterator[None]:
    hooks = []
    for module in modules:
        hooks += [module.register_forward_pre_hook(clock.enter), module.register_forward_hook(clock.leave)]
        hooks += [module.register_full_backward_pre_hook(clock.enter), module.register_full_backward_hook(clock.leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _training_seconds(facts: dict[str, Any], trainer: Trainer, pace: float | None) -> float | None:
    if pace is None or "pretraining_losses" in facts:
        return None
    return pace * cost.steps_per_epoch(trainer) * int(facts["best_epoch"])


def _inference(trainers: list[Trainer], rounds: int) -> Values:
    """Seconds of ranking all test users, and the ratio of the two sides."""
    sides = [Side(_ranking(trainer), 1, trainer.device) for trainer in trainers]
    for side in sides:
        side.work(1)
    take_turns(sides, rounds)
    medians = [statistics.median(side.each) for side in sides]
    found: Values = {f"{prefix}inference_seconds": value for prefix, value in zip(PREFIXES, medians, strict=False)}
    if len(sides) == 2:
        ratios = interval(sides[0].each, sides[1].each)
        found |= {f"inference_{name}": value for name, value in zip(RATIOS, ratios, strict=True)}
    return found


def _ranking(trainer: Trainer) -> Callable[[int], object]:
    trainer.model.eval()
    histories, targets, negatives = trainer.split.evaluation("test")
    return lambda times: [rank_all(trainer.model, histories, targets, negatives, likelihood=True) for _ in range(times)]


@torch.no_grad()
def _operations(trainer: Trainer) -> Values:
    """Operations of the forward pass of a batch with its scores, of all test users, and the part of attention."""
    trainer.model.eval()
    batch = trainer.view.batch(torch.arange(min(len(trainer.view), trainer.batch_size)))
    with counted(trainer.model) as of_step:
        hidden, _ = batch.representations(trainer.model)
    step = of_step.core + of_step.rest + 2 * hidden.numel() * _scored(trainer)
    histories = trainer.split.histories["test"]
    with counted(trainer.model) as of_inference:
        for users in user_blocks(histories):
            trainer.model.score(histories.select(users))
    inference = of_inference.core + of_inference.rest
    return {
        "operations_per_step": step,
        "core_share": of_step.core / step,
        "inference_operations": inference,
        "inference_core_share": of_inference.core / inference,
    }


def _scored(trainer: Trainer) -> int:
    """Items that a target is compared with in training."""
    objective = trainer.recipe["objective"]
    if objective["name"] in FULL_SOFTMAX:
        return trainer.split.train.n_items
    return 1 + int(objective.get("negatives", 1))


def _gains(found: Values) -> Values:
    """How many times as fast as the other, and how many times it could be."""
    gains: Values = {}
    for level, prefix in {"step": "", "inference": "inference_"}.items():
        ratio, low, high = (found[f"{prefix}{name}"] or 1.0 for name in RATIOS)
        gains[f"bound_of_{level}"] = 1 / (1 - (found[f"against_{prefix}core_share"] or 0.0))
        gains |= {f"gain_of_{level}": 1 / ratio, f"gain_of_{level}_low": 1 / high, f"gain_of_{level}_high": 1 / low}
    return gains

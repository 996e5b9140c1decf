"""Cost: what a step of training takes, beside a step of another model's training, in turns in one process.

Both trainings go on from the weights of their runs, on the same data, with the same seed: shuffled alike, a pair of
blocks has the same batches if both have the same view and batch size. A round is four blocks of steps, own - other -
other - own, so that a machine that slows down hits both. Of a training with two stages the second is measured. Nothing
of the runs is written: no checkpoint, no weights.

`measurements.parquet` (measure, at, value):
- seconds_per_step (wall clock, median over blocks), `seconds_per_step over block` (each), passes_per_step (forward and
  backward through the network, counted), steps_per_epoch, targets_per_second (of steps, an epoch on average).
- weight_bytes, gradient_bytes, optimizer_bytes, vector_bytes and memory_bytes, their sum: see `_memory`.
- against_...: the same of the other training.
- ratio: the geometric mean of t / t' over the pairs of blocks; ratio_low, ratio_high: its 95 % interval, of Student's t
  on the logarithms; memory_ratio. Only where there is another training.

Memory is that of tensors, counted exactly. Activations are left out: they depend on the batch, and the two passes of a
sharpness-aware step do not hold theirs together. The peak of the process is not told, for it would be that of both.
"""

import gc
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from scipy import stats
from torch import Tensor, nn

from seqrepro.data.splits import Split
from seqrepro.errors import InputError
from seqrepro.models.interfaces import SequentialModel
from seqrepro.probes.measurements import Measurement, write_measurements
from seqrepro.request import Request
from seqrepro.training import machine
from seqrepro.training.checkpoint import CheckpointStore, Identity
from seqrepro.training.loop import Objective, Trainer
from seqrepro.training.randomness import Randomness
from seqrepro.training.rows import read_seen
from seqrepro.training.views import Batch

Parameters = dict[str, Any]
TENSORS = {Tensor, nn.Parameter}  # by type: asking each object what it is would wake lazy ones
CONFIDENCE = 0.95
RATIOS = ("ratio", "ratio_low", "ratio_high")
ALIKE = ("device", "threads")  # of recipes: what a process has one of


@dataclass
class Watched:
    """An objective that notes how many bytes all tensors of the process take when a pass begins."""

    objective: Objective
    seen: list[int] = field(default_factory=list)

    def loss(self, model: SequentialModel, batch: Batch, randomness: Randomness) -> Tensor:
        """The loss of the objective."""
        self.seen.append(live_bytes())
        return self.objective.loss(model, batch, randomness)


@dataclass
class Side:
    """One of two trainings, and the seconds of its blocks."""

    trainer: Trainer
    seconds: list[float] = field(default_factory=list)

    def block(self, steps: int) -> None:
        """Take so many steps by the clock."""
        _wait(self.trainer.device)
        started = time.perf_counter()
        self.trainer.take_steps(steps)
        _wait(self.trainer.device)
        self.seconds.append(time.perf_counter() - started)


def run(request: Request) -> list[Path]:
    """Measure a step of a run's training and, if there is another run, one of its training.

    Parameters of the request: seed, config (of the run), rounds, steps, warm_up and, if there is another model,
    `against`: the config and the weights of its run. Inputs: sequences.parquet, statistics.json, model.safetensors, and
    those weights.

    Raises:
        InputError: the two trainings have another device or another number of threads.
        CheckFailed: a loss is not a number.
    """
    wanted, split = request.parameters, read_seen(request)
    both = [{"config": wanted["config"], "weights": request.inputs[2]}]
    both += [wanted["against"]] if "against" in wanted else []
    _check_alike([one["config"]["training"] for one in both])
    sides = [Side(make_trainer(one["config"], Path(one["weights"]), split, wanted["seed"])) for one in both]
    take_turns(sides, wanted["rounds"], wanted["steps"], wanted["warm_up"])
    return [write_measurements(request, _measured(sides, wanted["steps"]))]


def make_trainer(config: Parameters, weights: Path, split: Split, seed: int) -> Trainer:
    """A trainer that goes on from weights, in the last stage of its recipe; it keeps no checkpoints."""
    recipe = {key: value for key, value in config["training"].items() if key != "pretraining"}
    device = machine.prepare(recipe)
    nowhere = CheckpointStore(weights.parent / "checkpoints", Identity("", "", ""))
    trainer = Trainer(config | {"training": recipe}, split, seed, device, nowhere)
    trainer.model.load_state_dict(load_file(weights))
    return trainer


def take_turns(sides: list[Side], rounds: int, steps: int, warm_up: int) -> None:
    """Let one or two sides take blocks of steps, there and back, so many rounds after a warm-up."""
    for side in sides:
        side.trainer.take_steps(warm_up)
    for _ in range(rounds):
        for side in [*sides, *reversed(sides)]:
            side.block(steps)


def interval(own: list[float], other: list[float]) -> tuple[float, float, float]:
    """The geometric mean of the ratios of pairs of positive numbers, and its 95 % interval.

    The interval is that of Student's t on the logarithms, for at least two pairs.
    """
    logs = [math.log(mine / theirs) for mine, theirs in zip(own, other, strict=True)]
    mean, error = statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1)) * error
    return math.exp(mean), math.exp(mean - reach), math.exp(mean + reach)


def live_bytes() -> int:
    """Bytes of the storages of all tensors that Python holds, each once; what autograd alone holds is not seen."""
    tensors = [one for one in gc.get_objects() if type(one) in TENSORS]
    storages = {(one.device, one.untyped_storage().data_ptr()): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values())


def _check_alike(recipes: list[Parameters]) -> None:
    for key in ALIKE:
        found = [recipe.get(key) for recipe in recipes]
        if found[0] != found[-1]:
            raise InputError(f"cost: training.{key} is {found[0]} and {found[-1]}; expected the same of both models")


def _measured(sides: list[Side], steps: int) -> Iterator[Measurement]:
    memory = {}
    for side, prefix in zip(sides, ("", "against_"), strict=False):
        memory[prefix] = _memory(side.trainer, steps)
        for name, value in (_pace(side, steps) | memory[prefix]).items():
            yield f"{prefix}{name}", None, value
        for number, seconds in enumerate(side.seconds, 1):
            yield f"{prefix}seconds_per_step over block", number, seconds / steps
    if len(sides) == 2:
        ratios = dict(zip(RATIOS, interval(*(side.seconds for side in sides)), strict=True))
        yield from ((name, None, value) for name, value in ratios.items())
        yield "memory_ratio", None, memory[""]["memory_bytes"] / memory["against_"]["memory_bytes"]
    else:
        yield "ratio", None, 1.0  # beside itself


def _pace(side: Side, steps: int) -> dict[str, float]:
    """Seconds, passes and targets of a step, on average."""
    trainer = side.trainer
    seconds = statistics.median(side.seconds) / steps
    an_epoch = -(-len(trainer.view) // trainer.batch_size)
    targets = trainer.view.n_targets(trainer.model.max_length) / an_epoch
    return {
        "seconds_per_step": seconds,
        "passes_per_step": trainer.progress.passes / trainer.progress.step,
        "steps_per_epoch": an_epoch,
        "targets_per_second": targets / seconds,
    }


def _memory(trainer: Trainer, steps: int) -> dict[str, int]:
    """Bytes of what a step holds beside the activations; the trainer takes some steps and loses its optimizer.

    Weights and their gradients; what the optimizer has between steps (its state, and whatever else goes with it); and
    the vectors that it holds during a pass, such as a copy of the weights and the gradient of the first pass: the most
    by which tensors grow from the first pass of a step to a later one, whose batch is the same.
    """
    watched = trainer.objective = Watched(trainer.objective)
    vectors = 0
    for _ in range(steps):
        watched.seen.clear()
        trainer.take_steps(1)
        vectors = max(vectors, max(watched.seen) - watched.seen[0])
    weights = sum(weight.nbytes for weight in trainer.model.parameters())
    gradients = sum(weight.grad.nbytes for weight in trainer.model.parameters() if weight.grad is not None)
    gc.collect()
    before = live_bytes()
    del trainer.optimizer
    gc.collect()
    found = {"weight": weights, "gradient": gradients, "optimizer": before - live_bytes(), "vector": vectors}
    return {f"{name}_bytes": value for name, value in (found | {"memory": sum(found.values())}).items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

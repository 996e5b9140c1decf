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
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from seqrepro.data.splits import Split
from seqrepro.errors import InputError
from seqrepro.models.interfaces import SequentialModel
from seqrepro.probes.measurements import Measurement, write_measurements
from seqrepro.probes.turns import Side, interval, take_turns
from seqrepro.request import Request
from seqrepro.training import machine
from seqrepro.training.checkpoint import CheckpointStore, Identity
from seqrepro.training.loop import Objective, Trainer
from seqrepro.training.randomness import Randomness
from seqrepro.training.rows import read_seen
from seqrepro.training.views import Batch

Parameters = dict[str, Any]
TENSORS = {Tensor, nn.Parameter}  # by type: asking each object what it is would wake lazy ones
RATIOS = ("ratio", "ratio_low", "ratio_high")
PREFIXES = ("", "against_")
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


def run(request: Request) -> list[Path]:
    """Measure a step of a run's training and, if there is another run, one of its training.

    Parameters of the request: seed, config (of the run), rounds, steps, warm_up and, if there is another model,
    `against`: the config and the weights of its run. Inputs: sequences.parquet, statistics.json, model.safetensors, and
    those weights.

    Raises:
        InputError: the two trainings have another device or another number of threads.
        CheckFailed: a loss is not a number.
    """
    wanted, trainers = request.parameters, both_trainers(request)
    sides = time_steps(trainers, wanted)
    return [write_measurements(request, _measured(trainers, sides, wanted["steps"]))]


def both_trainers(request: Request) -> list[Trainer]:
    """The trainer of a run and, if there is another run, that of it; see `make_trainer`."""
    wanted, split = request.parameters, read_seen(request)
    both = [{"config": wanted["config"], "weights": request.inputs[2]}]
    both += [wanted["against"]] if "against" in wanted else []
    check_alike([one["config"]["training"] for one in both])
    return [make_trainer(one["config"], Path(one["weights"]), split, wanted["seed"]) for one in both]


def time_steps(trainers: list[Trainer], wanted: Parameters) -> list[Side]:
    """Let trainers take blocks of steps in turns, after a warm-up; `wanted`: rounds, steps of a block, warm_up."""
    for trainer in trainers:
        trainer.take_steps(wanted["warm_up"])
    sides = [Side(trainer.take_steps, wanted["steps"], trainer.device) for trainer in trainers]
    take_turns(sides, wanted["rounds"])
    return sides


def paces(trainers: list[Trainer], sides: list[Side]) -> Iterator[Measurement]:
    """What a step takes on each side, and the ratio of the times."""
    for trainer, side, prefix in zip(trainers, sides, PREFIXES, strict=False):
        yield from ((f"{prefix}{name}", None, value) for name, value in _pace(trainer, side).items())
        yield from ((f"{prefix}seconds_per_step over block", n, seconds) for n, seconds in enumerate(side.each, 1))
    own, other = sides[0].each, sides[-1].each
    found = interval(own, other) if len(sides) == 2 else (1.0,)  # beside itself
    yield from ((name, None, value) for name, value in zip(RATIOS, found, strict=False))


def make_trainer(config: Parameters, weights: Path, split: Split, seed: int) -> Trainer:
    """A trainer that goes on from weights, in the last stage of its recipe; it keeps no checkpoints."""
    recipe = {key: value for key, value in config["training"].items() if key != "pretraining"}
    device = machine.prepare(recipe)
    nowhere = CheckpointStore(weights.parent / "checkpoints", Identity("", "", ""))
    trainer = Trainer(config | {"training": recipe}, split, seed, device, nowhere)
    trainer.model.load_state_dict(load_file(weights))
    return trainer


def steps_per_epoch(trainer: Trainer) -> int:
    """Batches of an epoch."""
    batches: int = ceil(len(trainer.view) / trainer.batch_size)
    return batches


def live_bytes() -> int:
    """Bytes of the storages of all tensors that Python holds, each once; what autograd alone holds is not seen."""
    tensors = [one for one in gc.get_objects() if type(one) in TENSORS]
    storages = {(one.device, one.untyped_storage().data_ptr()): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values())


def check_alike(recipes: list[Parameters]) -> None:
    """Refuse two trainings that one process cannot run.

    Raises:
        InputError: they have another device or another number of threads.
    """
    for key in ALIKE:
        found = [recipe.get(key) for recipe in recipes]
        if found[0] != found[-1]:
            raise InputError(f"probes: training.{key} is {found[0]} and {found[-1]}; expected the same of both models")


def _measured(trainers: list[Trainer], sides: list[Side], steps: int) -> Iterator[Measurement]:
    yield from paces(trainers, sides)
    memory = [_memory(trainer, steps) for trainer in trainers]
    for prefix, sizes in zip(PREFIXES, memory, strict=False):
        yield from ((f"{prefix}{name}", None, value) for name, value in sizes.items())
    if len(memory) == 2:
        yield "memory_ratio", None, memory[0]["memory_bytes"] / memory[1]["memory_bytes"]


def _pace(trainer: Trainer, side: Side) -> dict[str, float]:
    """Seconds, passes and targets of a step, on average."""
    seconds = statistics.median(side.each)
    an_epoch = steps_per_epoch(trainer)
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

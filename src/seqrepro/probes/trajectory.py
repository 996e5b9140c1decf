"""Trajectory: how curved the training loss is along a training, measured where the training came by.

The run is trained again, from its own configuration and seed, and looked at after the first epoch, every few epochs,
the last and the best one. On the CPU a training has the same bits each time, so this is the path of the run, not a
similar one: at the end its best weights must be those of the run, bit for bit. The run's folder and its checkpoints
stay as they are. Nothing is kept on the way: a probe that is killed starts anew.

L is the loss of a fixed sample, as in `seqrepro.probes.sharpness`, at the weights w of an epoch, without dropout.

`measurements.parquet` (measure, at, value), `at` the epoch, from 1:
- loss over epoch: L(w); gradient_norm over epoch, weight_norm over epoch: ||dL / dw|| and ||w||.
- batch_sharpness over epoch: the mean over the batches b of the sample of L_b(w + rho g_b / ||g_b||) - L_b(w), with
  g_b = dL_b / dw: what a step of SAM sees (Foret et al. 2021).
- lambda_max over epoch, residual over epoch: the largest eigenvalue of the Hessian of L after few Lanczos steps, and
  ||H v - lambda v|| / |lambda|.
- best_epoch, rho: one number each, without `at`.
"""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from seqrepro.data.splits import Split
from seqrepro.errors import CheckFailed, InputError
from seqrepro.models.interfaces import SequentialModel
from seqrepro.probes.curvature.ball import largest_rise
from seqrepro.probes.curvature.sample import eigenpairs_of, surface_of
from seqrepro.probes.curvature.surface import Surface
from seqrepro.probes.measurements import Measurement, write_measurements
from seqrepro.request import Request
from seqrepro.training import machine
from seqrepro.training.loop import Trainer
from seqrepro.training.progress import Line, display
from seqrepro.training.rows import read_seen

Parameters = dict[str, Any]
Measures = dict[str, float]


def run(request: Request) -> list[Path]:
    """Train a run again, and measure the loss surface on the way.

    Parameters of the request: seed, config (of the run), users, sample_seed, dtype, loss, every, eigenvalues, rho.
    Inputs: sequences.parquet, statistics.json, model.safetensors and what else the training read.

    Raises:
        InputError: the run was trained on a GPU, or its objective has no second derivative here.
        CheckFailed: this training did not end with the weights of the run.
    """
    wanted, recipe = request.parameters, request.parameters["config"]["training"]
    if recipe.get("device", "cpu") != "cpu":
        raise InputError(
            f"{request.folder}: found device '{recipe['device']}', expected 'cpu': it has the same bits again"
        )
    device, split = machine.prepare(recipe), read_seen(request)
    trainer = Trainer(wanted["config"], split, wanted["seed"], device, store=None)
    measured = follow(trainer, split, wanted)
    check_weights(Path(request.inputs[2]), trainer.model.state_dict())
    single = {"best_epoch": trainer.progress.best_epoch, "rho": wanted["rho"]}
    return [write_measurements(request, _rows(measured, single))]


def follow(trainer: Trainer, split: Split, wanted: Parameters) -> dict[int, Measures]:
    """Train to the end, and return the measures of some epochs, in their order."""
    measured: dict[int, Measures] = {}

    def on_epoch(lines: list[Line]) -> None:
        show(lines[-1])
        epoch = len(lines)
        if epoch == 1 or epoch % wanted["every"] == 0 or trainer.stopped:
            measured[epoch] = measures(trainer.model, split, wanted)

    with display(trainer.budget["epochs"]) as show:
        trainer.fit(on_epoch)
    best = trainer.progress.best_epoch
    if best not in measured:
        measured[best] = measures(trainer.model, split, wanted)
    return dict(sorted(measured.items()))


def measures(model: SequentialModel, split: Split, wanted: Parameters) -> Measures:
    """What is measured at a model's weights; the model, in evaluation mode, stays as it is."""
    surface = surface_of(deepcopy(model), split, wanted)
    sharpest = eigenpairs_of(surface, [-1], wanted)
    return {
        "loss": surface.loss(surface.point),
        "gradient_norm": float(surface.gradient(surface.point).norm()),
        "weight_norm": float(surface.point.norm()),
        "batch_sharpness": fmean(_one_step(batch, wanted["rho"]) for batch in surface.of_batches()),
        "lambda_max": float(sharpest.values[0]),
        "residual": float(sharpest.residuals[0]),
    }


def check_weights(path: Path, found: dict[str, Tensor]) -> None:
    """Compare the weights of this training with those that a run has kept, bit for bit.

    Raises:
        CheckFailed: a tensor differs, or one of the two has not got it.
    """
    kept = load_file(path)
    for name in [*found, *(name for name in kept if name not in found)]:
        if name not in kept or name not in found or _bits(kept[name]) != _bits(found[name]):
            raise CheckFailed(
                f"{path}: weights {name} are not those of the training done again, expected the same bits; "
                "what was measured is not the path of this run"
            )


def _bits(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.numpy().tobytes()


def _one_step(surface: Surface, rho: float) -> float:
    scale = torch.ones_like(surface.point)
    return largest_rise(surface.loss, surface.gradient, surface.point, scale, rho, steps=0).one_step


def _rows(measured: dict[int, Measures], single: Measures) -> Iterator[Measurement]:
    for epoch, values in measured.items():
        for name, value in values.items():
            yield f"{name} over epoch", epoch, value
    for name, value in single.items():
        yield name, None, value

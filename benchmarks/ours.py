"""The project's own parts of the benchmarks: its data, and its trainer step by step."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from common import mirror
from prepare import DATASETS, prepared, write_raw

from seqrepro.config.training import Gradient
from seqrepro.data.sequences import read_sequences
from seqrepro.data.splits import Split, leave_one_out
from seqrepro.training import machine
from seqrepro.training.checkpoint import CheckpointStore, Identity
from seqrepro.training.loop import Trainer

SEED = 0
SIZES = {"width": 64, "layers": 2, "heads": 2, "inner_width": 256}
SETTINGS: dict[str, dict[str, Any]] = {  # of the datasets, as in `sasrec` and `sasrec-long` of params.yaml
    "beauty": {"max_length": 50, "dropout": 0.5, "attention_dropout": 0.5},
    "ml-1m": {"max_length": 200, "dropout": 0.2, "attention_dropout": 0.2},
}
ADAM = {"name": "adam", "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
USERS_A_STEP = 256


def read_split(name: str) -> Split:
    """A dataset of the mirror, 5-core, leave one out."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_raw(folder, name, DATASETS[name](mirror()))
        counts = prepared(folder, name)
        return leave_one_out(read_sequences(folder / f"{name}-prepared/sequences.parquet", counts["n_items"]))


def configuration(
    model: dict[str, Any],
    view: str = "all_positions",
    batch_size: int = USERS_A_STEP,
    device: str = "cpu",
    precision: str = "fp32",
    **changes: Any,
) -> dict[str, Any]:
    """What the trainer reads of a run's configuration; `model` over the sizes of all, `changes` over the recipe."""
    budget = {"epochs": 1, "patience": 1, "batch_size": batch_size}
    recipe = {"kind": "gradient", "objective": {"name": "cross_entropy"}, "optimizer": ADAM, "view": view}
    recipe |= {"budget": budget, "device": device, "precision": precision, "threads": torch.get_num_threads()}
    recipe |= changes
    return {
        "model": {"family": "sasrec", **SIZES, **model},
        "training": Gradient.model_validate(recipe).canonical(),
    }


class OurSteps:
    """The trainer of the project, a number of steps at a time, without validation and checkpoints."""

    def __init__(self, config: dict[str, Any], split: Split, weights: dict[str, torch.Tensor] | None = None) -> None:
        device = machine.prepare(config["training"])
        torch.set_deterministic_debug_mode("default")  # for what else takes turns in this process
        self.trainer = Trainer(config, split, SEED, device, CheckpointStore(Path("checkpoints"), Identity("", "", "")))
        if weights is not None:
            self.trainer.model.load_state_dict(weights)
        view, budget = self.trainer.view, config["training"]["budget"]
        self.examples_a_step = budget["batch_size"]
        self.steps_an_epoch = -(-len(view) // self.examples_a_step)
        self.targets = (view.lengths - 1).clamp(max=1 if view.last_only else self.model.max_length).cpu()

    @property
    def model(self) -> Any:
        """The network."""
        return self.trainer.model

    def run(self, steps: int) -> int:
        """Take so many steps; the number of targets."""
        torch.set_deterministic_debug_mode("error")  # as a training does
        with torch.autograd.set_detect_anomaly(False):  # RecBole's models switch it on for the whole process
            targets = sum(self._step() for _ in range(steps))
        torch.set_deterministic_debug_mode("default")
        return targets

    def _step(self) -> int:
        """Take a step; its number of targets."""
        self.trainer.take_steps(1)
        end = self.trainer.progress.position
        begin = (end - 1) // self.examples_a_step * self.examples_a_step
        return int(self.targets[self.trainer.permutation[begin:end]].sum())

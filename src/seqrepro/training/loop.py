"""Training by gradient descent: shuffled epochs, validation after each, early stopping, resumable at any batch.

Shapes: B examples of a batch, E all examples; an example is a row, or a part of one (see views).
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from seqrepro.data.splits import SPLITS, Split
from seqrepro.errors import CheckFailed, InputError
from seqrepro.evaluation.metrics import mean
from seqrepro.evaluation.ranking import Ranks, rank_all
from seqrepro.models.interfaces import SequentialModel, build_sequential
from seqrepro.training.checkpoint import CheckpointStore
from seqrepro.training.masking import Masking
from seqrepro.training.outcome import PARTS, Outcome, Work, epoch_line, rank_split, watched
from seqrepro.training.precision import add_gradients
from seqrepro.training.progress import Line
from seqrepro.training.randomness import Randomness
from seqrepro.training.stopping import RULES
from seqrepro.training.views import Batch, View, make_cloze_view, make_view

CHECKPOINT_SECONDS = 60.0
OnEpoch = Callable[[list[Line]], None]
Measures = dict[str, float]


class Objective(Protocol):
    """What a model is trained to make small."""

    def loss(self, model: SequentialModel, batch: Batch, randomness: Randomness) -> Tensor:
        """A scalar from the examples of a batch."""


class Optimizer(Protocol):
    """What moves the weights; torch's own optimizers are such."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self, closure: Callable[[], Measures]) -> Measures:
        """Move the weights, by gradients that the closure sets anew for the same batch whenever it is called.

        The closure says the `loss`; so does the step, as it was at its start, with whatever else it measured.
        """

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go on from what `state_dict` gave."""


@dataclass
class Progress:
    """Where a training stands: numbers only, so that a checkpoint can hold it."""

    step: int = 0  # optimizer steps taken
    passes: int = 0  # forward and backward through the network, in these steps
    position: int = 0  # examples of the current epoch's permutation already used
    losses: list[float] = field(default_factory=list)  # of the current epoch's batches
    measures: dict[str, list[float]] = field(default_factory=dict)  # what else the optimizer measured on them
    seconds: float = 0.0  # spent in the current epoch
    log: list[Line] = field(default_factory=list)  # one line a finished epoch
    pretraining: list[float] = field(default_factory=list)  # mean loss of each finished epoch of it
    best_value: float = -math.inf  # as the stopping rule reads it
    best_epoch: int = 0


class Trainer:
    """Trains one model; `fit` goes on from the newest checkpoint, if there is one. Without a store it keeps none."""

    def __init__(
        self, config: dict[str, Any], split: Split, seed: int, device: torch.device, store: CheckpointStore | None
    ) -> None:
        recipe = config["training"]
        self.budget, self.precision, self.device = recipe["budget"], recipe["precision"], device
        self.rule = RULES[self.budget.get("stopping", "general")]
        self.randomness = Randomness(seed)
        self.split = _on_device(split, device)
        self.model = build_sequential(config["model"], split.train.n_items, self.randomness.init).to(device)
        self.recipe, self.store = recipe, store
        self.pretraining = self._pretraining() if "pretraining" in recipe else None
        self._enter_stage()
        self.progress = Progress()
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.best_weights = self._weights()
        self._check_examples()

    def fit(self, on_epoch: OnEpoch) -> None:
        """Train until the patience or the budget is spent; the model then has its best weights.

        When `on_epoch` is called, the model has the weights of that epoch, in evaluation mode; who looks at it leaves
        weights and generators as they are.
        """
        saved = self.store.load() if self.store else None
        if saved is not None:
            self._load_state(saved)
        while self.pretraining:
            self._pretraining_epoch()
            self._save()
        while not self.stopped:
            self._epoch()
            on_epoch(self.progress.log)
            self._save()
        self.model.load_state_dict(self.best_weights)
        self.model.eval()

    def take_steps(self, count: int) -> None:
        """Take so many steps, epoch after epoch, without validation and checkpoints: for those who measure a step."""
        self.model.train()
        for _ in range(count):
            if self.progress.position == len(self.permutation):
                self._leave_epoch()
            self._enter_epoch()
            self._step()

    @property
    def stopped(self) -> str:
        """Why the training is over: 'patience', 'budget', or '' when it is not."""
        epoch = len(self.progress.log)
        if self.rule.is_over(epoch - self.progress.best_epoch, self.budget["patience"]):
            return "patience"
        return "budget" if epoch >= self.budget["epochs"] else ""

    @property
    def work(self) -> Work:
        """What the finished epochs did, and the seconds that it took."""
        progress = self.progress
        targets = len(progress.log) * self.view.n_targets(self.model.max_length)
        return Work(targets, progress.step, progress.passes, self.seconds)

    def _epoch(self) -> None:
        started = time.monotonic() - self.progress.seconds
        self._pass(started)
        self._finish_epoch(self._validate(), started)

    def _pretraining_epoch(self) -> None:
        progress = self.progress
        self._pass(time.monotonic() - progress.seconds)
        progress.pretraining.append(math.fsum(progress.losses) / len(progress.losses))
        self._leave_epoch()
        if len(progress.pretraining) == self.recipe["pretraining"]["epochs"]:
            self.seconds |= {"pretraining": self.seconds["batch"] + self.seconds["step"]}
            self.seconds |= dict.fromkeys(("batch", "step", "forward_backward"), 0.0)
            self.pretraining = None
            self._enter_stage()

    def _pass(self, started: float) -> None:
        """The rest of an epoch's steps."""
        progress = self.progress
        self._enter_epoch()
        saved = time.monotonic()
        self.model.train()
        while progress.position < len(self.permutation):
            self._step()
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                progress.seconds = time.monotonic() - started
                self._save()
                saved = time.monotonic()

    def _enter_epoch(self) -> None:
        """Shuffle, unless the epoch has begun."""
        if self.progress.position == 0:
            self.permutation = torch.randperm(len(self.view), generator=self.randomness.shuffle)

    def _leave_epoch(self) -> None:
        progress = self.progress
        progress.position, progress.losses, progress.measures, progress.seconds = 0, [], {}, 0.0

    def _step(self) -> None:
        progress = self.progress
        examples = self.permutation[progress.position : progress.position + self.batch_size]
        with self._timed("batch"):
            batch = self.view.batch(examples)
        with self._timed("step"):
            measured = self.optimizer.step(lambda: self._gradients(batch))
        progress.step += 1
        progress.position += len(examples)
        self._note(measured)

    def _gradients(self, batch: Batch) -> Measures:
        self.progress.passes += 1
        with self._timed("forward_backward"):
            self.optimizer.zero_grad()
            loss = add_gradients(
                lambda: self.objective.loss(self.model, batch, self.randomness), self.precision, self.device
            )
        return {"loss": loss}

    def _note(self, measured: Measures) -> None:
        progress = self.progress
        for name, value in measured.items():
            values = progress.losses if name == "loss" else progress.measures.setdefault(name, [])
            values.append(value)
            if not math.isfinite(value):
                where = f"in epoch {len(progress.log) + 1}, step {progress.step}"
                raise CheckFailed(f"training: the {name} is {value} {where}; expected a number")

    def _validate(self) -> Ranks:
        self.model.eval()
        histories, targets = self.split.histories["validation"], self.split.targets["validation"]
        with self._timed("validation"):
            return rank_all(self.model, histories, targets, likelihood=False)

    def _finish_epoch(self, validation: Ranks, started: float) -> None:
        progress, epoch, n_items = self.progress, len(self.progress.log) + 1, self.split.train.n_items
        ranks = watched(validation, self.budget)
        value = self.rule.read(mean(self.budget["monitor"], ranks, n_items))
        if self.rule.better(value, progress.best_value):
            progress.best_value, progress.best_epoch = value, epoch
            self.best_weights = self._weights()
        measured = {name: _mean(values) for name, values in progress.measures.items()}
        line = epoch_line(epoch, _mean(progress.losses), ranks, n_items, time.monotonic() - started)
        progress.log.append(line | measured)
        self._leave_epoch()

    def _pretraining(self) -> Any:
        """What only the first stage has: its objective, with weights of its own."""
        chosen = self.recipe["pretraining"]
        made = _build("pretraining", chosen, self.split, self.model, self.randomness.init)
        return made.to(self.device)

    def _enter_stage(self) -> None:
        """Set what a step needs: objective, examples, batch size and a fresh optimizer."""
        recipe, chosen, first = self.recipe, self.recipe["optimizer"], self.pretraining
        trained: torch.nn.Module = self.model
        if first:
            self.objective, self.batch_size = cast(Objective, first), recipe["pretraining"]["batch_size"]
            self.view = first.view(self.split.train, self.model.max_length)
            trained, chosen = torch.nn.ModuleList([self.model, first]), _innermost(chosen)
        else:
            self.objective = cast(Objective, _build("objectives", recipe["objective"], self.split))
            self.view, self.batch_size = self._make_view(recipe), self.budget["batch_size"]
        self.optimizer = cast(Optimizer, _build("optimizers", chosen, trained, self.randomness))
        self.permutation = torch.arange(len(self.view))  # [E]

    def _make_view(self, recipe: dict[str, Any]) -> View:
        if recipe["view"] != "cloze":
            return make_view(recipe["view"], self.split.train, recipe.get("last"))
        masking = Masking(**recipe["masking"], generator=self.randomness.masking)
        return make_cloze_view(self.split.train, masking, self.model.max_length, recipe.get("last"))

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - started

    def _save(self) -> None:
        if self.store is None:
            return
        state = {
            "model": self.model.state_dict(),
            "best_weights": self.best_weights,
            "pretraining": self.pretraining.state_dict() if self.pretraining else None,
            "optimizer": self.optimizer.state_dict(),
            "randomness": self.randomness.state(),
            "permutation": self.permutation,
            "progress": asdict(self.progress),
            "seconds": self.seconds,
        }
        with self._timed("checkpoint"):
            self.store.save(self.progress.step, state)

    def _load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.best_weights = state["best_weights"]
        if self.pretraining and state["pretraining"] is None:
            self.pretraining = None
            self._enter_stage()
        elif self.pretraining:
            self.pretraining.load_state_dict(state["pretraining"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.randomness.load(state["randomness"])
        self.permutation = state["permutation"]
        self.progress = Progress(**state["progress"])
        self.seconds = state["seconds"]

    def _check_examples(self) -> None:
        if not len(self.view) or not len(self.split.histories["validation"]):
            raise InputError("training: no user to train on or to validate with; expected users with 4 interactions")


def fit_gradient(
    config: dict[str, Any],
    split: Split,
    seed: int,
    device: torch.device,
    store: CheckpointStore,
    on_epoch: OnEpoch,
) -> Outcome:
    """Train the configured model and rank both splits with its best weights."""
    trainer = Trainer(config, split, seed, device, store)
    trainer.fit(on_epoch)
    started = time.monotonic()
    ranks = {name: rank_split(trainer.model, trainer.split, name, likelihood=True) for name in SPLITS}
    return Outcome(
        weights=trainer.model.state_dict(),
        n_parameters=sum(weight.numel() for weight in trainer.model.parameters()),
        ranks=ranks,
        log=trainer.progress.log,
        best_epoch=trainer.progress.best_epoch,
        stopped=trainer.stopped,
        ranking_seconds=time.monotonic() - started,
        work=trainer.work,
        pretraining=trainer.progress.pretraining,
    )


def _innermost(optimizer: dict[str, Any]) -> dict[str, Any]:
    """What an optimizer is built around, in the end: it alone trains a first stage."""
    return _innermost(optimizer["base"]) if "base" in optimizer else optimizer


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _build(kind: str, parameters: dict[str, Any], *arguments: Any) -> Any:
    return import_module(f"seqrepro.training.{kind}.{parameters['name']}").build(parameters, *arguments)


def _on_device(split: Split, device: torch.device) -> Split:
    return replace(
        split,
        train=split.train.to(device),
        histories={name: histories.to(device) for name, histories in split.histories.items()},
        targets={name: targets.to(device) for name, targets in split.targets.items()},
        negatives={name: negatives.to(device) for name, negatives in split.negatives.items()},
    )

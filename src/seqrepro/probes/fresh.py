"""A network built anew for one length of histories, with random rows of that length: what whole networks cost there.

Nothing of a run is read but its configuration, in which `max_length` is the length. A row has L items of the catalogue
at random moments, one after the other, and one more item as the target: the last one, or with a view of all positions
as many targets as items. Steps are those of the `Trainer`: the run's view, objective, optimizer and precision. A first
stage, a share of the data and a limit on rows are left out of the recipe.

Shapes: B rows, L length.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.data.splits import leave_one_out
from seqrepro.errors import InputError
from seqrepro.models.interfaces import SequentialModel, TimedModel
from seqrepro.models.tim4rec import TiM4Rec
from seqrepro.probes.cores import Form, forward, held_bytes
from seqrepro.probes.operations import counted
from seqrepro.training.loop import Trainer

SEED = 1
FIRST = 10**9  # Unix seconds, the start of all rows
LONGEST_GAP = 10**5  # seconds
HELD_OUT = 2  # items of a row behind what training sees
LEFT_OUT = ("pretraining", "data", "last")  # of recipes
Parameters = dict[str, Any]


class TooLargeError(Exception):
    """A tensor would be larger than allowed."""


class Bound(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, a tensor of more than so many bytes is an error; a view of another one is none."""

    def __init__(self, most: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = most

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a kernel, and look at what it made."""
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else (found,):
            if isinstance(one, Tensor) and not func.is_view and one.numel() * one.itemsize > self.most:
                raise TooLargeError
        return found


@dataclass(frozen=True)
class Fresh:
    """A network with the weights that it starts from, and rows to train it on and to rank for."""

    trainer: Trainer  # of batches of B rows, L items and the target behind them
    histories: Sequences  # [B] rows of L items

    @property
    def model(self) -> SequentialModel:
        """The network, which training changes."""
        return self.trainer.model

    def fits(self, megabytes: int) -> bool:
        """Whether no tensor that a training step makes is larger, reckoned from a step of one row."""
        try:
            with Bound(megabytes * 2**20 / self.trainer.batch_size):
                self._loss(1)
        except TooLargeError:
            return False
        return True

    def training(self) -> Form:
        """Steps of training: a batch, its loss, the way back and the optimizer."""
        return self.trainer.take_steps

    def inference(self) -> Form:
        """Scores of all items for each row."""
        self.model.eval()
        return forward(lambda: self.model.score(self.histories), [])

    def event(self) -> Form:
        """One more item of one row, and the scores after it: from the state, or where there is none by all items."""
        self.model.eval()
        state, one = self.state, self._one
        return forward(lambda: self.model.score(one) if state is None else self._stepped(0, state)[0], [])

    @cached_property
    @torch.no_grad()
    def state(self) -> Any:
        """The state of one row that has had L items; None: the network has no state of constant size."""
        start = getattr(self.model.eval(), "start", None)
        try:
            state = start(1) if start else None
        except NotImplementedError:
            return None
        for place in range(self.model.max_length if state is not None else 0):
            _, state = self._stepped(place, state)
        return state

    def held(self) -> int:
        """Bytes that forward and backward of a training step hold, as `cores.held_bytes` has them."""
        return held_bytes(self._loss, list(self.model.parameters()), self.trainer.device)

    @torch.no_grad()
    def operations(self, compute: Callable[[], object] | None = None) -> int:
        """Operations, forward: of the scores of one row, or of what is given."""
        self.model.eval()
        with _without_cudnn(), counted(self.model) as counter:
            compute() if compute else self.model.score(self._one)
        return counter.core + counter.rest

    def training_operations(self) -> int:
        """Operations, forward: of the loss of one row."""
        return self.operations(lambda: self._loss(1))

    def targets(self) -> int:
        """Targets of a training step."""
        count: int = self.trainer.view.n_targets(self.model.max_length)
        return count

    @property
    def _one(self) -> Sequences:
        return self.histories.select(torch.zeros(1, dtype=torch.int64))

    def _loss(self, rows: int | None = None) -> Tensor:
        trainer = self.trainer
        batch = trainer.view.batch(torch.arange(rows or trainer.batch_size))
        self.model.train()
        with torch.autocast(trainer.device.type, torch.bfloat16, enabled=trainer.precision == "bf16"):
            return trainer.objective.loss(self.model, batch, trainer.randomness)

    def _stepped(self, place: int, state: Any) -> tuple[Tensor, Any]:
        """The scores after the item at a place of the first row, and the state then."""
        network: Any = self.model
        items, gap = self.histories.values[place : place + 1], self.histories.values.new_ones(1)
        hidden, after = network.step(items, *([gap] if isinstance(network, TimedModel) else []), state)
        return hidden @ network.item_table().T, after


def fresh(config: Parameters, n_items: int, rows: int, length: int, device: torch.device) -> Fresh:
    """The network of a run's configuration for rows of a length, drawn from a seed that is always the same.

    Raises:
        InputError: the network has no `max_length`, or its objective finds no negatives among so few items.
    """
    if "max_length" not in config["model"]:
        raise InputError(
            f"efficiency: family {config['model']['family']} has no max_length; expected a network over histories"
        )
    recipe = {key: value for key, value in config["training"].items() if key not in LEFT_OUT}
    sequences = random_rows(n_items, rows, length + 1 + HELD_OUT)
    model = config["model"] | {"max_length": length}
    trainer = Trainer({"model": model, "training": recipe}, leave_one_out(sequences), SEED, device, None)
    whole = (trainer.view.lengths == length + 1).nonzero().flatten()
    trainer.view = replace(trainer.view, rows=trainer.view.rows[whole], lengths=trainer.view.lengths[whole])
    trainer.batch_size = rows
    return Fresh(trainer, sequences.head(torch.full((rows,), length)).to(device))


def random_rows(n_items: int, rows: int, length: int) -> Sequences:
    """Rows [B] of so many items, each drawn from all, at moments that ascend within a row."""
    generator = torch.Generator().manual_seed(SEED)
    items = torch.randint(1, n_items + 1, (rows, length), generator=generator)
    gaps = torch.randint(1, LONGEST_GAP, (rows, length), generator=generator)
    offsets = offsets_of(torch.full((rows,), length))
    return Sequences(torch.arange(rows), items.flatten(), offsets, (FIRST + gaps.cumsum(1)).flatten(), n_items)


def time_path(one: Fresh) -> tuple[Callable[[], Tensor], list[Tensor]] | None:
    """What computes the time path alone for all rows, and its weights; None: the network has none."""
    network = one.model
    if not isinstance(network, TiM4Rec) or not network.p.reads_times:
        return None
    items, _ = one.histories.last(network.max_length)
    stamps = one.histories.last_times(network.max_length)
    parts: list[nn.Module] = [network.times, *([network.gaps] if network.p.time != "causal" else [])]

    def compute() -> Tensor:
        factors = network.factors(items, stamps)  # all of the path, and nothing else
        return torch.cat([tensor.flatten() for of_layer in factors for tensor in of_layer if tensor is not None])

    return compute, [weight for part in parts for weight in part.parameters()]


def bytes_of(state: Any) -> int:
    """Bytes of all tensors of a state, nested in whatever way."""
    if isinstance(state, Tensor):
        return state.nbytes
    return sum(bytes_of(one) for one in (state.values() if isinstance(state, dict) else state))


@contextmanager
def _without_cudnn() -> Iterator[None]:
    """Within it a recurrent network on a GPU runs product by product, which can be counted."""
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before

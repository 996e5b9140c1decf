"""The loss surface of a trained network: its training loss as a function of all its weights, a vector theta [P].

    L(theta) = (1 / T) sum over the T targets of a fixed sample of training users,   g = dL / d theta,
    H v = d <g(theta), v> / d theta,   by differentiating twice (Pearlmutter 1994)

Dropout is off and negatives are drawn once, so L is a plain function. It is summed over batches of users, so memory
does not grow with the sample. Fused attention has no second derivative; for H v the plain kernel is used.

Shapes: P weights, T targets, V items.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from seqrepro.models.interfaces import SequentialModel
from seqrepro.probes.curvature.losses import Loss
from seqrepro.training.views import Batch

PARTS = (  # the first that a weight's name contains says what the weight is for
    ("norm", "norms"),
    ("items.", "items"),
    ("positions.", "positions"),
    (".mixer.", "attention"),
    (".feed_forward.", "feed_forward"),
    ("", "other"),
)


@dataclass(frozen=True)
class Term:
    """One batch of the sample, and its loss."""

    batch: Batch
    loss: Loss
    n_targets: int

    def __call__(self, model: SequentialModel) -> Tensor:
        """The sum over the targets of the batch."""
        hidden, targets = self.batch.representations(model)
        return self.loss(hidden, model.item_table(), targets)


class Surface:
    """The loss of a network in its weights or, with `part`, in some of them while the others stay."""

    def __init__(self, model: SequentialModel, terms: list[Term], n_targets: int, part: str | None = None) -> None:
        self.model, self.terms, self.n_targets, self.part = model, terms, n_targets, part
        named = [(name, weight) for name, weight in model.named_parameters() if part in (None, part_of(name))]
        self.names, self.weights = [name for name, _ in named], [weight for _, weight in named]
        self.point = _flat(self.weights)  # [P], where the training ended

    @property
    def n_items(self) -> int:
        """V."""
        return self.terms[0].batch.rows.n_items

    def loss(self, point: Tensor) -> float:
        """L at the weights [P]."""
        with torch.no_grad():
            return float(self._mean(point, lambda loss: loss))

    def gradient(self, point: Tensor) -> Tensor:
        """g [P] at the weights [P]."""
        return self._mean(point, lambda loss: _flat(self._derivatives(loss)))

    def hessian_times(self, vector: Tensor) -> Tensor:
        """H v [P] for a vector [P], at the point where the training ended."""
        along = self._split(vector.to(self.point.dtype))

        def product(loss: Tensor) -> Tensor:
            gradients = self._derivatives(loss, create_graph=True)
            slope = torch.stack([(g * v).sum() for g, v in zip(gradients, along, strict=True)]).sum()
            return _flat(self._derivatives(slope))

        with sdpa_kernel(SDPBackend.MATH):
            return self._mean(self.point, product)

    def of_part(self, part: str) -> "Surface":
        """The same loss as a function of one group of weights."""
        return Surface(self.model, self.terms, self.n_targets, part)

    def of_batches(self) -> list["Surface"]:
        """The mean loss of each batch of the sample, as a function of the same weights."""
        return [Surface(self.model, [term], term.n_targets, self.part) for term in self.terms]

    def parts(self) -> dict[str, Tensor]:
        """Which weights belong to each group: a mask [P] for each group that there is."""
        sizes = torch.tensor([weight.numel() for weight in self.weights])
        owners = [part_of(name) for name in self.names]
        return {
            part: torch.repeat_interleave(torch.tensor([owner == part for owner in owners]), sizes)
            for part in dict.fromkeys(owners)
        }

    def named(self, vector: Tensor) -> Iterator[tuple[str, Tensor]]:
        """A vector [P] as tensors with the weights' names and shapes."""
        return zip(self.names, self._split(vector), strict=True)

    def _mean(self, point: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """What is computed from the loss of each batch at some weights [P], summed, a target."""
        self._put(point)
        try:
            return reduce(torch.add, (compute(term(self.model)) for term in self.terms)) / self.n_targets
        finally:
            self._put(self.point)

    def _put(self, point: Tensor) -> None:
        with torch.no_grad():
            for weight, values in zip(self.weights, self._split(point), strict=True):
                weight.copy_(values)

    def _derivatives(self, value: Tensor, create_graph: bool = False) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            value, self.weights, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )

    def _split(self, vector: Tensor) -> list[Tensor]:
        pieces = torch.split(vector, [weight.numel() for weight in self.weights])
        return [piece.view_as(weight) for piece, weight in zip(pieces, self.weights, strict=True)]


def part_of(name: str) -> str:
    """The group of a weight, by its name."""
    return next(part for word, part in PARTS if word in name)


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])

"""Sharpness-aware steps: the gradient at perturbed weights moves the weights that were not perturbed.

    g = grad L(w),   e = perturb(w, g),   g' = grad L(w + e),   w <- base step from w with combine(g, g')

L is the loss of one batch; both passes see the same batch and the same negatives. What sets the variants apart is
`perturb` and `combine`, pure functions of vectors in R^P that hold all weights, or all gradients, of a model one after
the other: a norm is one L2 norm over all tensors. The weights are brought back by copying. The base optimizer sees
combine(g, g') alone, and whatever it does besides (decay, clipping) it does once, at w.

Source: Foret et al. 2021 (SAM), algorithm 1, and its official code; the variants are in `optimizers`.

Shapes: P weights of the model, in the order of its parameters.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.models.parts import names_of_part
from seqrepro.training.randomness import DROPOUT, OF_THE_BATCH, Randomness

SMALLEST_NORM = 1e-12
REPLAYED = {"same": (*OF_THE_BATCH, *DROPOUT), "fresh": OF_THE_BATCH}  # generators, by `masks`
Measures = dict[str, float]
Closure = Callable[[], Measures]  # sets the gradients at the present weights; says the loss


def along(direction: Tensor, length: float | Tensor) -> Tensor:
    """The vector of a length in a direction [P]; zero if the direction is."""
    norm: Tensor = torch.linalg.vector_norm(direction)
    return direction * (length / norm.clamp(min=SMALLEST_NORM))


def across(vector: Tensor, direction: Tensor) -> Tensor:
    """v - (v d / d d) d: the part of a vector v [P] that is orthogonal to d [P]; exactly 0 if they are equal."""
    square = torch.dot(direction, direction).clamp(min=SMALLEST_NORM**2)
    return vector - (torch.dot(vector, direction) / square) * direction


@dataclass(frozen=True)
class Variant:
    """What a kind of sharpness-aware optimizer computes from vectors [P]."""

    perturb: Callable[[Tensor, Tensor], Tensor]  # weights, g (0 where nothing shall be perturbed) -> e
    combine: Callable[[Tensor, Tensor], Tensor] = lambda first, second: second  # g, g' -> gradient of the step
    period: int = 1  # one step in so many has a second pass
    keep: Callable[[Tensor, Tensor], Tensor | None] = lambda first, second: None  # g, g' -> what later steps reuse
    reuse: Callable[[Tensor, Any], Tensor] = lambda first, kept: first  # g, kept -> gradient of a step between


class SharpnessAware:
    """An optimizer around another: two passes a step."""

    def __init__(self, parameters: dict[str, Any], model: nn.Module, randomness: Randomness, variant: Variant) -> None:
        base = parameters["base"]
        self.decay = base.get("weight_decay", 0.0) if parameters["decay"] == "loss" else 0.0
        self.base = _build(base | {"weight_decay": 0.0} if self.decay else base, model, randomness)
        self.variant, self.randomness = variant, randomness
        self.replayed = REPLAYED[parameters["masks"]]
        self.weights = list(model.parameters())
        self.perturbed = marks(model, names_of_part(model, parameters["parts"]))  # [P]
        self.steps = 0
        self.kept: Tensor | None = None  # [P]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.base.zero_grad()

    @torch.no_grad()
    def step(self, closure: Closure) -> Measures:
        """Take a step; what the first pass says, and what was measured besides."""
        replay = {name: state for name, state in self.randomness.state().items() if name in self.replayed}
        measured, first = self._pass(closure)
        if self.steps % self.variant.period == 0:
            self.randomness.load(replay)
            with self._moved(self.variant.perturb(self._values(), first * self.perturbed)):
                found, second = self._pass(closure)
            final, self.kept = self.variant.combine(first, second), self.variant.keep(first, second)
            measured |= _compared(measured["loss"], found["loss"], first, second)
        else:
            final = self.variant.reuse(first, self.kept)
        self._copy(final, (weight.grad for weight in self.weights))
        self.base.step()
        self.steps += 1
        return measured

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"base": self.base.state_dict(), "steps": self.steps, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.base.load_state_dict(state["base"])
        self.steps, kept = state["steps"], state["kept"]
        self.kept = None if kept is None else kept.to(self.perturbed.device)

    def _pass(self, closure: Closure) -> tuple[Measures, Tensor]:
        """What the closure says, and the gradient [P], with that of the decay if it is a part of the loss."""
        with torch.enable_grad():
            measured = closure()
        gradient = flat(torch.zeros_like(w) if w.grad is None else w.grad for w in self.weights)
        return measured, gradient.add_(self._values(), alpha=self.decay) if self.decay else gradient

    @contextmanager
    def _moved(self, by: Tensor) -> Iterator[None]:
        """Add a vector [P] to the weights for as long as the context lasts."""
        before = self._values()
        self._copy(before + by, self.weights)
        try:
            yield
        finally:
            self._copy(before, self.weights)

    def _values(self) -> Tensor:
        return flat(self.weights)

    def _copy(self, values: Tensor, tensors: Iterable[Tensor | None]) -> None:
        parts = torch.split(values, [weight.numel() for weight in self.weights])
        for tensor, part in zip(tensors, parts, strict=True):
            if tensor is not None:
                tensor.copy_(part.view_as(tensor))


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """The values of tensors one after the other, [P]; a copy."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def marks(model: nn.Module, names: set[str]) -> Tensor:
    """Which of a model's weights are in the parameters of these names, bool [P]."""
    return flat(torch.full_like(weight, name in names, dtype=torch.bool) for name, weight in model.named_parameters())


def _compared(loss: float, other: float, first: Tensor, second: Tensor) -> Measures:
    """Both losses, both gradients."""
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in (first, second)])
    cosine = (torch.dot(first, second) / norms.prod().clamp(min=SMALLEST_NORM**2)).clamp(-1, 1)  # rounding aside
    of_first, of_second, value = torch.cat([norms, cosine[None]]).tolist()
    return {
        "perturbed_loss": other,
        "sharpness": other - loss,
        "gradient_norm": of_first,
        "perturbed_gradient_norm": of_second,
        "gradient_cosine": value,
    }


def _build(parameters: dict[str, Any], model: nn.Module, randomness: Randomness) -> Any:
    module = import_module(f"seqrepro.training.optimizers.{parameters['name']}")
    return module.build(parameters, model, randomness)

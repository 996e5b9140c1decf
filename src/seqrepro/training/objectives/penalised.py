"""A loss of the next item with a penalty on the norms of weights, for models whose code has it in the loss.

loss = L_next + weight * sum over W of ||W||_F, or ||W||_F^2 if `squared`

`of: matrices` sums over all weights of two axes or more: RecBole's Caser has it with weight 1e-4, not squared, so that
the gradient of each tensor has the length 1e-4 whatever the tensor's size. `of: embeddings` sums over the tables:
TiSASRec's authors have it with weight 5e-5, squared.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.data.splits import Split
from seqrepro.models.interfaces import SequentialModel
from seqrepro.models.parts import names_of_part
from seqrepro.training.objectives import bce, cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch

BASES: dict[str, Callable[..., Any]] = {"bce": bce.build, "cross_entropy": cross_entropy.build}


class Penalised:
    """The objective; what it draws is what its base draws."""

    def __init__(self, parameters: dict[str, Any], split: Split) -> None:
        base = parameters["base"]
        self.next_item = BASES[base["name"]](base, split)
        self.weight: float = parameters["weight"]
        self.of, self.power = parameters["of"], 2 if parameters["squared"] else 1

    def loss(self, model: SequentialModel, batch: Batch, randomness: Randomness) -> Tensor:
        """The loss of the next item and the penalty."""
        next_item: Tensor = self.next_item.loss(model, batch, randomness)
        return next_item + self.weight * self.penalty(model)

    def penalty(self, model: nn.Module) -> Tensor:
        """The sum of norms."""
        return torch.stack([weight.norm() ** self.power for weight in self._penalised(model)]).sum()

    def _penalised(self, model: nn.Module) -> list[Tensor]:
        if self.of == "matrices":
            return [weight for weight in model.parameters() if weight.dim() > 1]
        names = names_of_part(model, "embeddings")
        return [weight for name, weight in model.named_parameters() if name in names]


def build(parameters: dict[str, Any], split: Split) -> Penalised:
    """The objective named `penalised`; parameters base, weight, of, squared."""
    return Penalised(parameters, split)

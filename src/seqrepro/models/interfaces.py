"""What the two kinds of models have in common, and how a saved one is brought back.

A family is a module `seqrepro.models.<family>` with a function `build`. A closed-form model is fitted by counting or by
solving; a sequential model is a network trained by gradient descent. Evaluation and probes only call `score`.

Shapes: B rows, L length, D width, V items.
"""

from abc import abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from seqrepro.data.sequences import Sequences, length_groups
from seqrepro.evaluation.ranking import Scorer

Parameters = dict[str, Any]


class ClosedFormModel(Protocol):
    """A model that is fitted without gradients."""

    def fit(self, train: Sequences) -> None:
        """Learn from the training rows."""

    def score(self, histories: Sequences) -> Tensor:
        """Scores [B, V+1] float32; column 0 is padding and means nothing."""

    def state(self) -> dict[str, Tensor]:
        """What was learned."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""


class SequentialModel(nn.Module):
    """A network over padded histories that scores items by the inner product with their rows of a table.

    D is the width of that table: the one of the embeddings, or more where a row holds more than an embedding.
    """

    max_length: int  # L, the longest history that the model sees

    @abstractmethod
    def hidden(self, padded_BL: Tensor) -> Tensor:
        """Representations [B, L, D] of right-padded item ids [B, L], oldest first; nothing at padding is meaningful."""

    @abstractmethod
    def item_table(self) -> Tensor:
        """Item embeddings [V+1, D]; row 0 is padding."""

    def read(self, histories: Sequences) -> Tensor:
        """Representations [B, L, D] of the newest items of each history, padded on the right."""
        return self.hidden(histories.last(self.max_length)[0])

    def last_hidden(self, histories: Sequences) -> Tensor:
        """The representation [B, D] at the newest item of each history, computed in groups of similar length."""
        result = self.item_table().new_empty(len(histories), self.item_table().shape[1])
        for rows in length_groups(histories.lengths.clamp(max=self.max_length)):
            shown = histories.select(rows).tail(self.max_length)
            newest = self.read(shown)[torch.arange(len(rows), device=rows.device), shown.lengths - 1]
            result[rows] = newest.to(result.dtype)  # autocast may have left it narrower
        return result

    def score(self, histories: Sequences) -> Tensor:
        """Scores [B, V+1] of every item as the next one; column 0 is padding and means nothing."""
        return self.last_hidden(histories) @ self.item_table().T


class TimedModel(SequentialModel):
    """A network that also reads when its items were chosen."""

    @abstractmethod
    def hidden_at(self, padded_BL: Tensor, times_BL: Tensor) -> Tensor:
        """Representations [B, L, D] of right-padded item ids [B, L] and their timestamps int64 [B, L], 0 at padding."""

    def read(self, histories: Sequences) -> Tensor:
        """Representations [B, L, D] of the newest items of each history, padded on the right.

        Raises:
            InputError: the histories have no timestamps.
        """
        return self.hidden_at(histories.last(self.max_length)[0], histories.last_times(self.max_length))


def build_closed_form(parameters: Parameters, n_items: int) -> ClosedFormModel:
    """An unfitted closed-form model of the family that the parameters name."""
    return cast(ClosedFormModel, _builder(parameters)(parameters, n_items))


def build_sequential(parameters: Parameters, n_items: int, generator: torch.Generator) -> SequentialModel:
    """A network of the family that the parameters name, initialised from the generator alone."""
    return cast(SequentialModel, _builder(parameters)(parameters, n_items, generator))


def restore(config: Parameters, n_items: int, weights: Path) -> Scorer:
    """The trained model of a run, ready to score, from its configuration and its `model.safetensors`."""
    state = load_file(weights)
    if config["training"]["kind"] == "closed_form":
        fitted = build_closed_form(config["model"], n_items)
        fitted.load(state)
        return fitted
    network = build_sequential(config["model"], n_items, torch.Generator())
    network.load_state_dict(state)
    return network.eval()


def _builder(parameters: Parameters) -> Callable[..., Any]:
    return cast(Callable[..., Any], import_module(f"seqrepro.models.{parameters['family']}").build)

"""Popularity: an item's score is the number of times it was chosen in the training rows.

score_j = c_j, the same for every user; counts are exact.

Shapes: B rows, V items.
"""

from typing import Any

import torch
from torch import Tensor

from seqrepro.config.architectures.popularity import PopularityParameters
from seqrepro.data.sequences import Sequences


class Popularity:
    """Item counts."""

    def __init__(self, n_items: int) -> None:
        self.counts = torch.zeros(n_items + 1)

    def fit(self, train: Sequences) -> None:
        """Count every interaction."""
        self.counts = item_counts(train)

    def score(self, histories: Sequences) -> Tensor:
        """The counts for every row, [B, V+1]."""
        return self.counts.expand(len(histories), -1)

    def state(self) -> dict[str, Tensor]:
        """The counts [V+1]."""
        return {"counts": self.counts}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over the counts."""
        self.counts = state["counts"]


def item_counts(train: Sequences) -> Tensor:
    """Number of interactions of each item, [V+1] float32; exact below 2^24."""
    return torch.bincount(train.values, minlength=train.n_items + 1).float()


def build(parameters: dict[str, Any], n_items: int) -> Popularity:
    """An unfitted popularity model."""
    PopularityParameters.model_validate(parameters)
    return Popularity(n_items)

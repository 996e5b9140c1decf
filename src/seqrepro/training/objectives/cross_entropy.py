"""Softmax cross-entropy over the full catalogue, at every target of the view.

loss = (1 / T) sum over the T targets of the batch of -log softmax(E_{1..V} h_t)[target_t]

Every target has the same weight, whatever the length of its row. Padding is no class and is never scored.

Shapes: T targets of the batch, D width, V items.
"""

from typing import Any

from torch import Tensor

from seqrepro.data.splits import Split
from seqrepro.models.interfaces import SequentialModel
from seqrepro.training.randomness import Randomness
from seqrepro.training.softmax import mean_cross_entropy
from seqrepro.training.views import Batch


class CrossEntropy:
    """The objective; it draws no random numbers and has no parameters."""

    def loss(self, model: SequentialModel, batch: Batch, randomness: Randomness) -> Tensor:
        """Mean negative log-likelihood of all targets of the batch."""
        hidden, targets = batch.representations(model)
        return mean_cross_entropy(hidden, model.item_table(), targets)


def build(parameters: dict[str, Any], split: Split) -> CrossEntropy:
    """The objective named `cross_entropy`."""
    return CrossEntropy()

"""Binary cross-entropy with k sampled negatives a target: SASRec's own objective, which has k = 1.

loss = (1 / T) sum over targets t of [ -log sigma(s_t+) - sum_{j=1..k} log(1 - sigma(s_tj-)) ],   s = <h_t, e_item>

Source: Kang & McAuley 2018 (SASRec); S3-Rec's fine-tuning has the same mean over all targets that are no padding (Zhou
et al. 2020). Their code adds 1e-24 inside the logarithms; here the logarithm of the sigmoid is computed as such and
needs nothing. The negatives are drawn anew at each step, uniform and with replacement, outside the target (`exclude:
target`), outside all items of the example (`history`, as SASRec's code has it: with the view `all_positions` these
are the user's training items; with `prefixes` the items of the prefix and its target), or outside all items of the user
(`history_and_held_out`, as S3-Rec's code has it; there the mask is drawn too, once in V + 1 times, here never).

Shapes: T targets, k negatives a target, D width, V items.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.data.splits import Split
from seqrepro.models.interfaces import SequentialModel
from seqrepro.training.negatives import Negatives, scores_of
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch


def binary_cross_entropy(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
    """Mean over the targets of the loss of a target and of all its negatives, summed.

    Args:
        hidden: representations h [T, D].
        table: item embeddings [V+1, D]; row 0 is padding.
        targets: item ids 1..V, [T].
        negatives: item ids 1..V, [T, k].
    """
    scores = scores_of(hidden, table, torch.cat([targets[:, None], negatives], dim=1))  # [T, 1+k]
    return -(F.logsigmoid(scores[:, 0]) + F.logsigmoid(-scores[:, 1:]).sum(1)).mean()


class BinaryCrossEntropy:
    """The objective; its negatives come from the generator of negatives."""

    def __init__(self, negatives: Negatives) -> None:
        self.negatives = negatives

    def loss(self, model: SequentialModel, batch: Batch, randomness: Randomness) -> Tensor:
        """The mean over all targets of the batch."""
        hidden, targets = batch.representations(model)
        negatives = self.negatives.draw(model, batch, targets, randomness.negatives)
        return binary_cross_entropy(hidden, model.item_table(), targets, negatives)


def build(parameters: dict[str, Any], split: Split) -> BinaryCrossEntropy:
    """The objective named `bce`; parameters negatives, exclude."""
    return BinaryCrossEntropy(Negatives(parameters["exclude"], parameters["negatives"], split.whole))

"""Generalised binary cross-entropy (gBCE): k sampled negatives, and positives that weigh less the fewer they are.

loss = (1 / T) sum over targets t of -1 / (k + 1) [ log sigma(s_t+)^beta + sum_{j=1..k} log(1 - sigma(s_tj-)) ]
beta = alpha (tau (1 - 1 / alpha) + 1 / alpha) = 1 - tau (1 - alpha),   alpha = k / (V - 1),   s = <h_t, e_item>

alpha is the share of all negatives that is drawn. tau (t in the paper) is the calibration: 0 gives beta = 1, which is
`bce` divided by k + 1; 1 gives beta = alpha, which undoes the overconfidence that comes from drawing few negatives.

Source: Petrov & Macdonald 2023 (gSASRec). log sigma^beta is computed as beta log sigma, with log sigma as such: nothing
over- or underflows in float32. Negatives: see `bce`.

Shapes: T targets, k negatives a target, D width, V items.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.data.splits import Split
from seqrepro.errors import InputError
from seqrepro.models.interfaces import SequentialModel
from seqrepro.training.negatives import Negatives, scores_of
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch


def beta_of(negatives: int, n_items: int, calibration: float) -> float:
    """The exponent of the positive's probability.

    Raises:
        InputError: more negatives than there are other items, so that they are no share of them.
    """
    if negatives > n_items - 1:
        raise InputError(f"gbce: {negatives} negatives of {n_items - 1} other items; expected at most as many")
    return 1 - calibration * (1 - negatives / (n_items - 1))


def generalised_bce(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Tensor, beta: float) -> Tensor:
    """Mean over the targets and their 1 + k terms.

    Args:
        hidden: representations h [T, D].
        table: item embeddings [V+1, D]; row 0 is padding.
        targets: item ids 1..V, [T].
        negatives: item ids 1..V, [T, k].
        beta: exponent of the positive's probability; see `beta_of`.
    """
    scores = scores_of(hidden, table, torch.cat([targets[:, None], negatives], dim=1))  # [T, 1+k]
    terms = beta * F.logsigmoid(scores[:, 0]) + F.logsigmoid(-scores[:, 1:]).sum(1)
    return -terms.mean() / scores.shape[1]


class GeneralisedBCE:
    """The objective; its negatives come from the generator of negatives."""

    def __init__(self, negatives: Negatives, calibration: float) -> None:
        self.negatives, self.calibration = negatives, calibration

    def loss(self, model: SequentialModel, batch: Batch, randomness: Randomness) -> Tensor:
        """The mean over all targets of the batch and their terms."""
        beta = beta_of(self.negatives.k, batch.rows.n_items, self.calibration)
        hidden, targets = batch.representations(model)
        negatives = self.negatives.draw(model, batch, targets, randomness.negatives)
        return generalised_bce(hidden, model.item_table(), targets, negatives, beta)


def build(parameters: dict[str, Any], split: Split) -> GeneralisedBCE:
    """The objective named `gbce`; parameters negatives, calibration, exclude."""
    negatives = Negatives(parameters["exclude"], parameters["negatives"], split.whole)
    return GeneralisedBCE(negatives, parameters["calibration"])

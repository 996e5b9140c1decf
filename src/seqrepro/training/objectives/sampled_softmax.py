"""Softmax cross-entropy over the target and k sampled items, with or without the logQ correction.

loss = (1 / T) sum over targets t of -log( exp z_t / (exp z_t + sum_{j: n_j != t} exp z_{n_j}) )
z_n = <h, e_n> / temperature - c(n),   n_1..n_k drawn from q with replacement

A drawn item that is the target (an accidental hit) is left out of the sum. The correction c is the logarithm of the
number of times that an item is expected among the k draws:

- `negatives`: c(n) = log(k q(n)) for the drawn items, 0 for the target. The denominator is then, on average over the
  draws, that of the full softmax: the gradient is the full one up to a bias of order 1/k (Bengio & Senecal 2008).
- `all`: c = log(k q) for the target too (Jean et al. 2015). The loss is the cross-entropy of guessing which of the
  1 + k candidates is the one that was not drawn; where hits are rare its optimum, not its gradient on the way there, is
  that of the full softmax. With uniform q it equals `none`.
- `none`: c = 0: the usual sampled softmax of recommenders. HSTU's recipe is: uniform, per target, temperature 0.05,
  l2_normalise (Zhai et al. 2024).

The draws are one set a target, or one set `shared` by all targets of the batch. With `l2_normalise` h and e are divided
by their norms (at least 1e-6), in this loss alone: a model that shall also be ranked by the cosine has to normalise its
own representations and its own table (`cosine_temperature` of an architecture), and needs no temperature here.

Shapes: T targets, k drawn items, D width, V items.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.data.splits import Split
from seqrepro.models.interfaces import SequentialModel
from seqrepro.training.negatives import Proposal, make_proposal, scores_of
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch

SMALLEST_NORM = 1e-6


def sampled_softmax(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    negatives: Tensor,
    correction: Tensor | float = 0.0,
    target_correction: Tensor | float = 0.0,
    temperature: float = 1.0,
) -> Tensor:
    """Mean over the targets of the cross-entropy against the drawn items.

    Args:
        hidden: representations h [T, D].
        table: item embeddings [V+1, D]; row 0 is padding.
        targets: item ids 1..V, [T].
        negatives: item ids 1..V, [T, k], or [k] for all targets; those that are the target do not count.
        correction: c of the drawn items; the shape of `negatives`, or a number.
        target_correction: c of the targets, [T], or a number.
        temperature: scores are divided by it.
    """
    of_target = scores_of(hidden, table, targets[:, None]) / temperature
    drawn = hidden @ F.embedding(negatives, table).T if negatives.dim() == 1 else scores_of(hidden, table, negatives)
    drawn = drawn / temperature - correction  # [T, k]
    drawn = drawn.masked_fill(negatives == targets[:, None], -torch.inf)
    logits = torch.cat([of_target - _column(target_correction), drawn], dim=1)  # [T, 1+k]
    return F.cross_entropy(logits, targets.new_zeros(len(targets)))


def normalised(vectors: Tensor) -> Tensor:
    """Vectors [n, D] divided by their norms; a vector of zeros stays one."""
    return F.normalize(vectors, dim=1, eps=SMALLEST_NORM)


def corrections(kind: str, proposal: Proposal, negatives: Tensor, targets: Tensor) -> tuple[Tensor | float, ...]:
    """c of the drawn items and c of the targets: tensors of their shapes (float64, on the CPU), or 0."""
    k = negatives.shape[-1]
    return (
        0.0 if kind == "none" else proposal.log_expected(negatives, k),
        proposal.log_expected(targets, k) if kind == "all" else 0.0,
    )


class SampledSoftmax:
    """The objective; its negatives come from the generator of negatives."""

    def __init__(self, parameters: dict[str, Any], split: Split) -> None:
        self.parameters = parameters
        self.proposal = make_proposal(parameters["proposal"], split.train)

    def loss(self, model: SequentialModel, batch: Batch, randomness: Randomness) -> Tensor:
        """The mean over all targets of the batch."""
        chosen = self.parameters
        hidden, targets = batch.representations(model)
        table = model.item_table()
        shape = (chosen["negatives"],) if chosen["shared"] else (len(targets), chosen["negatives"])
        negatives = self.proposal.draw(shape, randomness.negatives)
        found = corrections(chosen["correction"], self.proposal, negatives, targets.cpu())
        if chosen["l2_normalise"]:
            hidden, table = normalised(hidden), normalised(table)
        of_drawn, of_target = (c.to(hidden) if isinstance(c, Tensor) else c for c in found)
        negatives = negatives.to(targets.device)
        return sampled_softmax(hidden, table, targets, negatives, of_drawn, of_target, chosen["temperature"])


def build(parameters: dict[str, Any], split: Split) -> SampledSoftmax:
    """The objective named `sampled_softmax`; its parameters are those of the configuration."""
    return SampledSoftmax(parameters, split)


def _column(values: Tensor | float) -> Tensor | float:
    return values[:, None] if isinstance(values, Tensor) else values

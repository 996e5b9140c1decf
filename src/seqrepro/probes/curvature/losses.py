"""The training losses once more, so that they can be differentiated twice, on targets and negatives that stay fixed.

The objectives score a chunk at a time with gradients of their own, which have no second derivative. Here the same
formulas stand in ordinary operations. A loss first draws its negatives, once, and is then a function of the network
alone: the sum over the targets of a batch. Formulas and sources: `seqrepro.training.objectives`.

Shapes: T targets of a batch, K negatives a target, D width, V items.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.data.splits import Split
from seqrepro.errors import InputError
from seqrepro.models.interfaces import SequentialModel
from seqrepro.probes.curvature.logsumexp import total_log_sum_exp
from seqrepro.training.negatives import Negatives, make_proposal
from seqrepro.training.objectives.gbce import beta_of
from seqrepro.training.objectives.sampled_softmax import corrections, normalised
from seqrepro.training.views import Batch

Parameters = dict[str, Any]
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # hidden [T, D], table [V+1, D], targets [T] -> sum of T losses
Fix = Callable[[SequentialModel, Batch, Tensor, torch.Generator], Loss]  # draws for the targets [T] of a batch


def fixed_loss(objective: Parameters, split: Split) -> Fix:
    """What draws the negatives of a batch and gives its loss.

    Args:
        objective: name and parameters, as in a training recipe.
        split: of the data; proposals count items in its training rows.

    Raises:
        InputError: the objective has no form here.
    """
    name = objective["name"]
    if name not in LOSSES:
        raise InputError(
            f"curvature: found objective '{name}', expected one of {', '.join(LOSSES)}; "
            "give the probe a `loss` to measure the model by"
        )
    return LOSSES[name](objective, split)


def gathered(objective: Parameters) -> int:
    """How many embeddings are gathered for each target: its own and those of its negatives."""
    return 1 + int(objective.get("negatives", 0))


def _cross_entropy(_: Parameters, __: Split) -> Fix:
    def loss(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        return total_log_sum_exp(hidden, table[1:]) - (hidden * table[targets]).sum()

    return lambda *_: loss


def _bce(objective: Parameters, split: Split) -> Fix:
    drawn = Negatives(objective["exclude"], objective["negatives"], split.whole)

    def fix(model: SequentialModel, batch: Batch, targets: Tensor, generator: torch.Generator) -> Loss:
        negatives = drawn.draw(model, batch, targets, generator)

        def loss(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
            of_targets, of_drawn = _log_sigmoids(hidden, table, targets, negatives)
            return -(of_targets.sum() + of_drawn.sum())

        return loss

    return fix


def _gbce(objective: Parameters, split: Split) -> Fix:
    k = int(objective["negatives"])
    drawn = Negatives(objective["exclude"], k, split.whole)
    beta = beta_of(k, split.train.n_items, objective["calibration"])

    def fix(model: SequentialModel, batch: Batch, targets: Tensor, generator: torch.Generator) -> Loss:
        negatives = drawn.draw(model, batch, targets, generator)

        def loss(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
            of_targets, of_drawn = _log_sigmoids(hidden, table, targets, negatives)
            return -(beta * of_targets.sum() + of_drawn.sum()) / (1 + k)

        return loss

    return fix


def _sampled_softmax(objective: Parameters, split: Split) -> Fix:
    proposal = make_proposal(objective["proposal"], split.train)

    def fix(_: SequentialModel, __: Batch, targets: Tensor, generator: torch.Generator) -> Loss:
        shape = (1 if objective["shared"] else len(targets), objective["negatives"])
        negatives = proposal.draw(shape, generator).expand(len(targets), -1)
        of_drawn, of_target = corrections(objective["correction"], proposal, negatives, targets)

        def loss(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
            if objective["l2_normalise"]:
                hidden = normalised(hidden)
                table = torch.cat([table[:1], normalised(table[1:])])  # a row of zeros has no second derivative
            scores = _scores(hidden, table, torch.cat([targets[:, None], negatives], dim=1)) / objective["temperature"]
            drawn = (scores[:, 1:] - of_drawn).masked_fill(negatives == targets[:, None], -torch.inf)
            own = scores[:, :1] - (of_target[:, None] if isinstance(of_target, Tensor) else of_target)
            return F.cross_entropy(
                torch.cat([own, drawn], dim=1).to(hidden), torch.zeros_like(targets), reduction="sum"
            )

        return loss

    return fix


LOSSES: dict[str, Callable[[Parameters, Split], Fix]] = {
    "cross_entropy": _cross_entropy,
    "bce": _bce,
    "gbce": _gbce,
    "sampled_softmax": _sampled_softmax,
}


def _log_sigmoids(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """log sigma(s) of each target [T], and log(1 - sigma(s)) of its negatives [T, K]."""
    scores = _scores(hidden, table, torch.cat([targets[:, None], negatives], dim=1))
    return F.logsigmoid(scores[:, 0]), F.logsigmoid(-scores[:, 1:])


def _scores(hidden: Tensor, table: Tensor, items: Tensor) -> Tensor:
    """Inner products [T, K] of each representation with its own items."""
    return (F.embedding(items, table) @ hidden[:, :, None])[:, :, 0]

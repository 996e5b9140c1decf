"""Ranks of held-out items among all items of the catalogue, in one scoring pass.

Both bounds under ties, both treatments of the history and the rank among saved negatives come from the same scores.
All candidates of a user are scored in the same matrix product, so a comparison never mixes products of different
shapes; the scores themselves may differ in their last bits when the number of users in a block changes. Users with
histories of similar length are scored together, and only so many that the scores stay in a cache.

Shapes: B users of a block, U users, V items, C negatives; score matrices have V+1 columns, column 0 is padding and
never counts.
"""

from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences
from seqrepro.errors import CheckFailed

BLOCK_ELEMENTS = {"cpu": 2**19, "cuda": 2**28}  # scores computed at a time: a cache, or a part of the GPU's memory
LEAST_USERS = 32  # of a block


class Scorer(Protocol):
    """Whatever gives every item a score."""

    def score(self, histories: Sequences) -> Tensor:
        """Scores [B, V+1] of all items as the next one after each history."""


@dataclass(frozen=True)
class Ranks:
    """Ranks of the targets, each [U] int64, 1 is best: masked = the items of the history are no candidates."""

    masked_best: Tensor  # ties in favour of the target
    masked_worst: Tensor  # ties against the target
    unmasked_best: Tensor
    unmasked_worst: Tensor
    target_in_history: Tensor  # [U] bool
    nll: Tensor | None  # [U] float32, -log softmax over the catalogue; None without a likelihood
    sampled_best: Tensor | None = None  # among the target and its negatives; None without negatives
    sampled_worst: Tensor | None = None


@torch.no_grad()
def rank_all(
    model: Scorer,
    histories: Sequences,
    targets: Tensor,
    negatives: Tensor | None = None,
    *,
    likelihood: bool,
    masked: Sequences | None = None,
    block: int | None = None,
) -> Ranks:
    """Rank the targets [U] of all histories, a block of users at a time.

    Args:
        model: gives the scores.
        histories: what the model sees.
        targets: the held-out items [U].
        negatives: saved items [U, C] that the targets are also ranked among.
        likelihood: whether the scores are logits of a softmax, so that a likelihood exists.
        masked: the items that are no candidates; by default the histories.
        block: users scored together; None leaves it to the size of the catalogue.

    Raises:
        CheckFailed: a score is NaN.
    """
    masked = histories if masked is None else masked
    blocks, parts = user_blocks(histories, block), []
    for users in blocks:
        among = None if negatives is None else negatives[users]
        scores = model.score(histories.select(users))
        parts.append(rank_scores(scores, targets[users], masked.select(users), among, likelihood=likelihood))
    return _join(parts, torch.cat(blocks)) if blocks else _nobody(likelihood)


def user_blocks(histories: Sequences, block: int | None = None) -> list[Tensor]:
    """The row numbers of all histories in blocks that are scored together, from short histories to long ones."""
    if not len(histories):
        return []
    fitting = BLOCK_ELEMENTS[histories.values.device.type] // (histories.n_items + 1)
    return list(torch.split(torch.argsort(histories.lengths, stable=True), block or max(LEAST_USERS, fitting)))


def rank_scores(
    scores: Tensor, targets: Tensor, masked: Sequences, negatives: Tensor | None = None, *, likelihood: bool
) -> Ranks:
    """Rank the targets [B] by their scores [B, V+1]; the items of `masked` are no candidates in the masked ranks.

    A target that is itself masked is a miss: its masked ranks are V+1. Among negatives [B, C] it always is a candidate.

    Raises:
        CheckFailed: a score is NaN.
    """
    candidates = scores[:, 1:]
    _check_scores(candidates, masked)
    target_scores = scores.gather(1, targets[:, None])
    higher = _count(candidates > target_scores)
    equal = _count(candidates == target_scores)
    rows, items = _distinct(masked)
    hidden_scores, references = scores[rows, items], target_scores[rows, 0]
    masked_higher = higher - torch.bincount(rows[hidden_scores > references], minlength=len(scores))
    masked_equal = equal - torch.bincount(rows[hidden_scores == references], minlength=len(scores))
    miss = torch.bincount(rows[items == targets[rows]], minlength=len(scores)) > 0
    last = masked.n_items + 1
    return Ranks(
        masked_best=(1 + masked_higher).masked_fill(miss, last),
        masked_worst=(masked_higher + masked_equal).masked_fill(miss, last),
        unmasked_best=1 + higher,
        unmasked_worst=higher + equal,
        target_in_history=miss,
        nll=candidates.logsumexp(1) - target_scores[:, 0] if likelihood else None,
        **_among(scores, target_scores, negatives),
    )


def _among(scores: Tensor, target_scores: Tensor, negatives: Tensor | None) -> dict[str, Tensor]:
    if negatives is None:
        return {}
    drawn = scores.gather(1, negatives)
    return {
        "sampled_best": 1 + _count(drawn > target_scores),
        "sampled_worst": 1 + _count(drawn >= target_scores),
    }


def _count(matches: Tensor) -> Tensor:
    return matches.sum(1, dtype=torch.int32).long()  # ten times as fast as a sum of int64


def _distinct(sequences: Sequences) -> tuple[Tensor, Tensor]:
    width = sequences.n_items + 1
    keys = torch.unique(sequences.rows * width + sequences.values)
    return keys // width, keys % width


def _check_scores(candidates: Tensor, masked: Sequences) -> None:
    wrong = candidates.sum(1).isnan()
    if wrong.any():
        wrong = candidates.isnan().any(1)
    if wrong.any():
        user = int(masked.users[wrong.nonzero()[0, 0]])
        raise CheckFailed(f"ranking: a score of user {user} is NaN; expected a number for every item")


def _join(parts: list[Ranks], users: Tensor) -> Ranks:
    """The ranks of all users, in their own order, from those of the blocks, in which the users stand as given."""
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Ranks)}
    places = torch.argsort(users)
    joined: dict[str, Any] = {
        name: None if column[0] is None else torch.cat(column)[places].cpu() for name, column in columns.items()
    }
    return Ranks(**joined)


def _nobody(likelihood: bool) -> Ranks:
    ranks = torch.zeros(0, dtype=torch.int64)
    return Ranks(ranks, ranks, ranks, ranks, ranks.bool(), ranks.float() if likelihood else None)

"""The K best items of each user: what a model would recommend.

Items of the history are no candidates. Items with the same score stand in the order of their ids, so that a list
depends on the scores alone; the scores themselves may differ in their last bits when the number of users in a block
changes.

Shapes: B users of a block, U users, V items, K places; score matrices have V+1 columns, column 0 is padding.
"""

import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences
from seqrepro.errors import CheckFailed
from seqrepro.evaluation.ranking import Scorer, user_blocks


@torch.no_grad()
def top_all(model: Scorer, histories: Sequences, k: int, block: int | None = None) -> Tensor:
    """The lists [U, min(k, V)] of all histories, a block of users at a time; see `user_blocks`, `top_items`.

    Raises:
        CheckFailed: a score is NaN.
    """
    lists = histories.values.new_zeros(len(histories), min(k, histories.n_items))
    for users in user_blocks(histories, block):
        shown = histories.select(users)
        lists[users] = top_items(model.score(shown), shown, k)
    return lists


def top_items(scores: Tensor, masked: Sequences, k: int) -> Tensor:
    """The ids [B, min(k, V)] of the items with the highest scores [B, V+1], best first, equal scores by lower id.

    The items of `masked` are no candidates, nor are those with the score -inf. A user who has fewer than k candidates
    gets all of them; 0 fills the rest of the row.

    Raises:
        CheckFailed: a candidate's score is NaN.
    """
    candidates = scores.clone()
    candidates[:, 0] = -torch.inf
    candidates[masked.rows, masked.values] = -torch.inf
    places = min(k, masked.n_items)
    best = candidates.topk(places, dim=1).values
    _check_scores(best, masked)
    higher, tied = candidates > best[:, -1:], candidates == best[:, -1:]
    room = places - higher.sum(1, keepdim=True)
    items = (higher | (tied & (tied.cumsum(1) <= room))).nonzero()[:, 1].view(-1, places)
    kept = candidates.gather(1, items)
    order = kept.argsort(dim=1, descending=True, stable=True)
    return items.masked_fill(kept.isneginf(), 0).gather(1, order)


def _check_scores(best: Tensor, masked: Sequences) -> None:
    wrong = best.isnan().any(1)  # NaN sorts before every number
    if wrong.any():
        user = int(masked.users[wrong.nonzero()[0, 0]])
        raise CheckFailed(f"top items: a score of user {user} is NaN; expected a number for every candidate")

"""First-order Markov chain over items, with popularity as back-off.

score_j = N_ij / sum_k N_ik + b c_j      i = the last item, N_ij = how often j directly followed i, c_j = count of j

Shapes: B rows, V items.
"""

from typing import Any

import torch
from torch import Tensor

from seqrepro.config.architectures.markov import MarkovParameters
from seqrepro.data.sequences import Sequences
from seqrepro.models.histories import ItemLinks, item_links, item_weights
from seqrepro.models.popularity import item_counts


class Markov:
    """Transition probabilities, one sparse row an item."""

    def __init__(self, back_off: float) -> None:
        self.back_off = back_off
        self.links: ItemLinks
        self.counts: Tensor

    def fit(self, train: Sequences) -> None:
        """Count the pairs of consecutive items and divide by the row sums."""
        width = train.n_items + 1
        followed = (train.later_items > 0).nonzero().flatten()
        pairs, counts = torch.unique(train.values[followed] * width + train.values[followed + 1], return_counts=True)
        sources, items = pairs // width, pairs % width
        totals = torch.bincount(sources, counts.double(), minlength=width)
        self.links = item_links(sources, items, counts / totals[sources], train.n_items)
        self.counts = item_counts(train)

    def score(self, histories: Sequences) -> Tensor:
        """Scores [B, V+1] from the last item of each row."""
        return self.links.spread(item_weights(histories.tail(1))) + self.back_off * self.counts

    def state(self) -> dict[str, Tensor]:
        """Transition probabilities and counts."""
        return self.links.state() | {"counts": self.counts}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over transition probabilities and counts."""
        self.links = ItemLinks(state["offsets"], state["items"], state["values"])
        self.counts = state["counts"]


def build(parameters: dict[str, Any], n_items: int) -> Markov:
    """An unfitted Markov chain."""
    return Markov(MarkovParameters.model_validate(parameters).back_off)

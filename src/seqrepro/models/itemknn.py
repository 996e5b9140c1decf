"""Item-based nearest neighbours with cosine similarity (Deshpande & Karypis 2004; Sarwar et al. 2001).

S_ij = G_ij / (|x_i| |x_j| + shrink + 1e-6), S_ii = 0, G = X^T X, X in {0, 1}^(users x items)
Of each column j (the item to be scored) the k largest similarities are kept; ties go to the smaller item id.
score_j = sum_i w_i S_ij      w_i = position_decay^(number of later items of the user)

Shapes: B rows, V items.
"""

from typing import Any

import torch
from torch import Tensor

from seqrepro.config.architectures.itemknn import ItemKNNParameters
from seqrepro.data.sequences import Sequences
from seqrepro.models.histories import ItemLinks, cooccurrence_blocks, item_links, item_weights

EPSILON = 1e-6


class ItemKNN:
    """The nearest neighbours of every item, stored by the item of the history."""

    def __init__(self, parameters: ItemKNNParameters) -> None:
        self.parameters = parameters
        self.links: ItemLinks

    def fit(self, train: Sequences) -> None:
        """Compute the similarities in blocks of columns and keep the nearest neighbours."""
        norms = torch.bincount(item_weights(train).items, minlength=train.n_items + 1).double().sqrt()
        blocks = [self._nearest(block, first, norms) for first, block in cooccurrence_blocks(train)]
        sources, items, values = (torch.cat(column) for column in zip(*blocks, strict=True))
        self.links = item_links(sources, items, values, train.n_items)

    def score(self, histories: Sequences) -> Tensor:
        """Scores [B, V+1]: weighted sums of similarities to the items of each history."""
        return self.links.spread(item_weights(histories, self.parameters.position_decay))

    def state(self) -> dict[str, Tensor]:
        """The kept similarities."""
        return self.links.state()

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over the similarities."""
        self.links = ItemLinks(state["offsets"], state["items"], state["values"])

    def _nearest(self, block: Tensor, first: int, norms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(source, item, similarity) of the links kept in a block of columns of G that starts at item `first`."""
        columns, sources = block.T.nonzero().T
        targets = columns + first
        counts = block[sources, columns].double()
        similarity = counts / (norms[sources] * norms[targets] + self.parameters.shrink + EPSILON)
        similarity = similarity.masked_fill(sources == targets, 0.0)
        order = torch.argsort(similarity, descending=True, stable=True)
        order = order[torch.argsort(columns[order], stable=True)]
        sizes = torch.bincount(columns, minlength=block.shape[1])
        place = torch.arange(len(order)) - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
        kept = order[(place < self.parameters.neighbours) & (similarity[order] > 0)]
        return sources[kept], targets[kept], similarity[kept]


def build(parameters: dict[str, Any], n_items: int) -> ItemKNN:
    """An unfitted nearest-neighbour model."""
    return ItemKNN(ItemKNNParameters.model_validate(parameters))

"""CL4SRec: the next item, and beside it two augmented views of each history that must be told from all others.

loss = L_next + weight * InfoNCE(z^1, z^2),   z^v = h at the newest item of view v of the history s_1..s_{n-1} of a row

L_next is cross-entropy or binary cross-entropy on the true rows. The views are those of `augmentation`, of the last L
items; the network sees them in two passes of their own, with dropout of their own. s_n is in no view: it is a target.

Source: Xie et al. 2022. Its authors' code is not known; the public re-implementations differ, and none is followed in
all. As in DuoRec's, z is the representation of the newest item, there is no projection, similarity is the inner
product, the two operations of a row differ, and the ratios are 0.6 (kept), 0.3 (masked), 0.6 (shuffled); unlike there,
the views are copies, so that what L_next sees stays whole. With `all_positions` a row is a user, as in ICLRec's.

A batch of one row has nothing to tell it from, and then only L_next counts.

Shapes: B rows, D width.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from seqrepro.data.sequences import Sequences
from seqrepro.data.splits import Split
from seqrepro.models.interfaces import SequentialModel
from seqrepro.training.augmentation import Augmentation
from seqrepro.training.contrastive import info_nce
from seqrepro.training.objectives import bce, cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch

BASES: dict[str, Callable[..., Any]] = {"bce": bce.build, "cross_entropy": cross_entropy.build}


class CL4SRec:
    """The objective; views come from the generator of augmentations, negatives from that of negatives."""

    def __init__(self, parameters: dict[str, Any], split: Split) -> None:
        base, chosen = parameters["base"], parameters
        self.next_item = BASES[base["name"]](base, split)
        self.weight: float = chosen["weight"]
        self.temperature, self.cosine = chosen["temperature"], chosen["cosine"]
        self.augmentation = Augmentation(chosen["crop"], chosen["mask"], chosen["reorder"])

    def loss(self, model: SequentialModel, batch: Batch, randomness: Randomness) -> Tensor:
        """The weighted sum of both losses."""
        loss: Tensor = self.next_item.loss(model, batch, randomness)
        if len(batch.rows) < 2:
            return loss
        return loss + self.weight * self.contrast(model, batch.rows, randomness)

    def contrast(self, model: SequentialModel, rows: Sequences, randomness: Randomness) -> Tensor:
        """InfoNCE between two views of what stands before the last item of each row."""
        histories = rows.head(rows.lengths - 1).tail(model.max_length)
        views = self.augmentation.two_views(histories, randomness.augmentation)
        first, second = (model.last_hidden(view) for view in views)  # each [B, D]
        return info_nce(first, second, self.temperature, self.cosine)


def build(parameters: dict[str, Any], split: Split) -> CL4SRec:
    """The objective named `cl4srec`; parameters base, weight, temperature, cosine, crop, mask, reorder."""
    return CL4SRec(parameters, split)

"""Training views: which positions of a training row a model predicts, and from what.

`all_positions`: a row s_1..s_n gives the targets s_2..s_n, each predicted from all items before it, cut to the last
`max_length`. For a strictly causal model with positions counted from the oldest item shown this is prefix training, as
long as nothing is cut.

Shapes: B rows, L length, D width, T targets of the batch.
"""

import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences, length_groups
from seqrepro.models.interfaces import SequentialModel


def trainable_rows(train: Sequences) -> Tensor:
    """Indices of the rows that have a target, that is, at least two items."""
    return (train.lengths >= 2).nonzero().flatten()


def all_positions(model: SequentialModel, batch: Sequences) -> tuple[Tensor, Tensor]:
    """The representations [T, D] from which the targets [T] of all positions are predicted.

    Rows are computed in groups of similar length, and nothing at padding is returned; the targets come in the order
    of the groups.
    """
    hidden, targets = [], []
    for rows in length_groups((batch.lengths - 1).clamp(max=model.max_length)):
        padded_BL, _ = batch.select(rows).last(model.max_length + 1)
        group_targets = padded_BL[:, 1:]
        real = group_targets != 0
        hidden.append(model.hidden(padded_BL[:, :-1])[real])
        targets.append(group_targets[real])
    return torch.cat(hidden), torch.cat(targets)

"""The Cloze task: some items of a row are hidden behind a mask, and predicted from what is left on both sides.

The rule of BERT4Rec (Sun et al. 2019; its code replaces every chosen item by the mask, none by another item). For each
row of n >= 2 items, by itself:

- with probability `last_share`, only the last item is masked, as in evaluation;
- otherwise k = max(1, round(ratio n)) different positions, all sets of k equally likely, but never all n: k <= n - 1.

So every row has at least one masked item and at least one that is seen. Halves are rounded to the even number. The code
also has a cap on k, which is ratio times the longest row in its own settings and so never binds.

loss = mean over the M masked positions of -log softmax(E_{1..V} h)[item behind the mask]

Shapes: B rows, L length, D width, V items, M masked positions of the batch.
"""

import torch
from torch import Tensor

from seqrepro.errors import InputError
from seqrepro.training.softmax import mean_cross_entropy


def draw_mask(lengths: Tensor, max_length: int, ratio: float, last_share: float, generator: torch.Generator) -> Tensor:
    """Which items are masked: [B, L] bool, False at padding, on the device of `lengths`.

    Args:
        lengths: items of each row, padded on the right, [B].
        max_length: L, at least the longest row.
        ratio: share of a row's items that is masked, in (0, 1).
        last_share: probability that only the last item of a row is masked, in [0, 1].
        generator: the CPU generator of masks.

    Raises:
        InputError: a row of fewer than 2 items, which would be masked wholly or not at all.
    """
    if len(lengths) and int(lengths.min()) < 2:
        raise InputError(f"masking: a row of {int(lengths.min())} items; expected at least 2")
    n = lengths.cpu()[:, None]
    places = torch.arange(max_length)
    order = torch.rand(len(n), max_length, generator=generator, dtype=torch.float64)
    rank = order.masked_fill(places >= n, 2.0).argsort(dim=1, stable=True).argsort(dim=1)  # padding comes last
    count = (n * ratio).round().long().clamp(min=1).minimum(n - 1)
    only_last = torch.rand(len(n), 1, generator=generator, dtype=torch.float64) < last_share
    return torch.where(only_last, places == n - 1, rank < count).to(lengths.device)


def masked_item_loss(hidden: Tensor, table: Tensor, padded: Tensor, masked: Tensor) -> Tensor:
    """Mean cross-entropy over the masked positions; representations elsewhere play no part.

    Args:
        hidden: representations [B, L, D] of the rows with masks in them.
        table: item embeddings [V+1, D]; row 0 is padding, and the mask has no row here: neither is a class.
        padded: the true item ids 1..V, 0 at padding, [B, L].
        masked: which of them were masked, [B, L] bool.
    """
    return mean_cross_entropy(hidden[masked], table, padded[masked])

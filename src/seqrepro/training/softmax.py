"""Softmax cross-entropy over the full catalogue without the full matrix of logits.

The logits of T targets and V items would be the largest tensors of a training, many times over. Here they exist for
a few targets at a time, always in the same memory. With probabilities p = softmax(E h) and the target's embedding e:

    loss = log(sum_j exp <h, e_j>) - <h, e>      d loss / d h = E^T p - e      d loss / d e_j = p_j h, less h for e

A chunk of targets gives its losses and its share of the gradients, and is forgotten. Value and gradients are those of
the ordinary computation, up to rounding. There is no second derivative. Under autocast the factors of the matrix
products have its precision; logits, probabilities and sums keep that of E.

Shapes: T targets, C targets of a chunk, D width, V items.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = {"cpu": 2**19, "cuda": 2**28}  # logits held at a time: a cache, or a part of the GPU's memory


def mean_cross_entropy(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """Mean over the targets of -log softmax(E_{1..V} h)[target].

    Args:
        hidden: representations h [T, D].
        table: item embeddings E [V+1, D]; row 0 is padding, which is no class and gets no gradient.
        targets: item ids 1..V, [T].
    """
    return cast(Tensor, _MeanCrossEntropy.apply(hidden, table, targets))  # type: ignore[no-untyped-call]


class _MeanCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        device, own = hidden.device.type, targets - 1
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else table.dtype
        with torch.autocast(device, enabled=False):
            shown, items = hidden.to(precision), table[1:].to(precision)
            hidden_gradient = -table[targets]
            table_gradient = torch.zeros_like(table).index_add_(0, targets, hidden.to(table.dtype), alpha=-1)
            total = _add_chunks(shown, items, own, hidden_gradient, table_gradient[1:])
        ctx.save_for_backward(hidden_gradient.div_(len(targets)), table_gradient.div_(len(targets)))
        return total / len(targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden_gradient, table_gradient = ctx.saved_tensors
        return gradient * hidden_gradient, gradient * table_gradient, None


def _add_chunks(hidden: Tensor, items: Tensor, own: Tensor, of_hidden: Tensor, of_items: Tensor) -> Tensor:
    """Add E^T p and p h^T to the gradients [T, D] and [V, D], and return the sum of the losses."""
    size = max(hidden.shape[1], CHUNK_ELEMENTS[hidden.device.type] // len(items))
    memory, total = of_items.new_zeros(min(size, len(hidden)), len(items)), of_items.new_zeros(())
    for first in range(0, len(hidden), size):
        rows = slice(first, first + size)
        logits = _add_product(memory[: len(hidden[rows])], hidden[rows], items.T, keep=0)  # [C, V]
        above_own = logits.amax(1) - logits.gather(1, own[rows, None])[:, 0]
        probabilities = torch.softmax(logits, 1, out=logits)
        total += (above_own - probabilities.amax(1).log()).sum()
        factors = probabilities.to(items.dtype)
        _add_product(of_hidden[rows], factors, items)
        _add_product(of_items, factors.T, hidden[rows])
    return total


def _add_product(total: Tensor, left: Tensor, right: Tensor, keep: int = 1) -> Tensor:
    """total <- keep total + left right, in place; the factors may be of lower precision than the total."""
    if left.dtype == total.dtype:
        return total.addmm_(left, right, beta=keep)
    return total.mul_(keep).add_(left @ right)

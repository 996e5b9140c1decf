"""Softmax cross-entropy over the full catalogue without the full matrix of logits.

The logits of T targets and V items would be the largest tensors of a training, many times over. Here they exist for
a few targets at a time: each chunk of them gives its losses and its share of the gradients, and is forgotten. The value
and the gradients are those of the ordinary computation, up to the order of sums. There is no second derivative.

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
        with_gradients = any(ctx.needs_input_grad)
        total = hidden.new_zeros(())
        hidden_gradient, table_gradient = torch.empty_like(hidden), torch.zeros_like(table)
        for rows in _chunks(hidden, table):
            log_probability = torch.log_softmax(hidden[rows] @ table[1:].T, dim=1)  # [C, V]
            of_target = targets[rows, None] - 1
            total -= log_probability.gather(1, of_target).sum()
            if with_gradients:
                error = log_probability.exp_()
                error.scatter_add_(1, of_target, error.new_full(of_target.shape, -1.0))
                torch.mm(error, table[1:], out=hidden_gradient[rows])
                table_gradient[1:].addmm_(error.T, hidden[rows])
        ctx.save_for_backward(hidden_gradient.div_(len(targets)), table_gradient.div_(len(targets)))
        return total / len(targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden_gradient, table_gradient = ctx.saved_tensors
        return gradient * hidden_gradient, gradient * table_gradient, None


def _chunks(hidden: Tensor, table: Tensor) -> list[slice]:
    size = max(1, CHUNK_ELEMENTS[hidden.device.type] // len(table))
    return [slice(first, first + size) for first in range(0, len(hidden), size)]

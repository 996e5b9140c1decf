"""The logarithm of the softmax's denominator, with two derivatives, without the full matrix of logits.

Of T targets and V items only a few targets' logits exist at a time, as in `seqrepro.training.softmax`, whose loss has
one derivative. With Z = H E^T and P = softmax(Z) by rows:

    F(H, E) = sum_t log sum_j exp Z_tj          dF / dH = A = P E,   dF / dE = B = P^T H

and for any S(H, E) = <U, A> + <W, B> with U, W held:

    M = U E^T + H W^T,   Q = P * (M - rowsum(P * M)),   dS / dH = Q E + P W,   dS / dE = Q^T H + P^T U

Shapes: T targets, C targets of a chunk, D width, V items.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = 2**19  # logits held at a time


def total_log_sum_exp(hidden: Tensor, items: Tensor) -> Tensor:
    """F for representations H [T, D] and items E [V, D], a scalar."""
    return cast(Tensor, _LogSumExp.apply(hidden, items))  # type: ignore[no-untyped-call]


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, items: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, items)
        sums = [(hidden[rows] @ items.T).logsumexp(1).sum() for rows in _chunks(hidden, items)]
        return torch.stack(sums).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        of_hidden, of_items = _Gradients.apply(*ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return gradient * of_hidden, gradient * of_items


class _Gradients(torch.autograd.Function):
    """A and B."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(hidden, items)
        mixed, gathered = torch.empty_like(hidden), torch.zeros_like(items)
        for rows in _chunks(hidden, items):
            probabilities = torch.softmax(hidden[rows] @ items.T, 1)  # [C, V]
            torch.mm(probabilities, items, out=mixed[rows])
            gathered.addmm_(probabilities.T, hidden[rows])
        return mixed, gathered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, along_mixed: Tensor, along_gathered: Tensor) -> tuple[Tensor, Tensor]:
        """dS / dH and dS / dE, for U [T, D] and W [V, D]."""
        hidden, items = ctx.saved_tensors
        of_hidden, of_items = torch.empty_like(hidden), torch.zeros_like(items)
        for rows in _chunks(hidden, items):
            own, along = hidden[rows], along_mixed[rows]
            probabilities = torch.softmax(own @ items.T, 1)  # [C, V]
            change = (along @ items.T).addmm_(own, along_gathered.T).mul_(probabilities)  # P * M
            change.sub_(probabilities * change.sum(1, keepdim=True))  # Q
            torch.mm(change, items, out=of_hidden[rows]).addmm_(probabilities, along_gathered)
            of_items.addmm_(change.T, own).addmm_(probabilities.T, along)
        return of_hidden, of_items


def _chunks(hidden: Tensor, items: Tensor) -> Iterator[slice]:
    size = max(hidden.shape[1], CHUNK_ELEMENTS // len(items))
    return (slice(first, first + size) for first in range(0, len(hidden), size))

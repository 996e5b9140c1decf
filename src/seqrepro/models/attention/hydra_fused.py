"""Causal Hydra attention with its products and its running sum in one pass over memory; nothing uses it unasked.

    out_t = q_t * S_t,    S_t = sum over s <= t of k_s * v_s                                 products by feature
    dq_t  = g_t * S_t,    dk_s = v_s * R_s,    dv_s = k_s * R_s,    R_s = sum over t >= s of g_t * q_t

with g the gradient of out. Written as two products and a cumsum, as `hydra.py` has them, these go through memory
several times; the least is to read each input once and to write each result once. The sum S is not kept for the way
back but made again. What does it is a module with the functions `forward` and `backward`: `hydra_c` for a CPU with a C
compiler, `hydra_triton` for a GPU.

Shapes: B rows, T length, D width.
"""

from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seqrepro.models.attention.hydra import Hydra
from seqrepro.models.attention.interface import NORM_FLOOR, masked, wide


class FusedHydra(Hydra):
    """The published operator; in both directions, and step by step, it is Hydra as it is."""

    def __init__(self, width: int, kernels: ModuleType) -> None:
        super().__init__(width, "none", False)
        self.kernels = kernels

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it."""
        if not causal:
            return super().forward(query, key, value, real, causal)
        with wide(query.flatten(2), key.flatten(2), value.flatten(2)) as (q, k, v):
            q, k = (F.normalize(one, dim=-1, eps=NORM_FLOOR) for one in (q, k))
            return gated_sum(q, masked(k, real), v, self.kernels).reshape(value.shape).to(value.dtype)


def gated_sum(query: Tensor, key: Tensor, value: Tensor, kernels: ModuleType) -> Tensor:
    """q_t times the sum of k_s * v_s over s <= t.

    Args:
        query: [B, T, D], and so are key and value, of 32 or 64 bits.
        key: as query; zeros at padding.
        value: as query.
        kernels: `hydra_c` or `hydra_triton`.

    Returns:
        [B, T, D]; it has first derivatives, and no second ones.

    Raises:
        InputError: `hydra_c` without a C compiler, or where tensors are not on a CPU.
    """
    return cast(Tensor, GatedSum.apply(query, key, value, kernels))  # type: ignore[no-untyped-call]


class GatedSum(torch.autograd.Function):
    """The product with its gradients."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, kernels: ModuleType) -> Tensor:
        """[B, T, D]."""
        ctx.save_for_backward(query, key, value)
        ctx.kernels = kernels
        return cast(Tensor, kernels.forward(query, key, value))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Those of query, key and value, [B, T, D] each."""
        return *ctx.kernels.backward(gradient, *ctx.saved_tensors), None

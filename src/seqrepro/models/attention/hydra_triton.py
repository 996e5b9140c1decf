"""Kernels of fused Hydra attention for a GPU, in Triton: a program a row and some features.

It goes through the positions in chunks and carries the sum from one to the next, in at least 32 bits, so it reads each
number once and writes each result once. Triton comes with builds of torch for GPUs; this module imports it, and nothing
imports this module unless it asks for these kernels.

Shapes: B rows, T length, D width.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, import-untyped, import-not-found"
# ruff: noqa: ANN001, ANN202

import torch
import triton
import triton.language as tl
from torch import Tensor

POSITIONS, FEATURES = 64, 32  # of a tile; powers of 2


def forward(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The product [B, T, D] of queries, keys and values [B, T, D]; see `hydra_fused.py`."""
    (out,) = _launched(key, value, [query], backwards=False)
    return out


def backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """The gradients of query, key and value, from that of the product; [B, T, D] each."""
    (of_query,) = _launched(key, value, [gradient], backwards=False)
    return of_query, *_launched(gradient, query, [value, key], backwards=True)


def _launched(first: Tensor, second: Tensor, factors: list[Tensor], backwards: bool) -> list[Tensor]:
    """The running sum of first * second, times each of one or two factors; `backwards`: from the last position on."""
    inputs = [one.contiguous() for one in (first, second, *factors)]
    outputs = [torch.empty_like(one) for one in inputs[2:]]
    rows, length, width = first.shape
    pairs = [inputs[2], outputs[0], inputs[-1], outputs[-1]]
    sizes = {"POSITIONS": POSITIONS, "FEATURES": FEATURES, "WIDE": first.dtype == torch.float64}
    grid = rows, triton.cdiv(width, FEATURES)
    _scan[grid](*inputs[:2], *pairs, length, width, BACKWARDS=backwards, TWO=len(factors) == 2, **sizes)
    return outputs


@triton.jit
def _scan(
    a, b, c, c_out, e, e_out, length, width,
    BACKWARDS: tl.constexpr, TWO: tl.constexpr, POSITIONS: tl.constexpr, FEATURES: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0).to(tl.int64) * length * width
    features = tl.program_id(1) * FEATURES + tl.arange(0, FEATURES)
    carried = tl.zeros((FEATURES,), dtype=tl.float64 if WIDE else tl.float32)
    for chunk in range(0, length, POSITIONS):
        steps = chunk + tl.arange(0, POSITIONS)
        places = length - 1 - steps if BACKWARDS else steps  # a chunk is read in the order of the sum
        there = (steps < length)[:, None] & (features < width)[None, :]
        at = start + places[:, None].to(tl.int64) * width + features[None, :]
        terms = tl.load(a + at, mask=there, other=0.0) * tl.load(b + at, mask=there, other=0.0)
        sums = carried[None, :] + tl.cumsum(terms, axis=0)
        tl.store(c_out + at, tl.load(c + at, mask=there, other=0.0) * sums, mask=there)
        if TWO:
            tl.store(e_out + at, tl.load(e + at, mask=there, other=0.0) * sums, mask=there)
        carried += tl.sum(terms, axis=0)

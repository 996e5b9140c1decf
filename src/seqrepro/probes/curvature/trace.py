"""The trace of a symmetric matrix that is only known by its products with vectors: Hutch++ (Meyer et al. 2021).

    tr H = tr Q' H Q + tr R H R,   R = I - Q Q'

Q spans the range of H S for random signs S, so the large eigenvalues are in the first term, which is exact. The second
is Hutchinson's estimate: E z' R H R z for random signs z. Its standard error is that of the whole.

The trace of a diagonal block, given by the projection B onto its coordinates, needs no further products:

    tr B H = sum_q (B q)'(H q) + (B q)'(R H q) + E (B z)' R H R z

The blocks of a partition sum to the whole, as their second and third terms do to theirs.

Shapes: n the size of H, s vectors of each kind.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trace:
    """An estimate and its standard error."""

    value: float
    error: float


def traces(
    product: Callable[[Tensor], Tensor], blocks: list[Tensor], products: int, generator: torch.Generator
) -> list[Trace]:
    """The traces of diagonal blocks, from the same products.

    Args:
        product: multiplies the matrix by a vector [n].
        blocks: masks [n] of coordinates.
        products: how many; a third each for the range, the first and the second term. At least 6, for the error.
        generator: of the signs.
    """
    size, third = len(blocks[0]), products // 3
    sketch = torch.stack([product(_signs(size, generator)).double() for _ in range(min(third, size))])
    basis = torch.linalg.qr(sketch.T).Q.T  # [s, n]
    moved = torch.stack([product(vector).double() for vector in basis])
    rest = moved - (moved @ basis.T) @ basis  # R H q
    known = [float((basis[:, block] * (moved + rest)[:, block]).sum()) for block in blocks]
    samples = torch.tensor([_samples(product, basis, blocks, generator) for _ in range(third)], dtype=torch.float64)
    errors = samples.std(0) / math.sqrt(third)
    return [
        Trace(first + float(second), float(error))
        for first, second, error in zip(known, samples.mean(0), errors, strict=True)
    ]


def _samples(
    product: Callable[[Tensor], Tensor], basis: Tensor, blocks: list[Tensor], generator: torch.Generator
) -> list[float]:
    """(B z)' R H R z for each block."""
    signs = _signs(basis.shape[1], generator)
    moved = _without(product(_without(signs, basis)).double(), basis)
    return [float(signs[block] @ moved[block]) for block in blocks]


def _without(vector: Tensor, basis: Tensor) -> Tensor:
    """R v."""
    return vector - (basis @ vector) @ basis


def _signs(size: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (size,), generator=generator, dtype=torch.float64) * 2 - 1

"""Eigenvalues of a symmetric matrix that is only known by its products with vectors (Lanczos 1950).

    H Q = Q T + beta_m q_{m+1} e_m',   Q orthonormal [m vectors], T tridiagonal

The ends of T's spectrum, largest and smallest in the algebraic sense, are those of H long before m = n. Every new
vector is made orthogonal to all others, twice, so no copies of eigenvalues appear. Where the space is exhausted
(beta = 0) the process goes on from a new random direction; that finds what a start cannot, such as the further copies
of an eigenvalue that H has several times. Vectors are float64 whatever H computes in.

Shapes: n the size of H, m steps, k wanted eigenvalues.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]  # v [n] -> H v [n]
EXHAUSTED = 1e-10  # of the largest entry of T


@dataclass(frozen=True)
class Krylov:
    """An orthonormal basis and the matrix in it."""

    basis: Tensor  # Q [m, n]
    diagonal: Tensor  # [m]
    beside: Tensor  # [m]; the last one leads out of the basis

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues [m] of T, ascending, and its eigenvectors [m, m] in columns."""
        within = self.beside[:-1]
        values, vectors = torch.linalg.eigh(self.diagonal.diag() + within.diag(1) + within.diag(-1))
        return values, vectors


@dataclass(frozen=True)
class Eigenpairs:
    """Some eigenvalues, in the order that was asked for."""

    values: Tensor  # [k]
    vectors: Tensor  # [k, n], of norm 1
    residuals: Tensor  # [k]: ||H v - lambda v|| / |lambda|, measured
    steps: int


def lanczos(
    product: Product, start: Tensor, steps: int, generator: torch.Generator, enough: Callable[[Krylov], bool]
) -> Krylov:
    """At most `steps` products from a start [n], fewer when they are `enough` or the space is exhausted."""
    size = len(start)
    basis = torch.empty(min(steps, size), size, dtype=torch.float64)
    diagonal, beside = torch.zeros(2, len(basis), dtype=torch.float64)
    found = Krylov(basis[:0], diagonal[:0], beside[:0])
    vector = start.double() / start.double().norm()
    for step in range(len(basis)):
        basis[step] = vector
        moved = product(vector).double()
        diagonal[step] = moved @ vector
        moved = _orthogonal(moved, basis[: step + 1])
        beside[step] = moved.norm()
        found = Krylov(basis[: step + 1], diagonal[: step + 1], beside[: step + 1])
        if step + 1 == len(basis) or enough(found):
            break
        if beside[step] <= EXHAUSTED * torch.cat([found.diagonal, found.beside[:-1]]).abs().max():
            beside[step] = 0
            moved = _orthogonal(torch.randn(size, generator=generator, dtype=torch.float64), found.basis)
        vector = _orthogonal(moved / moved.norm(), found.basis)
        vector = vector / vector.norm()
    return found


def eigenpairs(
    product: Product, size: int, wanted: list[int], steps: int, tolerance: float, generator: torch.Generator
) -> Eigenpairs:
    """The wanted eigenvalues of a matrix of that size.

    Args:
        product: multiplies the matrix by a vector.
        size: n.
        wanted: their places in ascending order; -1 is the largest, 0 the smallest. Places that do not exist fall away.
        steps: at most so many products; one more for each eigenvalue measures its residual.
        tolerance: enough when the estimated residuals are below it, as a share of the eigenvalue.
        generator: of the start, and of new directions.
    """
    start = torch.randn(size, generator=generator, dtype=torch.float64)
    space = lanczos(product, start, steps, generator, lambda found: _settled(found, wanted, tolerance))
    values, mixing = space.ritz()
    places = [place for place in wanted if -len(values) <= place < len(values)]
    vectors = mixing[:, places].T @ space.basis
    moved = torch.stack([product(vector).double() for vector in vectors])
    off = (moved - values[places, None] * vectors).norm(dim=1)
    return Eigenpairs(values[places], vectors, off / values[places].abs(), len(values))


def _settled(found: Krylov, wanted: list[int], tolerance: float) -> bool:
    if len(found.diagonal) < len(wanted):
        return False
    values, mixing = found.ritz()
    return bool((found.beside[-1] * mixing[-1, wanted].abs() <= tolerance * values[wanted].abs()).all())


def _orthogonal(vector: Tensor, basis: Tensor) -> Tensor:
    """The part of a vector [n] that is orthogonal to a basis [m, n]."""
    for _ in range(2):
        vector = vector - (basis @ vector) @ basis
    return vector

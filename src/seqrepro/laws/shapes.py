"""The depth and width terms of the Performance Law over several panels at once, each with an intercept of its own.

    P_i(N, d) = w1 (ln N^w3 + p1 / N^w3) + w2 (ln d^w4 + p1 / d^w4) + c_i

for the panels i, by least squares and variable projection (projection.py): the intercepts are the basis.

Shapes: P points of all panels, I panels, K targets at the same points.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqrepro.laws.performance_law import term
from seqrepro.laws.projection import SIGNED, Space, Vector, orthonormal, search, weights

P1 = 0.5  # of the authors' script as published: 1 / pf1 with pf1 = 2


@dataclass(frozen=True)
class Shape:
    """The terms of depth and width, in the sign of the equation."""

    w1: float
    w2: float
    w3: float
    w4: float
    p1: float = P1

    def predict(self, n_blocks: Vector, d_emb: Vector) -> Vector:
        """Both terms at depths and widths of the same shape, without an intercept."""
        depth = self.w1 * term(np.log(n_blocks), self.w3, self.p1)
        return np.asarray(depth + self.w2 * term(np.log(d_emb), self.w4, self.p1), dtype=np.float64)


def fit_shape(n_blocks: Vector, d_emb: Vector, values: Vector, panels: NDArray[np.int64]) -> Shape:
    """The terms that all panels share, from points [P] and the number of the panel of each."""
    return Shape(*map(float, shape_weights(n_blocks, d_emb, values[None], panels)[0]))


def shape_weights(
    n_blocks: Vector, d_emb: Vector, targets_KP: Vector, panels: NDArray[np.int64], p1: float = P1
) -> Vector:
    """[K, 4] w1, w2, w3, w4 of each target, with one intercept a panel."""
    log_n, log_d = np.log(n_blocks), np.log(d_emb)
    space = Space(
        depth=lambda exponents, _: term(log_n, exponents[..., None], p1),
        width=lambda exponents, _: term(log_d, exponents[..., None], p1),
        basis=orthonormal(*(np.where(panels == one, 1.0, 0.0) for one in np.unique(panels))),
        grid=SIGNED,
    )
    exponents_K2 = search(space, targets_KP).exponents
    curves = (term(log_x, exponents_K2[:, [i]], p1) for i, log_x in enumerate((log_n, log_d)))
    scales_K2 = np.stack([np.linalg.norm(space.beside(curve_KP), axis=1) for curve_KP in curves], axis=1)
    return np.concatenate([weights(space, targets_KP, exponents_K2) / scales_K2, exponents_K2], axis=1)

"""Least squares of a sum of two curves, each linear but for one exponent: variable projection, many problems at once.

A form y = basis + v1 f(N; e1) + v2 g(d; e2) is linear but for its exponents (e1, e2). For given ones the linear numbers
are solved, so that two numbers are searched in place of all (Golub and Pereyra 1973). With f and g taken out of the
basis and scaled to length 1, t the target taken out of it, a = f.t, b = g.t and c = f.g, they explain

    (a^2 + b^2 - 2 a b c) / (1 - c^2)

of t.t. Local optima on a fixed grid of exponents are the starts; each is polished by a window that moves and shrinks,
and keeps the signs. Nothing is drawn at random.

Shapes: K problems (targets, or constants of the form), J searches of some of them, S starts, E exponents, O places of a
window, P points, Q columns of the basis.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Places = NDArray[np.intp]
Columns = Callable[[Vector, Places], Vector]  # exponents [J, E] of problems [J] -> the curve at the points [J, E, P]

LARGEST = 30.0
FINITE = 0.9 * LARGEST  # an exponent beyond it has run away: its curve is a step between two levels
SMALLEST = 1e-4  # an exponent so near 0 gives a curve as straight in ln x as its limit
SIGNED = np.multiply.outer([-1, 1], np.geomspace(SMALLEST, LARGEST, 60)).ravel()
SIGNED.sort()
WINDOW = np.linspace(-1, 1, 7)  # in steps of ln |exponent|
FIRST_STEP, MOST_STEPS = 0.6, 80
TINY = 1e-12  # keeps two collinear columns from dividing by zero


@dataclass(frozen=True)
class Space:
    """The forms that are searched: two families of curves, and what they are added to."""

    depth: Columns
    width: Columns
    basis: Vector  # [P, Q] orthonormal columns that are fitted in any case
    grid: Vector  # [E] exponents to start from, ascending; its smallest and largest magnitudes are bounds

    def units(self, exponents_J2E: Vector, problems_J: Places) -> tuple[Vector, Vector]:
        """[J, E, P] twice: what is left of the curves of either axis beside the basis, of length 1."""
        curves = self.depth(exponents_J2E[:, 0], problems_J), self.width(exponents_J2E[:, 1], problems_J)
        depth, width = (self.beside(curve) for curve in curves)
        return depth / _length(depth), width / _length(width)

    def beside(self, curves: Vector) -> Vector:
        """[..., P] curves without their projection on the basis."""
        return np.asarray(curves - (curves @ self.basis) @ self.basis.T, dtype=np.float64)


@dataclass(frozen=True)
class Optima:
    """The best optimum of each problem."""

    exponents: Vector  # [K, 2]
    unexplained: Vector  # [K] the share of the target's squares, beside the basis, that is left
    least: Vector  # [K] the same where exponents may run away
    diverged: NDArray[np.bool_]  # [K] no optimum with finite exponents was found


def orthonormal(*columns: Vector) -> Vector:
    """[P, Q] an orthonormal basis of independent columns [P]."""
    return np.asarray(np.linalg.qr(np.stack(columns, axis=1))[0], dtype=np.float64)


def search(space: Space, targets_KP: Vector, peaks: int = 2, precision: float = 1e-7) -> Optima:
    """The best exponents of each target by least squares.

    Where one level of an axis stands apart, the fit keeps improving while an exponent runs to infinity. The best
    optimum with finite exponents is therefore taken, where there is one; `least` tells what the runaway attains.

    Args:
        space: what is searched.
        targets_KP: [K, P] the values to explain, none of which the basis explains by itself.
        peaks: how many local maxima of each curve are starts, in pairs.
        precision: of the exponents, relative.
    """
    rest_KP = space.beside(targets_KP)
    starts_KS2 = _starts(space, rest_KP, peaks)
    first_KS = _first(starts_KS2)
    problems_J = np.nonzero(first_KS)[0]
    exponents_KS2, left_KS = starts_KS2.copy(), np.full(first_KS.shape, np.inf)
    exponents_KS2[first_KS], explained_J = _polish(
        space, rest_KP[problems_J], problems_J, starts_KS2[first_KS], precision
    )
    left_KS[first_KS] = 1 - explained_J / (rest_KP**2).sum(axis=-1)[problems_J]
    finite_KS = first_KS & (np.abs(exponents_KS2).max(axis=-1) < FINITE)
    diverged_K = ~finite_KS.any(axis=-1)
    best_K = np.where(finite_KS | diverged_K[:, None], left_KS, np.inf).argmin(axis=-1)
    rows = np.arange(len(best_K))
    return Optima(exponents_KS2[rows, best_K], left_KS[rows, best_K], left_KS.min(axis=-1), diverged_K)


def _first(starts_KS2: Vector) -> NDArray[np.bool_]:
    """[K, S] whether a start is the first of its kind."""
    equal_KSS = (starts_KS2[:, :, None] == starts_KS2[:, None]).all(axis=-1)
    return np.asarray(equal_KSS.argmax(axis=-1) == np.arange(starts_KS2.shape[1]))


def weights(space: Space, targets_KP: Vector, exponents_K2: Vector) -> Vector:
    """[K, 2] the weights of the two unit columns; their signs are those of the curves."""
    rest_KP = space.beside(targets_KP)
    depth, width = (unit[:, 0] for unit in space.units(exponents_K2[..., None], np.arange(len(exponents_K2))))
    a, b, c = ((one * other).sum(-1) for one, other in ((depth, rest_KP), (width, rest_KP), (depth, width)))
    return np.asarray(np.stack([a - b * c, b - a * c], axis=1) / np.maximum(1 - c**2, TINY)[:, None], dtype=np.float64)


def _length(curves: Vector) -> Vector:
    squares = np.einsum("...p,...p->...", curves, curves)
    return np.asarray(np.maximum(np.sqrt(squares), TINY)[..., None], dtype=np.float64)


def _starts(space: Space, rest_KP: Vector, peaks: int) -> Vector:
    """[K, S, 2] the highest place of the grid for each curve alone, then all pairs of their highest local maxima.

    On a full factorial grid of sizes the two curves are orthogonal, and these pairs are the local maxima of the whole.
    """
    problems_K = np.arange(len(rest_KP))
    units = space.units(np.tile(space.grid, (len(rest_KP), 2, 1)), problems_K)
    explained = [(unit @ rest_KP[..., None])[..., 0] ** 2 for unit in units]
    first, second = ([one.argmax(axis=1)[:, None], *_peaks(one, peaks)] for one in explained)
    pairs = [(first[0], second[0]), *((i, j) for i in first[1:] for j in second[1:])]
    places = np.stack([np.concatenate(pair, axis=1) for pair in pairs], axis=1)
    return np.asarray(space.grid[places], dtype=np.float64)


def _peaks(explained_KE: Vector, count: int) -> list[Places]:
    """The places [K, 1] of the highest strict local maxima inside the grid, or of the highest place where none is."""
    highest, inner = explained_KE.argmax(axis=1)[:, None], explained_KE[:, 1:-1]
    around = np.maximum(explained_KE[:, :-2], explained_KE[:, 2:])
    heights = np.where(inner > around + 1e-9 * explained_KE.max(axis=1, keepdims=True), inner, -np.inf)
    places = np.argsort(-heights, axis=1, kind="stable")[:, :count]
    is_peak = np.isfinite(np.take_along_axis(heights, places, axis=1))
    return np.hsplit(np.where(is_peak, places + 1, highest), count)


def _polish(
    space: Space, rest_JP: Vector, problems_J: Places, starts_J2: Vector, precision: float
) -> tuple[Vector, Vector]:
    """The optima near the starts [J, 2], and what they explain [J]."""
    signs, logs, explained = np.sign(starts_J2), np.log(np.abs(starts_J2)), np.zeros(len(starts_J2))
    steps, bounds = np.full_like(explained, FIRST_STEP), np.log(np.abs(space.grid))
    for _ in range(MOST_STEPS):
        moving = np.flatnonzero(steps > precision)
        if not len(moving):
            break
        window = logs[moving, :, None] + steps[moving, None, None] * WINDOW
        window = np.clip(window, bounds.min(), bounds.max())
        exponents = signs[moving, :, None] * np.exp(window)
        heights = _explained(*space.units(exponents, problems_J[moving]), rest_JP[moving]).reshape(len(moving), -1)
        best = np.stack(np.unravel_index(heights.argmax(axis=-1), (len(WINDOW), len(WINDOW))), axis=-1)
        found = np.take_along_axis(window, best[..., None], axis=-1)[..., 0]
        far = np.abs(found - logs[moving]).max(axis=-1) > 0.99 * steps[moving]
        logs[moving], explained[moving] = found, heights.max(axis=-1)
        steps[moving] = np.where(far, steps[moving], steps[moving] / 3)
    return signs * np.exp(logs), explained


def _explained(depth_JOP: Vector, width_JOP: Vector, rest_JP: Vector) -> Vector:
    """[J, O, O] the squares that unit columns explain of the targets, each with each."""
    a, b = depth_JOP @ rest_JP[..., None], (width_JOP @ rest_JP[..., None]).swapaxes(-1, -2)
    c = depth_JOP @ width_JOP.swapaxes(-1, -2)
    return np.asarray((a**2 + b**2 - 2 * a * b * c) / np.maximum(1 - c**2, TINY), dtype=np.float64)

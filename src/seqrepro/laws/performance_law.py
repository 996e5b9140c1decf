"""The Performance Law of sequential recommendation and its least-squares fit.

Paper: arXiv 2412.00430 and its published successor P-Law (NeurIPS 2025), Eq. 8.

A metric P (hit rate or NDCG at 10) as a function of depth N (blocks), width d (embedding) and effective data D:

    P(N, d, D) = w1 (ln N^w3 + p1 / N^w3) + w2 (ln d^w4 + p1 / d^w4) + ln D^w5 + p2 / D^w5 + b

Sign convention: that of this equation. The authors' fitting script carries a minus sign in each bracket, so their
published w1 and w2 are ours with the opposite sign. The equation is the form of the fitting script and of the paper's
appendix; it reproduces published fits to six digits, whereas the printed Eq. 8 was not available to check it against.

The authors fit each panel (one dataset, one maximum length, one metric) separately, over N and d alone. The whole
D-term is then one constant: D, w5, p2 and b cannot be told apart, and this module fits their sum as `constant`.
p1 = 1 / pf1 is not fitted; it is given, and the authors search a grid of integers pf1.

Shapes: P points of a panel, E exponents of a grid.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from seqrepro.errors import InputError

Vector = NDArray[np.float64]

DIVERGED = 30.0  # an exponent beyond it has run away: the term is a step between two levels of the grid
SMALLEST = 1e-4  # an exponent so near 0 gives a term as straight in ln x as its limit
EXPONENTS = np.geomspace(1e-3, DIVERGED, 50)
GRID = np.concatenate([-EXPONENTS[::-1], EXPONENTS])  # of starts, for either exponent
STARTS = 3
SIMPLEX = np.array([[0.0, 0.0], [-0.1, 0.0], [0.0, -0.1]])  # a start and its neighbours, in log exponents
TINY = 1e-12  # keeps two collinear columns from dividing by zero


@dataclass(frozen=True)
class Parameters:
    """Parameters of the law in one panel, in the sign convention of the equation."""

    w1: float  # weight of the depth term
    w2: float  # weight of the width term
    w3: float  # exponent of the depth
    w4: float  # exponent of the width
    p1: float  # strength of the decay, given and not fitted
    constant: float  # b and the whole D-term, which one panel cannot separate

    def predict(self, n_blocks: Vector, d_emb: Vector) -> Vector:
        """The metric at depths and widths of the same shape (Eq. 8)."""
        depth = self.w1 * term(np.log(n_blocks), self.w3, self.p1)
        width = self.w2 * term(np.log(d_emb), self.w4, self.p1)
        return np.asarray(depth + width + self.constant, dtype=np.float64)

    @property
    def best_n_blocks(self) -> float | None:
        """The depth N* = p1^(1/w3) of the maximum, or None where the depth term has no maximum above 1."""
        return _maximum(self.w1, self.w3, self.p1)

    @property
    def best_d_emb(self) -> float | None:
        """The width d* = p1^(1/w4) of the maximum, or None where the width term has no maximum above 1."""
        return _maximum(self.w2, self.w4, self.p1)


@dataclass(frozen=True)
class Fit:
    """A fitted law and its errors on the points that it was fitted to."""

    parameters: Parameters
    r2: float  # 1 - SSE / SST, in sample
    supremum_r2: float  # above r2 where exponents that run away to DIVERGED explain more than any optimum
    mae: float  # mean absolute error, in units of the metric
    rmse: float  # root of the mean squared error, in units of the metric
    n_points: int
    diverged: bool  # no optimum with finite exponents was found; exponents and optima then mean nothing


def term(log_size: Vector, exponent: float, p1: float) -> Vector:
    """ln x^w + p1 / x^w of Eq. 8, given ln x (any shape)."""
    power = exponent * log_size
    return np.asarray(power + p1 * np.exp(-power), dtype=np.float64)


def fit(n_blocks: Vector, d_emb: Vector, values: Vector, p1: float) -> Fit:
    """Fit w1, w2, w3, w4 and the constant by least squares on the raw metric (P-Law, Eq. 8).

    Variable projection: for given exponents the law is linear in w1, w2 and the constant, so that only (w3, w4) are
    searched. The local optima of a fixed grid of exponents are the starts; each is polished by the simplex method,
    which keeps the signs. Nothing is drawn at random: the same points give the same fit.

    Least squares need not have a solution here: where one level of an axis stands apart, R2 keeps growing while an
    exponent runs to infinity and the term becomes a step. The fit is therefore the best optimum with finite exponents,
    and `supremum_r2` tells what the runaway attains.

    Args:
        n_blocks: [P] depths, positive.
        d_emb: [P] widths, positive.
        values: [P] the metric.
        p1: the decay constant, positive; the authors use 1 / pf1 with an integer pf1.

    Raises:
        InputError: lengths differ, sizes or p1 are not positive, an axis has fewer than three levels, the metric is
            constant, or something is not finite.
    """
    _check(n_blocks, d_emb, values, p1)
    log_n, log_d = np.log(n_blocks), np.log(d_emb)
    target = values - values.mean()

    optima = [_polish(log_n, log_d, target, start, p1) for start in _starts(_explained(log_n, log_d, target, p1))]
    finite = [optimum for optimum in optima if np.abs(optimum.exponents).max() < 0.9 * DIVERGED]
    best = min(finite or optima, key=_unexplained)
    parameters = _parameters(log_n, log_d, values, best.exponents, p1)
    errors = values - parameters.predict(n_blocks, d_emb)
    r2 = r_squared(values, values - errors)
    return Fit(
        parameters=parameters,
        r2=r2,
        supremum_r2=max(r2, 1 - min(map(_unexplained, optima))),
        mae=float(np.abs(errors).mean()),
        rmse=float(np.sqrt((errors**2).mean())),
        n_points=len(values),
        diverged=not finite,
    )


def log_linear_r2(n_blocks: Vector, d_emb: Vector, values: Vector) -> float:
    """In-sample R2 of a + b ln N + c ln d, the form whose R2 the paper prints as its 'scaling law' baseline."""
    log_n, log_d = np.log(n_blocks), np.log(d_emb)
    return _linear_r2(np.stack([np.ones_like(log_n), log_n, log_d], axis=1), values)


def quadratic_log_r2(n_blocks: Vector, d_emb: Vector, values: Vector) -> float:
    """In-sample R2 of a quadratic in ln N and ln d without interaction: as many free numbers (5) as the law."""
    log_n, log_d = np.log(n_blocks), np.log(d_emb)
    return _linear_r2(np.stack([np.ones_like(log_n), log_n, log_d, log_n**2, log_d**2], axis=1), values)


def r_squared(values: Vector, predictions: Vector) -> float:
    """1 - SSE / SST."""
    return float(1 - ((values - predictions) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def _linear_r2(design: Vector, values: Vector) -> float:
    return r_squared(values, design @ np.linalg.lstsq(design, values, rcond=None)[0])


def _maximum(weight: float, exponent: float, p1: float) -> float | None:
    if weight >= 0 or exponent == 0:
        return None
    log_place = np.log(p1) / exponent
    return float(np.exp(log_place)) if 0 < log_place < 700 else None


def _check(n_blocks: Vector, d_emb: Vector, values: Vector, p1: float) -> None:
    if not len(n_blocks) == len(d_emb) == len(values):
        raise InputError(
            f"panel: found {len(n_blocks)} depths, {len(d_emb)} widths, {len(values)} values, expected equal"
        )
    if not (np.isfinite(p1) and p1 > 0):
        raise InputError(f"p1: {p1}, expected a positive number")
    if not np.isfinite(values).all():
        raise InputError("values: found one that is not finite, expected numbers")
    for name, sizes in (("n_blocks", n_blocks), ("d_emb", d_emb)):
        if not (np.isfinite(sizes) & (sizes > 0)).all():
            raise InputError(f"{name}: found {sizes.min()}, expected finite sizes above 0")
        if (levels := len(np.unique(sizes))) < 3:
            raise InputError(f"{name}: {levels} levels, expected at least 3 (a weight and an exponent are fitted)")
    if np.ptp(values) == 0:
        raise InputError(f"values: all are {values[0]}, expected some variation")


@dataclass(frozen=True)
class _Optimum:
    exponents: Vector  # (w3, w4)
    unexplained: float  # 1 - R2


def _unexplained(optimum: _Optimum) -> float:
    return optimum.unexplained


def _polish(log_n: Vector, log_d: Vector, target: Vector, start: Vector, p1: float) -> _Optimum:
    """The optimum near a start, searched in the logarithms of |w3| and |w4|."""
    signs = np.sign(start)
    variance = float(target @ target)

    def unexplained(logs: Vector) -> float:
        w3, w4 = (signs * np.exp(logs)).tolist()
        rest = target - _projection(_column(log_n, w3, p1), _column(log_d, w4, p1), target)
        return float(rest @ rest) / variance

    corner = np.log(np.abs(start))
    low, high = np.log(SMALLEST), np.log(DIVERGED)
    result = minimize(
        unexplained,
        corner,
        method="Nelder-Mead",
        bounds=[(low, high), (low, high)],
        options={"initial_simplex": corner + SIMPLEX, "xatol": 1e-5, "fatol": 1e-11},
    )
    return _Optimum(signs * np.exp(result.x), float(result.fun))


def _unit(column: Vector) -> Vector:
    centred = column - column.mean()
    return np.asarray(centred / math.sqrt(centred @ centred), dtype=np.float64)


def _column(log_size: Vector, exponent: float, p1: float) -> Vector:
    """[P] the term, centred and of unit length: what is left of it when its weight and the constant are free."""
    return _unit(term(log_size, exponent, p1))


def _columns(log_n: Vector, log_d: Vector, exponents: Vector, p1: float) -> Vector:
    return np.stack([_column(log_n, exponents[0], p1), _column(log_d, exponents[1], p1)], axis=1)


def _explained(log_n: Vector, log_d: Vector, target: Vector, p1: float) -> Vector:
    """[E, E] sum of squares that the law explains, at each (w3, w4) of the grid."""
    depth_EP = np.stack([_column(log_n, exponent, p1) for exponent in GRID])
    width_EP = np.stack([_column(log_d, exponent, p1) for exponent in GRID])
    a, b, between_EE = (depth_EP @ target)[:, None], (width_EP @ target)[None, :], depth_EP @ width_EP.T
    return np.asarray((a**2 + b**2 - 2 * a * b * between_EE) / np.maximum(1 - between_EE**2, TINY), dtype=np.float64)


def _starts(explained_EE: Vector) -> list[Vector]:
    """The (w3, w4) of the highest cell, then of the STARTS highest strict local maxima inside the grid."""
    inner = explained_EE[1:-1, 1:-1]
    size = len(inner)
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    around = np.max([explained_EE[i : i + size, j : j + size] for i, j in shifts], axis=0)
    rows, columns = np.nonzero(inner > around + 1e-9 * explained_EE.max())
    order = np.argsort(-inner[rows, columns], kind="stable")[:STARTS]
    highest = np.unravel_index(np.argmax(explained_EE), explained_EE.shape)
    cells = [
        (int(row), int(column)) for row, column in [highest, *zip(rows[order] + 1, columns[order] + 1, strict=True)]
    ]
    return [GRID[list(cell)] for cell in dict.fromkeys(cells)]


def _projection(first: Vector, second: Vector, target: Vector) -> Vector:
    """[P] the projection of the target on two unit columns, by Gram-Schmidt."""
    rest = second - (first @ second) * first
    weight = float(rest @ target) / max(float(rest @ rest), TINY)
    return np.asarray((first @ target) * first + weight * rest, dtype=np.float64)


def _parameters(log_n: Vector, log_d: Vector, values: Vector, exponents: Vector, p1: float) -> Parameters:
    w3, w4 = (float(exponent) for exponent in exponents)
    terms = [term(log_n, w3, p1), term(log_d, w4, p1)]
    scales = [float(np.linalg.norm(column - column.mean())) for column in terms]
    design = _columns(log_n, log_d, exponents, p1)
    weights = np.asarray(np.linalg.lstsq(design, values - values.mean(), rcond=None)[0], dtype=np.float64)
    w1, w2 = (float(weight) / scale for weight, scale in zip(weights, scales, strict=True))
    constant = float(values.mean() - w1 * terms[0].mean() - w2 * terms[1].mean())
    return Parameters(w1, w2, w3, w4, p1, constant)

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

Shapes: P points of a panel, B targets at the same points, K values of p1, E exponents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqrepro.errors import InputError
from seqrepro.laws.projection import FINITE, SIGNED, Optima, Space, Vector, orthonormal, search, weights


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
    supremum_r2: float  # above r2 where exponents that run away explain more than any optimum
    mae: float  # mean absolute error, in units of the metric
    rmse: float  # root of the mean squared error, in units of the metric
    n_points: int
    diverged: bool  # no optimum with finite exponents was found; exponents and optima then mean nothing


def term(log_size: Vector, exponent: float | Vector, p1: float | Vector) -> Vector:
    """ln x^w + p1 / x^w of Eq. 8, given ln x; shapes that broadcast."""
    power = exponent * log_size
    return np.asarray(power + p1 * np.exp(-power), dtype=np.float64)


def fit(n_blocks: Vector, d_emb: Vector, values: Vector, p1: float) -> Fit:
    """Fit w1, w2, w3, w4 and the constant by least squares on the raw metric (P-Law, Eq. 8).

    Variable projection: for given exponents the law is linear in w1, w2 and the constant, so that only (w3, w4) are
    searched, from many starts; see projection.py. The same points give the same fit.

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
    return fits(n_blocks, d_emb, values, [p1])[0]


def fits(n_blocks: Vector, d_emb: Vector, values: Vector, p1: Sequence[float]) -> list[Fit]:
    """The fit with each p1 of a grid; arguments and errors as of `fit`."""
    check(n_blocks, d_emb, values)
    _check_p1(p1)
    space = _space(n_blocks, d_emb, np.array(p1))
    found = search(space, np.tile(values, (len(p1), 1)))
    return [_fit(n_blocks, d_emb, values, found, place, one) for place, one in enumerate(p1)]


def best_of(candidates: Sequence[Fit]) -> Fit:
    """The fit with the highest R2, the first of equals: how p1 is chosen."""
    return max(candidates, key=lambda candidate: candidate.r2)


def maxima(n_blocks: Vector, d_emb: Vector, targets_BP: Vector, p1: Sequence[float]) -> Vector:
    """[B, 2] N* and d* of the law fitted to each target, p1 chosen anew; NaN where an axis has no maximum above 1.

    Raises:
        InputError: as of `fit`, for any target.
    """
    _check_p1(p1)
    for values in targets_BP:
        check(n_blocks, d_emb, values)
    places_B2, least_B = np.full((len(targets_BP), 2), np.nan), np.full(len(targets_BP), np.inf)
    for one in p1:
        space = _space(n_blocks, d_emb, np.full(len(targets_BP), one))
        found = search(space, targets_BP, peaks=1, precision=1e-3)
        better_B = found.unexplained < least_B
        least_B = np.where(better_B, found.unexplained, least_B)
        signs_B2 = weights(space, targets_BP, found.exponents)
        places_B2[better_B] = _maxima(signs_B2, found.exponents, one)[better_B]
    return places_B2


def r_squared(values: Vector, predictions: Vector) -> float:
    """1 - SSE / SST."""
    return float(1 - ((values - predictions) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def _maximum(weight: float, exponent: float, p1: float) -> float | None:
    place = float(_maxima(np.array(weight), np.array(exponent), p1))
    return None if np.isnan(place) else place


def _maxima(weight: Vector, exponent: Vector, p1: float) -> Vector:
    """p1^(1/w) where the term falls at last, above 1; else NaN, as with an exponent that has run away."""
    log_place = np.log(p1) / np.where(exponent == 0, np.nan, exponent)
    inside = (weight < 0) & (log_place > 0) & (log_place < 700) & (np.abs(exponent) < FINITE)
    return np.exp(np.where(inside, log_place, np.nan))


def _space(n_blocks: Vector, d_emb: Vector, p1_K: Vector) -> Space:
    """The two families of terms, with the p1 of each problem."""
    log_n, log_d = np.log(n_blocks), np.log(d_emb)
    return Space(
        depth=lambda exponents, problems: term(log_n, exponents[..., None], p1_K[problems, None, None]),
        width=lambda exponents, problems: term(log_d, exponents[..., None], p1_K[problems, None, None]),
        basis=orthonormal(np.ones_like(log_n)),
        grid=SIGNED,
    )


def _fit(n_blocks: Vector, d_emb: Vector, values: Vector, found: Optima, place: int, p1: float) -> Fit:
    parameters = _parameters(np.log(n_blocks), np.log(d_emb), values, found.exponents[place], p1)
    errors = values - parameters.predict(n_blocks, d_emb)
    r2 = r_squared(values, values - errors)
    return Fit(
        parameters=parameters,
        r2=r2,
        supremum_r2=max(r2, 1 - float(found.least[place])),
        mae=float(np.abs(errors).mean()),
        rmse=float(np.sqrt((errors**2).mean())),
        n_points=len(values),
        diverged=bool(found.diverged[place]),
    )


def check(n_blocks: Vector, d_emb: Vector, values: Vector, least: int = 3) -> None:
    """Whether a form can be fitted that needs so many levels of either axis.

    Raises:
        InputError: as `fit` has it.
    """
    if not len(n_blocks) == len(d_emb) == len(values):
        raise InputError(
            f"panel: found {len(n_blocks)} depths, {len(d_emb)} widths, {len(values)} values, expected equal"
        )
    if not np.isfinite(values).all():
        raise InputError("values: found one that is not finite, expected numbers")
    for name, sizes in (("n_blocks", n_blocks), ("d_emb", d_emb)):
        if not (np.isfinite(sizes) & (sizes > 0)).all():
            raise InputError(f"{name}: found {sizes.min()}, expected finite sizes above 0")
        if (levels := len(np.unique(sizes))) < least:
            raise InputError(f"{name}: {levels} levels, expected at least {least}")
    if np.ptp(values) == 0:
        raise InputError(f"values: all are {values[0]}, expected some variation")


def _check_p1(p1: Sequence[float]) -> None:
    for one in p1:
        if not (np.isfinite(one) and one > 0):
            raise InputError(f"p1: {one}, expected a positive number")


def _parameters(log_n: Vector, log_d: Vector, values: Vector, exponents: Vector, p1: float) -> Parameters:
    w3, w4 = (float(exponent) for exponent in exponents)
    terms = np.stack([term(log_n, w3, p1), term(log_d, w4, p1)], axis=1)
    centred = terms - terms.mean(axis=0)
    scales = np.linalg.norm(centred, axis=0)
    scaled = np.linalg.lstsq(centred / scales, values - values.mean(), rcond=None)[0]
    w1, w2 = (float(weight) for weight in scaled / scales)
    constant = float(values.mean() - w1 * terms[:, 0].mean() - w2 * terms[:, 1].mean())
    return Parameters(w1, w2, w3, w4, p1, constant)

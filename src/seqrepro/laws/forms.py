"""Forms of a metric as a function of depth N and width d, each fitted by least squares to the points of a panel.

    law         w1 (ln N^w3 + p1/N^w3) + w2 (ln d^w4 + p1/d^w4) + c    P-Law (NeurIPS 2025), Eq. 8; 1/p1 from a grid
    law_half    the same with p1 = 1/2, as in the authors' script
    log_linear  c + a ln N + b ln d                                     what P-Law prints as 'Scaling Law'
    power       c - A N^-a - B d^-b, a and b from 0.01 to 8             a power law with an offset (2203.15556, Eq. 2)
    quadratic   c + a ln N + b ln d + A (ln N)^2 + B (ln d)^2
    linex       quadratic, each square replaced by (e^-st + st - 1)/s^2, t = ln N or ln d about its mean, s free
    v6          w1 (ln N + p1/N^w3) + w2 (ln d + p1/d^w4) + c, p1 free  arXiv 2412.00430 v6 as third-party notes have it
    llm         c + a ln N + b ln d - A (N/d)^2, A not below 0          Wu and Tang, 2408.09895
    size        c - A M^-a, a from 0.01 to 8, M = 5 N d^2               Zhang et al., 2311.11351
    additive    a free number a level of N and of d: the highest R2 of any form without interaction

`linex` is the law with a p1 of its own for either axis, and has the quadratic as its limit at s = 0. `llm` is the law
of language models: N and d stand in logarithms, all discounted by u = exp(-(g N/d)^2). The width of the inner layer is
in proportion to d, and the data are one constant within a panel; ln u then adds a multiple of (N/d)^2.

Other exponents, and skewness, are searched between 1e-4 and 30 with both signs; one that runs away to 30 is taken only
where there is no other optimum. p1 of v6 is one of 62 values, of either sign, from 0.001 to 1000. M counts the numbers
in the matrices of the blocks of HSTU, without the table of items.

Shapes: P points, K constants of a form, J, E see projection.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from seqrepro.laws import performance_law
from seqrepro.laws.performance_law import check
from seqrepro.laws.projection import SIGNED, Places, Space, Vector, orthonormal, search

Shape = Callable[[Vector, Vector, Places], Vector]  # ln x [P], exponents [J, E, 1], problems [J] -> curves [J, E, P]
Design = Callable[[Vector, Vector], Vector]  # sizes [P] twice -> columns [P, Q]
DECAYS = np.geomspace(0.01, 8, 40)
V6_P1 = np.multiply.outer([-1, 1], np.geomspace(0.001, 1000, 31)).ravel()


@dataclass(frozen=True)
class Curve:
    """A fitted form: the metric at depths and widths of the same shape, and how many numbers were fitted."""

    predict: Callable[[Vector, Vector], Vector]
    free: int


@dataclass(frozen=True)
class Form:
    """A form that can be fitted."""

    name: str
    levels: int  # so many of either axis the fit needs
    solve: Callable[[Vector, Vector, Vector], Curve]
    predicts: bool = True  # levels that were not fitted; else only its errors in sample are looked at

    def fit(self, n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
        """The form fitted to depths, widths and values [P].

        Raises:
            InputError: lengths differ, sizes are not positive, an axis has fewer than `levels` levels, the metric is
                constant, or something is not finite.
        """
        check(n_blocks, d_emb, values, self.levels)
        return self.solve(n_blocks, d_emb, values)


def forms(inverse_p1: Sequence[int]) -> dict[str, Form]:
    """All forms by name, the law with its grid of 1/p1."""
    found = [
        Form("law", 3, partial(law, [1 / one for one in inverse_p1])),
        Form("law_half", 3, partial(law, [0.5])),
        Form("log_linear", 2, log_linear),
        Form("power", 3, power),
        Form("quadratic", 3, quadratic),
        Form("linex", 3, linex),
        Form("v6", 3, v6, predicts=False),
        Form("llm", 2, llm),
        Form("size", 2, size),
        Form("additive", 1, additive, predicts=False),
    ]
    return {form.name: form for form in found}


def law(p1: Sequence[float], n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
    """The law with the best p1 of a grid, which counts as a free number if there is a choice."""
    best = performance_law.best_of(performance_law.fits(n_blocks, d_emb, values, p1))
    return Curve(best.parameters.predict, 5 + (len(p1) > 1))


def log_linear(n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
    """The regression on ln N and ln d."""
    return _linear(_log_columns, n_blocks, d_emb, values)


def quadratic(n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
    """The regression on ln N, ln d and their squares."""
    return _linear(lambda n, d: _joined(_log_columns(n, d), np.log(n) ** 2, np.log(d) ** 2), n_blocks, d_emb, values)


def power(n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
    """The power law with an offset."""
    space = _space((_decay, _decay), (np.log(n_blocks), np.log(d_emb)), DECAYS)
    a, b = search(space, values[None]).exponents[0]
    return _linear(lambda n, d: _joined(_ones(n), n**-a, d**-b), n_blocks, d_emb, values, more=2)


def linex(n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
    """The quadratic with a skewness for either axis, 0 and not free where an axis has fewer than four levels."""
    sizes = [np.log(n_blocks), np.log(d_emb)]
    means = [float(logs.mean()) for logs in sizes]
    free = [len(np.unique(logs)) > 3 for logs in sizes]
    curves = [_skewed if one else _square for one in free]
    space = _space((curves[0], curves[1]), (sizes[0] - means[0], sizes[1] - means[1]), SIGNED, *sizes)
    skews = np.where(free, search(space, values[None]).exponents[0], 0.0)

    def columns(n: Vector, d: Vector) -> Vector:
        about = np.log(n) - means[0], np.log(d) - means[1]
        return _joined(_log_columns(n, d), *(skewed(t, skew) for t, skew in zip(about, skews, strict=True)))

    return _linear(columns, n_blocks, d_emb, values, more=sum(free))


def v6(n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
    """The law without the exponents inside the logarithms."""
    space = _space((_log_and_decay, _log_and_decay), (np.log(n_blocks), np.log(d_emb)), SIGNED)
    found = search(space, np.tile(values, (len(V6_P1), 1)), precision=1e-4)
    best = int(np.where(found.diverged & ~found.diverged.all(), np.inf, found.unexplained).argmin())
    p1, (w3, w4) = float(V6_P1[best]), found.exponents[best]
    return _linear(
        lambda n, d: _joined(_ones(n), np.log(n) + p1 * n**-w3, np.log(d) + p1 * d**-w4), n_blocks, d_emb, values, 3
    )


def llm(n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
    """The law of language models, with its discount of deep and narrow models."""
    whole = _solve(_discounted(n_blocks, d_emb), values)
    if whole[-1] < 0:  # a discount that raises the metric: the best one is none
        return Curve(log_linear(n_blocks, d_emb, values).predict, 4)
    return Curve(lambda n, d: _discounted(n, d) @ whole, 4)


def size(n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
    """The power law of the number of parameters without those of the item table."""
    logs = np.log(parameters(n_blocks, d_emb))
    space = _space((_decay, _nothing), (logs, logs), DECAYS)
    a = search(space, values[None]).exponents[0, 0]
    return _linear(lambda n, d: _joined(_ones(n), parameters(n, d) ** -a), n_blocks, d_emb, values, more=1)


def additive(n_blocks: Vector, d_emb: Vector, values: Vector) -> Curve:
    """Main effects of the levels; NaN at a level that was not fitted."""
    known = np.unique(n_blocks), np.unique(d_emb)
    columns = partial(_levels, known)
    effects = np.linalg.lstsq(columns(n_blocks, d_emb), values, rcond=None)[0]

    def predict(n: Vector, d: Vector) -> Vector:
        is_known = np.isin(n, known[0]) & np.isin(d, known[1])
        return np.where(is_known, columns(n, d) @ effects, np.nan)

    return Curve(predict, len(known[0]) + len(known[1]) - 1)


def parameters(n_blocks: Vector, d_emb: Vector) -> Vector:
    """5 N d^2: the numbers in the matrices of N blocks of HSTU whose heads have width d together."""
    return np.asarray(5 * n_blocks * d_emb**2, dtype=np.float64)


def skewed(t: Vector, skew: float | Vector) -> Vector:
    """(e^-st + st - 1) / s^2, and its limit t^2 / 2 at s = 0."""
    s = np.where(skew == 0, 1.0, skew)
    return np.where(skew == 0, t**2 / 2, (np.expm1(-s * t) + s * t) / s**2)


def _space(curves: tuple[Shape, Shape], logs: tuple[Vector, Vector], grid: Vector, *columns: Vector) -> Space:
    """What is searched: a curve of either axis, a constant, and columns that are fitted in any case."""
    (depth, width), (n, d) = curves, logs
    return Space(
        depth=lambda exponents_JE, problems_J: depth(n, exponents_JE[..., None], problems_J),
        width=lambda exponents_JE, problems_J: width(d, exponents_JE[..., None], problems_J),
        basis=orthonormal(np.ones_like(n), *columns),
        grid=grid,
    )


def _decay(logs: Vector, exponent: Vector, _: Places) -> Vector:
    return np.asarray(np.exp(-exponent * (logs - logs.min())), dtype=np.float64)


def _log_and_decay(logs: Vector, exponent: Vector, problems: Places) -> Vector:
    return np.asarray(logs + V6_P1[problems, None, None] * np.exp(-exponent * logs), dtype=np.float64)


def _skewed(logs: Vector, exponent: Vector, _: Places) -> Vector:
    return skewed(logs, exponent)


def _square(logs: Vector, exponent: Vector, _: Places) -> Vector:
    return skewed(logs, np.zeros_like(exponent))


def _nothing(logs: Vector, exponent: Vector, _: Places) -> Vector:
    return np.zeros_like(exponent * logs)


def _ones(sizes: Vector) -> Vector:
    return np.ones_like(sizes)


def _joined(*columns: Vector) -> Vector:
    return np.column_stack(columns)


def _log_columns(n_blocks: Vector, d_emb: Vector) -> Vector:
    return _joined(_ones(n_blocks), np.log(n_blocks), np.log(d_emb))


def _discounted(n_blocks: Vector, d_emb: Vector) -> Vector:
    return _joined(_log_columns(n_blocks, d_emb), -((n_blocks / d_emb) ** 2))


def _levels(known: tuple[Vector, Vector], n_blocks: Vector, d_emb: Vector) -> Vector:
    """[P, Q] an indicator of each level but the first of the depths."""
    return _joined(n_blocks[:, None] == known[0][1:], d_emb[:, None] == known[1]).astype(np.float64)


def _solve(columns_PQ: Vector, values: Vector) -> Vector:
    lengths = np.linalg.norm(columns_PQ, axis=0)
    return np.asarray(np.linalg.lstsq(columns_PQ / lengths, values, rcond=None)[0] / lengths, dtype=np.float64)


def _linear(design: Design, n_blocks: Vector, d_emb: Vector, values: Vector, more: int = 0) -> Curve:
    """A form that is linear in what is left to fit; `more` numbers were fitted before."""
    solved = _solve(design(n_blocks, d_emb), values)
    return Curve(lambda n, d: design(n, d) @ solved, len(solved) + more)

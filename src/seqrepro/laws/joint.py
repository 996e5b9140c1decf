"""One law for several amounts of data, in which the effective data D' is identified.

Within one panel the D-term of the Performance Law is a constant. Over panels i of datasets g, with N- and D-terms that
all share and an intercept a dataset,

    P_i(N, d) = w1 (ln N^w3 + p1 / N^w3) + w2 (ln d^w4 + p1 / d^w4) + h(D'_i) + b_g,    h(D) = ln D^w5 + p2 / D^w5

D' is a measure of the data that training saw, in units of its geometric mean over the panels of the fit; p1 = p2 = 0.5
as in the authors' script. An intercept a dataset says that accuracies differ between catalogues for reasons that are no
amount of data: what more data gives is then read within datasets, and never from one dataset being easier.

The fit has two parts: the differences within panels fit w1 .. w4 (shapes.py), and the means of the panels, less those
terms, fit w5 and b_g. Where all panels of a dataset have the same grid (N, d), this is least squares of the whole,
exactly. Measures of data differ in the second part alone.

Held-out errors are mean absolute errors of points, in units of the metric:
- a dataset left out: everything but its intercept is fitted to the other datasets. The intercept is taken from its
  panel with the fewest tokens; the error is that of its other panels, so that of predicting what more data gives.
- a panel left out: everything is fitted to all others, and the intercept of its dataset comes from its other panels.

Shapes: P points of a panel, I panels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from seqrepro.laws.projection import Vector
from seqrepro.laws.shapes import Shape, fit_shape

P2 = 0.5  # of the authors' script as published
POSITIVE = np.geomspace(1e-4, 10, 120)
EXPONENTS = np.concatenate([-POSITIVE[::-1], [0.0], POSITIVE])  # of starts for w5


@dataclass(frozen=True)
class Amounted:
    """A panel with an amount of data."""

    dataset: str
    n_blocks: Vector  # [P]
    d_emb: Vector
    values: Vector
    log_data: float  # ln D'
    log_tokens: float  # which panel of a dataset has the fewest


@dataclass(frozen=True)
class JointLaw:
    """A fitted law; panels of datasets that it knows can be predicted."""

    shape: Shape
    w5: float
    log_unit: float  # ln of the unit of D'
    intercepts: dict[str, float]  # b of each dataset

    def data_term(self, log_data: float) -> float:
        """h(D') given ln D'."""
        return float(data_term(np.array(log_data - self.log_unit), self.w5))

    def known(self, panel: Amounted) -> Vector:
        """[P] what the law says of a panel without an intercept."""
        return np.asarray(
            self.shape.predict(panel.n_blocks, panel.d_emb) + self.data_term(panel.log_data), dtype=np.float64
        )

    def predict(self, panel: Amounted) -> Vector:
        """[P] the metric of a panel."""
        return np.asarray(self.known(panel) + self.intercepts[panel.dataset], dtype=np.float64)

    def anchored(self, panel: Amounted) -> "JointLaw":
        """The same with the intercept of one more dataset, from one panel of it."""
        intercept = float((panel.values - self.known(panel)).mean())
        return JointLaw(self.shape, self.w5, self.log_unit, self.intercepts | {panel.dataset: intercept})


def data_term(log_data: Vector, w5: float) -> Vector:
    """ln D^w5 + p2 / D^w5, given ln D of any shape."""
    return np.asarray(w5 * log_data + P2 * np.exp(-w5 * log_data), dtype=np.float64)


def fit_joint(panels: Sequence[Amounted], shape: Shape | None = None) -> JointLaw:
    """Fit all numbers of the law; the shape is fitted too where it is not given."""
    shape = shape or shared_shape(panels)
    means_I = np.array([(one.values - shape.predict(one.n_blocks, one.d_emb)).mean() for one in panels])
    sizes_I = np.array([len(one.values) for one in panels], dtype=np.float64)
    logs_I = np.array([one.log_data for one in panels])
    names = list(dict.fromkeys(one.dataset for one in panels))
    datasets_I = np.array([names.index(one.dataset) for one in panels])
    unit = float(logs_I.mean())
    w5 = _exponent(logs_I - unit, means_I, sizes_I, datasets_I)
    rest_I = means_I - data_term(logs_I - unit, w5)
    levels = _levels(rest_I, sizes_I, datasets_I)
    return JointLaw(shape, w5, unit, {name: float(levels[datasets_I == g][0]) for g, name in enumerate(names)})


def shared_shape(panels: Sequence[Amounted]) -> Shape:
    """The terms of depth and width that fit all panels best, each panel at its own level."""
    of_panel = np.repeat(np.arange(len(panels)), [len(one.values) for one in panels])
    parts = zip(*((one.n_blocks, one.d_emb, one.values) for one in panels), strict=True)
    n_blocks, d_emb, values = map(np.concatenate, parts)
    return fit_shape(n_blocks, d_emb, values, of_panel)


def within_r2(panels: Sequence[Amounted], law: JointLaw) -> float:
    """In-sample R2 of all points around the means of their datasets, which the intercepts are not credited with."""
    errors = sum(float(((one.values - law.predict(one)) ** 2).sum()) for one in panels)
    datasets = [np.concatenate([one.values for one in own]) for own in _by_dataset(panels).values()]
    return 1 - errors / sum(float(((values - values.mean()) ** 2).sum()) for values in datasets)


def dataset_out_error(panels: Sequence[Amounted], shapes: Callable[[Sequence[Amounted]], Shape]) -> float | None:
    """The held-out error with a dataset left out at a time; None where there is nothing to fit or to predict.

    Args:
        panels: of all datasets.
        shapes: gives the shared shape of some panels; the same for all measures of data, so that it may remember.
    """
    errors = []
    for name, own in _by_dataset(panels).items():
        others = [one for one in panels if one.dataset != name]
        if len(own) > 1 and max((len(one) for one in _by_dataset(others).values()), default=0) > 1:
            first = min(own, key=lambda one: one.log_tokens)
            law = fit_joint(others, shapes(others)).anchored(first)
            errors += [np.abs(one.values - law.predict(one)) for one in own if one is not first]
    return float(np.concatenate(errors).mean()) if errors else None


def panel_out_error(panels: Sequence[Amounted], shapes: Callable[[Sequence[Amounted]], Shape]) -> float | None:
    """The held-out error with a panel left out at a time, where two of its dataset stay; arguments as above."""
    errors = []
    for place, left in enumerate(panels):
        others = [one for i, one in enumerate(panels) if i != place]
        if sum(one.dataset == left.dataset for one in others) > 1:
            errors.append(np.abs(left.values - fit_joint(others, shapes(others)).predict(left)))
    return float(np.concatenate(errors).mean()) if errors else None


def _exponent(logs_I: Vector, means_I: Vector, sizes_I: Vector, datasets_I: NDArray[np.int64]) -> float:
    """w5 by least squares, each dataset at its own level."""

    def squares(w5: float) -> float:
        rest_I = means_I - data_term(logs_I, w5)
        return float((sizes_I * (rest_I - _levels(rest_I, sizes_I, datasets_I)) ** 2).sum())

    start = int(np.argmin([squares(one) for one in EXPONENTS]))
    around = EXPONENTS[max(start - 1, 0)], EXPONENTS[min(start + 1, len(EXPONENTS) - 1)]
    return float(minimize_scalar(squares, bounds=around, method="bounded", options={"xatol": 1e-10}).x)


def _levels(values_I: Vector, sizes_I: Vector, datasets_I: NDArray[np.int64]) -> Vector:
    """[I] the weighted mean of each panel's dataset."""
    sums = np.bincount(datasets_I, sizes_I * values_I) / np.bincount(datasets_I, sizes_I)
    return np.asarray(sums[datasets_I], dtype=np.float64)


def _by_dataset(panels: Sequence[Amounted]) -> dict[str, list[Amounted]]:
    names = dict.fromkeys(one.dataset for one in panels)
    return {name: [one for one in panels if one.dataset == name] for name in names}

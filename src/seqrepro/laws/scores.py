"""How well each form describes a panel, and how well it predicts levels of N or d that were left out.

In sample: R2 = 1 - SSE/SST, the mean absolute error, the root of the mean squared error, and with k = free numbers + 1
(the variance) and n points

    AICc = n ln(SSE/n) + 2k + 2k(k + 1)/(n - k - 1),

which has no value where n <= k + 1.

Held out: all points of one level are left out, the form is fitted to the rest and predicts them. `largest_n_mae` and
`largest_d_mae` are the mean absolute errors at the largest level of an axis, `held_out_mae` their mean; `level_mae` is
that of all levels of both axes, each left out in turn. Carry-forward, the least that a prediction must beat, takes the
value of the next smaller level (of the next larger one for the smallest). A form has no such error where the rest has
too few levels for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from seqrepro.errors import InputError
from seqrepro.laws.forms import Curve, Form
from seqrepro.laws.panels import AXES, Axis, Panel, Row
from seqrepro.laws.performance_law import r_squared
from seqrepro.laws.projection import Vector
from seqrepro.laws.tables import stable

IN_SAMPLE = ("free", "r2", "mae", "rmse", "aicc")
HELD_OUT = ("held_out_mae", "largest_n_mae", "largest_d_mae", "level_mae")


@dataclass(frozen=True)
class Split:
    """A panel without one level of an axis, and what was left out."""

    axis: Axis
    rest: Panel
    left: Panel

    @property
    def is_largest(self) -> bool:
        """Whether the largest level was left out."""
        return bool(self.left.levels(self.axis)[0] > self.rest.levels(self.axis)[-1])


def scores(panel: Panel, forms: Mapping[str, Form]) -> Row:
    """The numbers of all forms on a panel; the law's have no prefix, others that of their name.

    Raises:
        InputError: the panel cannot be fitted by some form.
    """
    found = named("carry_forward", held_out(panel, carry_forward))
    for form in forms.values():
        curve = form.fit(panel.n_blocks, panel.d_emb, panel.values)
        errors = held_out(panel, partial(predicted, form)) if form.predicts else {}
        found |= named(form.name, in_sample(panel, curve) | errors)
    return {"n_points": len(panel.values)} | found


def named(form: str, numbers: Row) -> Row:
    """The columns of a form: with its name as a prefix, but for the law."""
    prefix = "" if form == "law" else f"{form}_"
    return {prefix + name: stable(value) for name, value in numbers.items()}


def in_sample(panel: Panel, curve: Curve) -> Row:
    """The errors of a fitted form on the points that it was fitted to."""
    errors = panel.values - curve.predict(panel.n_blocks, panel.d_emb)
    return {
        "free": curve.free,
        "r2": r_squared(panel.values, panel.values - errors),
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "aicc": aicc(float((errors**2).sum()), len(errors), curve.free),
    }


def held_out(panel: Panel, predict: Any) -> Row:
    """The mean absolute errors on levels left out of what `predict` makes of a split: values [P], or None."""
    found = list(splits(panel))
    errors = [None if (told := predict(split)) is None else np.abs(told - split.left.values) for split in found]
    largest = [one for split, one in zip(found, errors, strict=True) if split.is_largest]
    n, d = (None if one is None else float(one.mean()) for one in largest)
    every = [one for one in errors if one is not None]
    return {
        "held_out_mae": None if n is None or d is None else (n + d) / 2,
        "largest_n_mae": n,
        "largest_d_mae": d,
        "level_mae": float(np.concatenate(every).mean()) if len(every) == len(errors) else None,
    }


def splits(panel: Panel) -> Iterator[Split]:
    """Each level of either axis left out in turn, ascending.

    Raises:
        InputError: an axis has one level only.
    """
    for axis in AXES:
        if len(panel.levels(axis)) < 2:
            raise InputError(f"{axis}: 1 level, expected at least 2 (one is left out)")
        for level in panel.levels(axis):
            here = getattr(panel, axis) == level
            yield Split(axis, panel.where(~here), panel.where(here))


def predicted(form: Form, split: Split) -> Vector | None:
    """[P] what a form says of the level left out; None where the rest has too few levels for it."""
    rest, left = split.rest, split.left
    if any(len(rest.levels(axis)) < form.levels for axis in AXES):
        return None
    return form.fit(rest.n_blocks, rest.d_emb, rest.values).predict(left.n_blocks, left.d_emb)


def carry_forward(split: Split) -> Vector:
    """[P] the value of the next smaller level (of the next larger one, if there is none), else unchanged.

    Raises:
        InputError: that point is not there.
    """
    other = AXES[1 - AXES.index(split.axis)]
    level, levels = split.left.levels(split.axis)[0], split.rest.levels(split.axis)
    source = split.rest.where(getattr(split.rest, split.axis) == levels[max(np.searchsorted(levels, level) - 1, 0)])
    known = dict(zip(getattr(source, other).tolist(), source.values.tolist(), strict=True))
    try:
        return np.array([known[size] for size in getattr(split.left, other).tolist()])
    except KeyError as error:
        raise InputError(f"panel: no point at {other} {error}, expected a full grid") from None


def aicc(squares: float, points: int, free: int) -> float | None:
    """Akaike's criterion for a small sample; None where it is not defined, or where nothing is left to explain."""
    k = free + 1
    if points <= k + 1 or squares <= 0:
        return None
    return points * float(np.log(squares / points)) + 2 * k + 2 * k * (k + 1) / (points - k - 1)

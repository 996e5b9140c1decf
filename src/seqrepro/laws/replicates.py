"""What several seeds say of a panel: how much of its spread is shape at all, and whether a form lacks fit.

Each seed has run at every point, so that a value is

    Y_sp = mean + seed_s + shape_p + error_sp,

the layout of randomised blocks. With M the mean square of the errors, (S - 1)(P - 1) degrees of freedom, and Y_p the
mean over seeds:

    shape:       F = S sum_p (Y_p - Y)^2 / (P - 1) / M         small p: the shapes differ
    lack of fit: F = S sum_p (Y_p - form_p)^2 / (P - k) / M    small p: the form, of k free numbers, misses something

(Draper and Smith, Applied Regression Analysis, chapter 2.) `attainable_r2` = 1 - 1 / F of the shapes is about the R2
that the true means would have on these points, 0 where the shapes differ less than noise does; what a fit attains in
sample beyond it is noise that was fitted. The F of lack of fit is exact for forms that are linear in their numbers, and
else an approximation.

All this takes the noise to be the same at every point. `equal_noise_p` is of Bartlett's test of that, over the points
and with the seeds' levels taken out; where it is small, the noisiest points decide `seed_sd`, and these tests see less
of the differences between the others.

Shapes: P points of a panel, S seeds.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from scipy.stats import bartlett
from scipy.stats import f as f_distribution

from seqrepro.laws.fitted import PANEL
from seqrepro.laws.forms import Form
from seqrepro.laws.panels import Panel, Row
from seqrepro.laws.projection import Vector

TESTED = ("law", "law_half", "log_linear", "quadratic", "power", "additive")
ROUNDING = 1e-12  # noise below this share of the values is arithmetic
REAL, WHOLE, TEXT = pa.float64(), pa.int64(), pa.string()
SCHEMA = pa.schema(
    [
        *((name, WHOLE if name == "max_length" else TEXT) for name in PANEL),
        *((name, WHOLE) for name in ("seeds", "n_points")),
        ("seed_sd", REAL),  # of one run, what neither its seed nor its shape explains
        *((name, REAL) for name in ("shape_f", "shape_p", "attainable_r2", "equal_noise_p")),
        *((f"{form}_lack_of_fit_p", REAL) for form in TESTED),
    ]
)


def replicate_rows(panels: Sequence[Panel], forms: Mapping[str, Form]) -> Iterator[Row]:
    """A row a panel of two seeds or more that differ by more than a level."""
    for panel in panels:
        values_SP = panel.by_seed
        if values_SP is not None and len(values_SP) > 1:
            error = mean_square(values_SP)
            if error > (ROUNDING * np.abs(values_SP).max()) ** 2:
                yield panel.name | _tests(panel, values_SP, error, forms)


def mean_square(values_SP: Vector) -> float:
    """Mean square of what neither seed nor point explains, (S - 1)(P - 1) degrees of freedom."""
    seeds, points = values_SP.shape
    rest_SP = values_SP - values_SP.mean(axis=0) - values_SP.mean(axis=1, keepdims=True) + values_SP.mean()
    return float((rest_SP**2).sum() / ((seeds - 1) * (points - 1)))


def f_test(errors_P: Vector, free: int, values_SP: Vector, error: float) -> tuple[float, float | None]:
    """F and its p value for squares of means over seeds that have P - free degrees of freedom; without any, no p."""
    seeds, points = values_SP.shape
    if points <= free:
        return 0.0, None
    found = seeds * float((errors_P**2).sum()) / (points - free) / error
    return found, float(f_distribution.sf(found, points - free, (seeds - 1) * (points - 1)))


def _tests(panel: Panel, values_SP: Vector, error: float, forms: Mapping[str, Form]) -> Row:
    found, p = f_test(panel.values - panel.values.mean(), 1, values_SP, error)
    told: Row = {"seeds": len(values_SP), "n_points": len(panel.values), "seed_sd": error**0.5}
    told |= {"shape_f": found, "shape_p": p, "attainable_r2": max(0.0, 1 - 1 / found) if found > 0 else 0.0}
    told["equal_noise_p"] = float(bartlett(*(values_SP - values_SP.mean(axis=1, keepdims=True)).T).pvalue)
    for name in TESTED:
        curve = forms[name].fit(panel.n_blocks, panel.d_emb, panel.values)
        errors_P = panel.values - curve.predict(panel.n_blocks, panel.d_emb)
        told[f"{name}_lack_of_fit_p"] = f_test(errors_P, curve.free, values_SP, error)[1]
    return told

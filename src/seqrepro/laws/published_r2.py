"""The table r2: our R2 of each published panel beside the printed one, of the law and of its baseline.

p1 = 1 / pf1 is searched over the grid of the request, as the authors did. Two choices of pf1 are reported, because the
published one is not always the best: `pf1` gives the highest R2 (what the paper says it did), `pf1_closest` the R2
nearest to the published number. The latter looks at the answer: it shows that the form and the points are right, not
that the search is.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from seqrepro.errors import InputError
from seqrepro.laws.csv_rows import number, rows
from seqrepro.laws.forms import log_linear, quadratic
from seqrepro.laws.panels import Key, Panel, Row, panel_key
from seqrepro.laws.performance_law import Fit, best_of, fits
from seqrepro.laws.scores import in_sample
from seqrepro.laws.tables import stable

Published = dict[tuple[Key, str, int], float]  # (panel, model, digits) -> R2
Fits = dict[int, Fit]  # by pf1

R2_COLUMNS = ("dataset", "max_length", "metric", "model", "r2", "digits")
SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("max_length", pa.int32()),
        ("metric", pa.string()),
        ("n_points", pa.int32()),
        ("r2", pa.float64()),  # of the law, at the pf1 with the highest R2
        ("pf1", pa.int32()),
        ("supremum_r2", pa.float64()),  # above r2 where the best exponents are infinite
        ("mae", pa.float64()),
        ("rmse", pa.float64()),
        ("best_n_blocks", pa.float64()),  # N* and d* of the law; null where it has no maximum
        ("best_d_emb", pa.float64()),
        ("published_r2", pa.float64()),  # 6 digits
        ("difference", pa.float64()),  # r2 - published_r2
        ("agrees_6_digits", pa.bool_()),
        ("published_r2_3_digits", pa.float64()),
        ("agrees_3_digits", pa.bool_()),
        ("pf1_closest", pa.int32()),  # chosen with the published R2 in sight
        ("r2_closest", pa.float64()),
        ("difference_closest", pa.float64()),
        ("closest_agrees_6_digits", pa.bool_()),
        ("pf1_agreeing", pa.string()),  # all pf1 of the grid whose R2 agrees to 6 digits
        ("log_linear_r2", pa.float64()),  # the form behind the paper's 'scaling law'
        ("published_scaling_r2", pa.float64()),
        ("difference_scaling", pa.float64()),
        ("scaling_agrees_6_digits", pa.bool_()),
        ("published_scaling_r2_3_digits", pa.float64()),
        ("scaling_agrees_3_digits", pa.bool_()),
        ("quadratic_r2", pa.float64()),  # quadratic in ln N and ln d, 5 free numbers as the law
    ]
)


def read_published(path: Path) -> Published:
    """Published R2 by panel, model and digits.

    Raises:
        InputError: a file or a row that cannot be used, or two values for the same panel, model and digits.
    """
    published: Published = {}
    for place, row in rows(path, R2_COLUMNS):
        key = (panel_key(place, row), row["model"], number(place, row, "digits", int))
        if key in published:
            raise InputError(f"{place}: a second R2 of {row['model']} at {key[2]} digits, expected one a panel")
        published[key] = number(place, row, "r2", float)
    return published


def fits_of(panel: Panel, inverse_p1: Sequence[int]) -> Fits:
    """The law with each 1/p1 of the grid."""
    found = fits(panel.n_blocks, panel.d_emb, panel.values, [1 / pf1 for pf1 in inverse_p1])
    return dict(zip(inverse_p1, found, strict=True))


def best_pf1(found: Fits) -> int:
    """The 1/p1 with the highest R2, the first of equals."""
    best = best_of(list(found.values()))
    return next(pf1 for pf1, one in found.items() if one is best)


def closest_pf1(found: Fits, published: float) -> int:
    """The 1/p1 whose R2 is nearest to the printed one, the first of equals."""
    return min(found, key=lambda pf1: abs(found[pf1].r2 - published))


def r2_row(panel: Panel, found: Fits, published: Published) -> Row:
    """One row of the table: our fits of a panel beside the published R2."""
    baseline, rival = (
        in_sample(panel, form(panel.n_blocks, panel.d_emb, panel.values))["r2"] for form in (log_linear, quadratic)
    )
    scaling = [published.get((panel.key, "scaling_law", digits)) for digits in (6, 3)]
    return {
        "dataset": panel.dataset,
        "max_length": panel.max_length,
        "metric": panel.metric,
        **_best(found, [published.get((panel.key, "performance_law", digits)) for digits in (6, 3)]),
        **_closest(found, published.get((panel.key, "performance_law", 6))),
        "log_linear_r2": stable(baseline),
        "published_scaling_r2": scaling[0],
        "difference_scaling": _difference(baseline, scaling[0]),
        "scaling_agrees_6_digits": agrees_6_digits(baseline, scaling[0]),
        "published_scaling_r2_3_digits": scaling[1],
        "scaling_agrees_3_digits": agrees_3_digits(baseline, scaling[1]),
        "quadratic_r2": stable(rival),
    }


def agrees_6_digits(ours: float, published: float | None) -> bool | None:
    """Whether our number rounds to the published one; None where nothing was published."""
    return None if published is None else math.isclose(round(ours, 6), published, rel_tol=0, abs_tol=1e-9)


def agrees_3_digits(ours: float, published: float | None) -> bool | None:
    """Whether our number rounds or truncates to the published one: the paper's Table 1 does both."""
    if published is None:
        return None
    shortened = (round(ours, 3), math.floor(ours * 1000) / 1000)
    return any(math.isclose(value, published, rel_tol=0, abs_tol=1e-9) for value in shortened)


def _best(found: Fits, published: list[float | None]) -> Row:
    pf1 = best_pf1(found)
    best = found[pf1]
    return {
        "n_points": best.n_points,
        "r2": stable(best.r2),
        "pf1": pf1,
        "supremum_r2": stable(best.supremum_r2),
        "mae": stable(best.mae),
        "rmse": stable(best.rmse),
        "best_n_blocks": stable(best.parameters.best_n_blocks, 3),
        "best_d_emb": stable(best.parameters.best_d_emb, 3),
        "published_r2": published[0],
        "difference": _difference(best.r2, published[0]),
        "agrees_6_digits": agrees_6_digits(best.r2, published[0]),
        "published_r2_3_digits": published[1],
        "agrees_3_digits": agrees_3_digits(best.r2, published[1]),
    }


def _closest(found: Fits, published: float | None) -> Row:
    """The columns that look at the published R2; none where nothing was published."""
    if published is None:
        return {}
    pf1 = closest_pf1(found, published)
    agreeing = [str(candidate) for candidate in found if agrees_6_digits(found[candidate].r2, published)]
    return {
        "pf1_closest": pf1,
        "r2_closest": stable(found[pf1].r2),
        "difference_closest": _difference(found[pf1].r2, published),
        "closest_agrees_6_digits": agrees_6_digits(found[pf1].r2, published),
        "pf1_agreeing": " ".join(agreeing),
    }


def _difference(ours: float, published: float | None) -> float | None:
    return None if published is None else stable(ours - published)

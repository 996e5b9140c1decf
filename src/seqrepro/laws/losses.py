"""Loss and metric by depth in our own runs: does the loss keep falling where the metric has its peak?

The training loss is the mean of the epoch whose weights count, so that loss and metric are of the same weights. Over
depth it is fitted by

    L(N) = A N^-a + c,   a > 0, A >= 0, c >= 0,

the form of the authors' figure (exponent "ad", offset "1/D"), by least squares: for a given exponent the rest is
linear (and not negative), and the exponent is searched. R2 is in sample; of three depths, as many as there are numbers
to fit, it says nothing.

Shapes: P points of a grid, S seeds, N depths.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.optimize import minimize_scalar, nnls

from seqrepro.laws.performance_law import r_squared
from seqrepro.laws.points import WORDS, Grid, Row
from seqrepro.laws.projection import Vector
from seqrepro.ledger.statistics import t_interval

METRIC = "ndcg@10"
EXPONENTS = np.geomspace(1e-3, 30, 60)
REAL, WHOLE, TEXT = pa.float64(), pa.int64(), pa.string()
SCHEMA = pa.schema(
    [
        *((name, WHOLE if name == "max_length" else TEXT) for name in WORDS),
        *((name, WHOLE) for name in ("d_emb", "seeds", "deepest")),
        ("best_depth", WHOLE),  # of the metric, mean over seeds
        *((name, REAL) for name in ("loss_first", "loss_deepest")),  # mean over seeds
        *((name, REAL) for name in ("loss_last_change", "loss_last_change_low", "loss_last_change_high")),
        *((name, REAL) for name in ("loss_r2", "loss_exponent", "loss_offset")),
    ]
)


def loss_rows(grids: Iterable[Grid]) -> Iterator[Row]:
    """A row a grid and width, over its depths; of runs without a training loss there is none."""
    for grid in grids:
        losses_SP, widths_P = grid.of("train_loss"), grid.of("d_emb")[0]
        if not np.isnan(losses_SP).any():
            for width in np.unique(widths_P):
                own = widths_P == width
                depths_N = grid.of("n_blocks")[0, own]
                order = np.argsort(depths_N)
                found = (values_SP[:, own][:, order] for values_SP in (losses_SP, grid.of(METRIC)))
                yield {**grid.words, "d_emb": int(width), **_by_depth(depths_N[order], *found)}


def fit_loss(depths_N: Vector, losses_N: Vector) -> tuple[float | None, float, float]:
    """(R2, exponent a, offset c) of L(N) = A N^-a + c; of losses that are all the same there is no R2."""

    def errors(log_exponent: float) -> float:
        return float(_linear(depths_N, losses_N, np.exp(log_exponent))[1])

    start = int(np.argmin([errors(one) for one in np.log(EXPONENTS)]))
    around = np.log(EXPONENTS[[max(start - 1, 0), min(start + 1, len(EXPONENTS) - 1)]])
    exponent = float(np.exp(minimize_scalar(errors, bounds=tuple(around), method="bounded").x))
    scale, offset = _linear(depths_N, losses_N, exponent)[0]
    r2 = r_squared(losses_N, scale * depths_N**-exponent + offset) if np.ptp(losses_N) > 0 else None
    return r2, exponent, float(offset)


def _linear(depths_N: Vector, losses_N: Vector, exponent: float) -> tuple[Vector, float]:
    """A and c, and the norm of what is left."""
    found: tuple[Vector, float] = nnls(np.stack([depths_N**-exponent, np.ones_like(depths_N)], axis=1), losses_N)
    return found


def _by_depth(depths_N: Vector, losses_SN: Vector, metrics_SN: Vector) -> dict[str, Any]:
    means_N = losses_SN.mean(axis=0)
    r2, exponent, offset = fit_loss(depths_N, means_N)
    change = t_interval((losses_SN[:, -1] - losses_SN[:, -2]).tolist())
    return {
        "deepest": int(depths_N[-1]),
        "best_depth": int(depths_N[metrics_SN.mean(axis=0).argmax()]),
        "loss_first": float(means_N[0]),
        "loss_deepest": float(means_N[-1]),
        **dict(zip(("loss_last_change", "loss_last_change_low", "loss_last_change_high"), change, strict=True)),
        **{"loss_r2": r2, "loss_exponent": exponent, "loss_offset": offset},
    }

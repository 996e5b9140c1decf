"""The optimum N*, d* of the Performance Law in a panel, with its bootstrap interval.

Residual bootstrap: the law is fitted, its residuals are drawn with replacement and added to what it predicts, and the
law is fitted again, its p1 chosen anew. The interval is from the 2.5th to the 97.5th percentile of the draws. A draw
whose fit has no maximum along an axis counts as below the one end and above the other; where such draws reach a
percentile that end is null. Residuals are multiplied by sqrt(P / (P - 5)): a fit of five numbers shrinks them.

Own points that are means over several seeds are drawn anew from the seeds, each point by itself, before residuals are
added. The residuals of means hold a part of that noise as well, so that these intervals are rather too wide.

Shapes: P points, B draws, S seeds.
"""

from collections.abc import Sequence

import numpy as np

from seqrepro.laws.panels import Panel, Row
from seqrepro.laws.performance_law import Fit, best_of, fits, maxima
from seqrepro.laws.projection import Vector
from seqrepro.laws.tables import stable

PERCENTILES = (0.025, 0.975)
FREE = 5  # numbers of the law at one p1


def interval(panel: Panel, inverse_p1: Sequence[int], draws: int, seed: int) -> Row:
    """N* and d* of a panel with 95 % intervals, the range of its grid, and the share of draws without a maximum.

    Args:
        panel: at least three levels of either axis.
        inverse_p1: the grid of 1/p1 that is searched, for the panel and for each draw.
        draws: how many.
        seed: of the draws; a panel's do not depend on other panels.

    Raises:
        InputError: the law cannot be fitted.
    """
    p1 = [1 / one for one in inverse_p1]
    best = best_of(fits(panel.n_blocks, panel.d_emb, panel.values, p1))
    targets_BP = resampled(panel, best, draws, np.random.default_rng(seed))
    found_B2 = maxima(panel.n_blocks, panel.d_emb, targets_BP, p1)
    law = best.parameters
    depth = _axis("n", law.best_n_blocks, found_B2[:, 0], panel.n_blocks)
    width = _axis("d", law.best_d_emb, found_B2[:, 1], panel.d_emb)
    without = float(np.isnan(found_B2).any(axis=1).mean())
    return {"pf1": round(1 / law.p1), "draws": draws} | depth | width | {"without_optimum": stable(without)}


def resampled(panel: Panel, best: Fit, draws: int, stream: np.random.Generator) -> Vector:
    """[B, P] values as they might have come out, if the law with this fit were true."""
    points = len(panel.values)
    predicted = best.parameters.predict(panel.n_blocks, panel.d_emb)
    residuals = (panel.values - predicted) * np.sqrt(points / max(points - FREE, 1))
    drawn_BP = predicted + stream.choice(residuals, (draws, points))
    if panel.by_seed is None or len(panel.by_seed) < 2:
        return np.asarray(drawn_BP, dtype=np.float64)
    seeds = len(panel.by_seed)
    chosen_BSP = stream.integers(seeds, size=(draws, seeds, points))
    means_BP = np.take_along_axis(panel.by_seed[None], chosen_BSP, axis=1).mean(axis=1)
    return np.asarray(drawn_BP + means_BP - panel.values, dtype=np.float64)


def _axis(name: str, place: float | None, found_B: Vector, sizes: Vector) -> Row:
    """The columns of one axis; `name` is n or d."""
    low, high = (
        float(np.quantile(np.where(np.isnan(found_B), missing, found_B), share, method="nearest"))
        for share, missing in zip(PERCENTILES, (-np.inf, np.inf), strict=True)
    )
    told = {"star": place, "star_low": low, "star_high": high}
    return {
        **{f"{name}_{key}": stable(value, 3) for key, value in told.items()},
        f"{name}_without": stable(float(np.isnan(found_B).mean())),
        f"{name}_grid_min": float(sizes.min()),
        f"{name}_grid_max": float(sizes.max()),
    }

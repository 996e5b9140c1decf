"""Use of the Performance Law: the best depth and width under a budget, as P-Law, Table 2, asks.

The law is fitted to one panel of our own runs, by validation accuracy: whoever trains the shape that it proposes then
has a test split that nothing was chosen by. Of all shapes whose cost is within the budget the one with the highest
predicted metric is the best; of equals the cheapest. Intervals come from the draws of `optimum.py`: each draw is
fitted, and chooses a shape of its own.

Shapes: P points of the panel, C candidates, B draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqrepro.errors import InputError
from seqrepro.laws.optimum import PERCENTILES, resampled
from seqrepro.laws.panels import Panel
from seqrepro.laws.performance_law import best_of, fits
from seqrepro.laws.projection import Vector

BEYOND = 2  # candidates reach to so many times the largest depth and width of the grid
Interval = tuple[float, float]


@dataclass(frozen=True)
class Candidates:
    """Shapes that could be trained, and what each costs; arrays [C]."""

    n_blocks: Vector
    d_emb: Vector
    cost: Vector  # in the unit of the budget


@dataclass(frozen=True)
class Prediction:
    """The best shape within a budget."""

    n_blocks: int
    d_emb: int
    cost: float
    value: float  # of the metric
    depths: Interval  # 95 %, of the best shape
    widths: Interval
    values: Interval  # 95 %, of the metric of this shape
    r2: float  # of the fit
    beyond: tuple[str, ...]  # in what the shape lies outside of what was run
    is_bound: bool  # whether a larger budget would give another shape


def candidate_sizes(panel: Panel) -> tuple[Vector, Vector]:
    """Depths and widths that could be chosen: whole numbers, widths in steps that all widths of the grid share."""
    step = int(np.gcd.reduce(panel.d_emb.astype(np.int64)))
    depths = np.arange(1, BEYOND * panel.n_blocks.max() + 1)
    return depths, np.arange(step, BEYOND * panel.d_emb.max() + 1, step)


def predict(
    panel: Panel, candidates: Candidates, budget: float, inverse_p1: Sequence[int], draws: int, seed: int
) -> Prediction:
    """The best candidate within a budget.

    Args:
        panel: at least three levels of either axis.
        candidates: all shapes to choose from.
        budget: in the unit of their costs.
        inverse_p1: the grid of 1/p1 that is searched.
        draws: for the intervals.
        seed: of the draws.

    Raises:
        InputError: the budget is below the cheapest candidate, or the law cannot be fitted.
    """
    affordable = candidates.cost <= budget
    if not affordable.any():
        raise InputError(
            f"budget: {budget:g}, expected at least {candidates.cost.min():g}, the cost of the cheapest shape"
        )
    p1 = [1 / one for one in inverse_p1]
    fitted = best_of(fits(panel.n_blocks, panel.d_emb, panel.values, p1))
    targets_BP = resampled(panel, fitted, draws, np.random.default_rng(seed))
    drawn = [best_of(fits(panel.n_blocks, panel.d_emb, target, p1)) for target in targets_BP]
    sizes = candidates.n_blocks, candidates.d_emb
    drawn_BC = np.stack([one.parameters.predict(*sizes) for one in drawn])
    predicted = fitted.parameters.predict(*sizes)
    best, chosen_B = _best(predicted, candidates, affordable), [_best(one, candidates, affordable) for one in drawn_BC]
    return Prediction(
        n_blocks=int(sizes[0][best]),
        d_emb=int(sizes[1][best]),
        cost=float(candidates.cost[best]),
        value=float(predicted[best]),
        depths=_interval(sizes[0][chosen_B]),
        widths=_interval(sizes[1][chosen_B]),
        values=_interval(drawn_BC[:, best]),
        r2=fitted.r2,
        beyond=_beyond(panel, float(sizes[0][best]), float(sizes[1][best])),
        is_bound=_best(predicted, candidates, np.ones_like(affordable)) != best,
    )


def _best(predicted_C: Vector, candidates: Candidates, affordable_C: NDArray[np.bool_]) -> int:
    """The place of the highest prediction; of equals the cheapest."""
    places = np.flatnonzero(affordable_C)
    order = np.lexsort((candidates.cost[places], -predicted_C[places]))
    return int(places[order[0]])


def _interval(values: Vector) -> Interval:
    low, high = (float(np.quantile(values, share, method="nearest")) for share in PERCENTILES)
    return low, high


def _beyond(panel: Panel, depth: float, width: float) -> tuple[str, ...]:
    ranges = {"depth": (depth, panel.levels("n_blocks")), "width": (width, panel.levels("d_emb"))}
    return tuple(
        f"{name} {size:g} lies outside the grid of the runs, {levels[0]:g} to {levels[-1]:g}"
        for name, (size, levels) in ranges.items()
        if not levels[0] <= size <= levels[-1]
    )

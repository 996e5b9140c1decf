"""Weights of depth and width by architecture, which the paper reads as what an architecture can still gain.

P-Law, Table 4, ranks LLaMA2 before HSTU before SASRec by w1 and w2 of fits to MovieLens-1M. Weights compare only with
one p1 for all: |w| scales like k / w^2, where the curvature k and not w is what the points show, and w3, w4 depend on
p1. So p1 = 0.5 everywhere, and the curvatures at the optimum are compared too:

    weight of depth -w1, of width -w2 (the sign of the authors' script);   k_N = -w1 w3^2,  k_d = -w2 w4^2

A row a pair in the claimed order, for panels that differ in nothing but the model. The interval of the difference is
that of independent resamples of both panels, as those of the optimum are (optimum.py).

Shapes: P points of a panel, B resamples.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

import numpy as np
import pyarrow as pa

from seqrepro.laws.optimum import resampled
from seqrepro.laws.performance_law import fit
from seqrepro.laws.points import FITTED, Grid, Row
from seqrepro.laws.projection import Vector
from seqrepro.laws.shapes import P1, shape_weights

CLAIMED = ("llama", "hstu", "sasrec")  # families in the order of Table 4, the best first
NUMBERS: dict[str, Callable[[Vector], Vector]] = {  # w1, w2, w3, w4 [B, 4] -> what is compared [B]
    "depth": lambda found: -found[:, 0],
    "width": lambda found: -found[:, 1],
    "depth curvature": lambda found: -found[:, 0] * found[:, 2] ** 2,
    "width curvature": lambda found: -found[:, 1] * found[:, 3] ** 2,
}
Numbers = dict[str, tuple[float, Vector]]  # each of a panel, and of its resamples [B]
DRAWS, SEED = 500, 20261123
PLACE = ("dataset", "data_class", "protocol_name", "max_length", "data")
REAL, WHOLE, TEXT = pa.float64(), pa.int64(), pa.string()
SCHEMA = pa.schema(
    [
        *((name, WHOLE if name == "max_length" else TEXT) for name in PLACE),
        *((name, TEXT) for name in ("metric", "weight", "better", "worse")),
        *((name, REAL) for name in ("value_of_better", "value_of_worse")),
        *((name, REAL) for name in ("difference", "difference_low", "difference_high")),
    ]
)


def framework_rows(grids: Iterable[Grid]) -> Iterator[Row]:
    """A row a pair of architectures, panel, metric and number."""
    places: dict[tuple[object, ...], list[Grid]] = {}
    for grid in grids:
        if grid.first["family"] in CLAIMED:
            shape = grid.of("n_blocks")[0].tobytes(), grid.of("d_emb")[0].tobytes()
            places.setdefault((*(grid.first[name] for name in PLACE), *shape), []).append(grid)
    for own in places.values():
        ordered = sorted(own, key=lambda grid: CLAIMED.index(grid.first["family"]))
        for metric in FITTED:
            found = [_numbers(grid, metric) for grid in ordered] if len(ordered) > 1 else []
            for (better, of_better), (worse, of_worse) in combinations(zip(ordered, found, strict=False), 2):
                if better.first["family"] != worse.first["family"]:
                    yield from _compared(better, worse, metric, of_better, of_worse)


def _numbers(grid: Grid, metric: str) -> Numbers:
    """Each number of a panel, and of its resamples [B]; those of two architectures are independent."""
    panel = grid.panel(metric)
    best = fit(panel.n_blocks, panel.d_emb, panel.values, P1)
    stream = np.random.default_rng([SEED, CLAIMED.index(grid.first["family"])])
    targets_BP = np.concatenate([panel.values[None], resampled(panel, best, DRAWS, stream)])
    found_B4 = shape_weights(panel.n_blocks, panel.d_emb, targets_BP, np.zeros(len(panel.values), dtype=np.int64))
    return {name: (float(number(found_B4[:1])[0]), number(found_B4[1:])) for name, number in NUMBERS.items()}


def _compared(better: Grid, worse: Grid, metric: str, first: Numbers, second: Numbers) -> Iterator[Row]:
    told = {name: better.first[name] for name in PLACE} | {"metric": metric}
    told |= {"better": better.first["model"], "worse": worse.first["model"]}
    for name in NUMBERS:
        (own, drawn), (other, drawn_of_other) = first[name], second[name]
        low, high = np.quantile(drawn - drawn_of_other, [0.025, 0.975])
        yield told | {
            **{"weight": name, "value_of_better": own, "value_of_worse": other, "difference": own - other},
            **{"difference_low": float(low), "difference_high": float(high)},
        }

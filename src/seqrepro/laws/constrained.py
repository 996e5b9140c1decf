"""The table constrained: the best N and d of the law where one of them, or a cost, is given.

Constraints: N = 64, and N d = 512, as in P-Law, Table 2. The latter is called the number of parameters there, which it
is not: N blocks of HSTU, whose heads have width d together, and a table of items have

    5 N d^2 + items d

of them, and a token of a history of length L takes, forwards and backwards, about 3 N (10 d^2 + 4 L d) operations
(2 for each parameter of the matrices, 4 L d for the attention, three times as many for training as for inference).
Their budgets are what the geometric middle of the panel's grid costs, so that the grid has shapes of that cost.

All costs are q N d^2 + (l + m N) d, so that a depth and a budget give the width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from seqrepro.errors import InputError
from seqrepro.laws.numbers import Printed
from seqrepro.laws.panels import Panel, Row
from seqrepro.laws.performance_law import Parameters
from seqrepro.laws.projection import Vector
from seqrepro.laws.tables import stable

FIXED_DEPTH = 64
LOG_DEPTHS = np.linspace(0, np.log(4096), 2001)  # of the search: 1 to 4096 blocks


@dataclass(frozen=True)
class Cost:
    """What a shape costs: q N d^2 + (l + m N) d."""

    name: str
    q: float
    l: float  # noqa: E741
    m: float

    def of(self, n_blocks: float, d_emb: float) -> float:
        """The cost of a shape."""
        return self.q * n_blocks * d_emb**2 + (self.l + self.m * n_blocks) * d_emb

    def width(self, n_blocks: Vector, budget: float) -> Vector:
        """The width at which depths cost the budget."""
        linear = self.l + self.m * n_blocks
        root = np.sqrt(linear**2 + 4 * self.q * n_blocks * budget)
        return np.asarray(2 * budget / (linear + root), dtype=np.float64)


def constrained_rows(panel: Panel, law: Parameters, items: int) -> Iterator[Row]:
    """A row a constraint: the optimum of a fitted law, null where it lies at an end of what is searched."""
    depth = None if law.best_d_emb is None else (float(FIXED_DEPTH), law.best_d_emb)
    yield _row(panel, law, f"N = {FIXED_DEPTH}", float(FIXED_DEPTH), depth)
    middle = [float(np.sqrt(sizes.min() * sizes.max())) for sizes in (panel.n_blocks, panel.d_emb)]
    for cost, budget in [
        (Cost("N * d = 512", 0, 0, 1), 512.0),
        *((cost, cost.of(middle[0], middle[1])) for cost in costs(items, panel.max_length)),
    ]:
        yield _row(panel, law, cost.name, budget, best_shape(law, cost, budget))


def costs(items: int, max_length: int) -> list[Cost]:
    """The parameters of a model, and the operations of a token in training."""
    return [Cost("parameters", 5, items, 0), Cost("operations a token", 30, 0, 12 * max_length)]


def best_shape(law: Parameters, cost: Cost, budget: float) -> tuple[float, float] | None:
    """N and d of the highest metric at a cost, or None where it lies at an end: 1 or 4096 blocks, or width 1."""

    def along(log_n: Vector) -> Vector:
        n_blocks = np.exp(log_n)
        return law.predict(n_blocks, cost.width(n_blocks, budget))

    logs = LOG_DEPTHS[cost.width(np.exp(LOG_DEPTHS), budget) >= 1]
    best = int(along(logs).argmax())
    if not 0 < best < len(logs) - 1:
        return None
    bounds = float(logs[best - 1]), float(logs[best + 1])
    found = minimize_scalar(lambda log_n: -float(along(np.array(log_n))), bounds=bounds, options={"xatol": 1e-8})
    n_blocks = np.exp(np.array(found.x))
    return float(n_blocks), float(cost.width(n_blocks, budget))


def items_of(panel: Panel, numbers: list[Printed]) -> int:
    """How many items a dataset has (P-Law, Table 3).

    Raises:
        InputError: the table does not say.
    """
    found = [
        one.value for one in numbers if (one.table, one.quantity, one.dataset) == ("Table 3", "items", panel.dataset)
    ]
    if not found:
        raise InputError(f"published numbers: Table 3 has no items of {panel.dataset}, expected one number")
    return int(found[0])


def _row(panel: Panel, law: Parameters, name: str, budget: float, shape: tuple[float, float] | None) -> Row:
    n_star, d_star = shape or (None, None)
    value = None if shape is None else float(law.predict(np.array(n_star), np.array(d_star)))
    sizes = [(n_star, panel.n_blocks), (d_star, panel.d_emb)]
    outside = any(not levels.min() <= size <= levels.max() for size, levels in sizes if size is not None)
    return panel.name | {
        "constraint": name,
        "budget": stable(budget, 3),
        "pf1": round(1 / law.p1),
        "n_star": stable(n_star, 3),
        "d_star": stable(d_star, 3),
        "value": stable(value, 6),
        "extrapolates": outside if shape else None,
    }

r"""Does approximate entropy rise with the share of repeated items? `duplication.csv`, a row a step of that share.

Generated: n items of each user, independent and uniform over V items; all steps of a draw share their random numbers.

- `generated with many items`, `generated with few items`: the catalogue shrinks, from ten times n to n, and from n to
  one item, and with it the share of repeats grows.
- `many items, repeats planted`: V stays, and at a share of the places behind the first, nested from step to step, the
  user takes again one of the items before, uniformly.

A draw's value a is the mean of the signed ApEn(m) over its users. The interval of a change is Student's over draws:
    mean_d (a_{d,s+1} - a_{d,s})  +-  t_{0.975, D-1} sd / sqrt(D)
Real data (`real_rows`): users who fill a window, in groups by their share of repeats, up to a tenth, two tenths, ...;
the interval of the difference of neighbouring groups is Welch's. Data in which nobody repeats an item have no step.

Shapes: D draws, S steps, U users of a draw, n items of a user, M orders, V items.
"""

import math
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.stats import t as student

from seqrepro.data.approximate_entropy import Int64, at_order, phi, repeated_items, user_mean
from seqrepro.data.synthetic.streams import streams
from seqrepro.files import Json, read_json
from seqrepro.laws.panels import Row
from seqrepro.laws.tables import stable

ORDERS = (1, 2)
WINDOW = 50  # n
DRAWS, USERS, SEED = 20, 100, 20261207
LEAST_USERS = 30  # of a group of real users
MANY, FEW = (500, 200, 100, 50), (50, 20, 10, 5, 3, 2, 1)
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9)

COUNTS = ("apen_order", "window", "items_from", "items_to", "draws", "users_from", "users_to")
NUMBERS = ("repeats_from", "repeats_to", "apen_from", "apen_to", "change", "change_low", "change_high")
SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        *((name, pa.int64()) for name in COUNTS),
        *((name, pa.float64()) for name in NUMBERS),
    ]
)


def duplication_rows(described: Iterable[Path]) -> Iterator[Row]:
    """All rows; `described` are `results/datasets/<dataset>/statistics.json` of real data."""
    yield from generated_rows()
    for path in described:
        yield from real_rows(path.parent.name, read_json(path))


@cache
def generated_rows() -> tuple[Row, ...]:
    """The steps of the three generated kinds, for each order."""
    kinds = {
        "generated with many items": [(items, 0.0) for items in MANY],
        "generated with few items": [(items, 0.0) for items in FEW],
        "many items, repeats planted": [(MANY[0], share) for share in SHARES],
    }
    return tuple(row for kind, steps in kinds.items() for row in _steps(kind, steps))


def real_rows(dataset: str, described: Json) -> Iterator[Row]:
    """The steps of a described dataset, for each window and order; none without two groups that are large enough.

    A group's `repeats` are its upper end.
    """
    for window in described["windows"]:
        for order, measured in window["entropy"]["approximate_entropy"].items():
            groups = [group for group in measured["by_repeats"] if group["users"] >= LEAST_USERS]
            for before, after in pairwise(groups):
                yield {
                    "kind": dataset,
                    "apen_order": int(order),
                    "window": window["last"],
                    **_ends("repeats", before["up_to"], after["up_to"]),
                    **_ends("apen", before["mean"], after["mean"]),
                    **_ends("users", before["users"], after["users"]),
                    **_interval(after["mean"] - before["mean"], *_welch(before, after)),
                }


def sequences(step: tuple[int, float], draw: int, users: int = USERS, window: int = WINDOW) -> Int64:
    """The items [U, n], from 1, of a step (number of items, share of the places at which a repeat is planted)."""
    items, share = step
    purpose = streams(SEED + draw, "items", "places", "sources")
    values = 1 + np.floor(purpose["items"].random((users, window)) * items).astype(np.int64)
    chosen = purpose["places"].random((users, window - 1)).argsort(axis=1).argsort(axis=1) < round(share * window)
    sources = np.floor(purpose["sources"].random((users, window)) * np.arange(window)).astype(np.int64)
    for place in range(1, window):
        again = chosen[:, place - 1]
        values[again, place] = values[again, sources[again, place]]
    return values


def _steps(kind: str, steps: list[tuple[int, float]]) -> Iterator[Row]:
    """The rows of one kind: the change from each step to the next, for each order."""
    drawn = np.array([[_measured(sequences(step, draw)) for step in steps] for draw in range(DRAWS)])  # [D, S, 1 + M]
    means = drawn.mean(axis=0)
    for column, order in enumerate(ORDERS, start=1):
        for (at, before), (after_at, after) in pairwise(enumerate(steps)):
            changes = drawn[:, after_at, column] - drawn[:, at, column]
            yield {
                "kind": kind,
                "apen_order": order,
                "window": WINDOW,
                "draws": DRAWS,
                **_ends("items", before[0], after[0]),
                **_ends("repeats", float(means[at, 0]), float(means[after_at, 0])),
                **_ends("apen", float(means[at, column]), float(means[after_at, column])),
                **_interval(float(changes.mean()), float(changes.std(ddof=1)) / math.sqrt(DRAWS), DRAWS - 1),
            }


def _measured(values: Int64) -> list[float]:
    """The share of repeats among the items [U, n], and the mean of the users' ApEn(m) for each order."""
    users, window = values.shape
    flat, offsets = values.ravel(), np.arange(users + 1) * window
    phis = phi(flat, offsets, max(ORDERS) + 1)
    share = float(repeated_items(flat, offsets).sum() / flat.size)
    return [share, *(user_mean(at_order(phis, order)) for order in ORDERS)]


def _welch(before: Json, after: Json) -> tuple[float, float]:
    """Standard error of the difference of two groups' means, and its degrees of freedom."""
    parts = [(group["sd"] ** 2 / group["users"], group["users"] - 1) for group in (before, after)]
    variance = sum(part for part, _ in parts)
    squares = sum(part**2 / freedom for part, freedom in parts)
    return math.sqrt(variance), variance**2 / squares if squares else 1.0


def _interval(change: float, error: float, freedom: float) -> Row:
    """A change with its 95 % interval."""
    half = error * float(student.ppf(0.975, freedom))
    return {
        name: stable(value) for name, value in zip(NUMBERS[4:], (change, change - half, change + half), strict=True)
    }


def _ends(name: str, before: float, after: float) -> Row:
    return {f"{name}_from": stable(before), f"{name}_to": stable(after)}

"""Panels: the metric at each depth and width that was run on one dataset with one longest history.

A law is fitted to one panel at a time. Published panels are read from the points of the paper's figures; panels of our
own runs are means over seeds. Shapes: P points of a panel, S seeds.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqrepro.errors import InputError
from seqrepro.laws.csv_rows import number, rows
from seqrepro.laws.projection import Vector

Key = tuple[str, int, str]  # dataset, max_length, metric
Row = dict[str, Any]
Axis = Literal["n_blocks", "d_emb"]
AXES: tuple[Axis, Axis] = ("n_blocks", "d_emb")
POINT_COLUMNS = ("dataset", "max_length", "n_blocks", "d_emb", "metric", "value")


@dataclass(frozen=True)
class Panel:
    """One panel; a point is a depth and a width."""

    points: Literal["published", "own"]
    model: str
    dataset: str
    max_length: int  # longest history
    data: str  # what training saw: 'all', or the words of the setting
    metric: str
    n_blocks: Vector  # [P] depths N
    d_emb: Vector  # [P] widths d
    values: Vector  # [P] the metric, of own points the mean over seeds
    by_seed: Vector | None = None  # [S, P] of own points

    @property
    def name(self) -> Row:
        """The columns that name it, as every table of panels has them."""
        return {
            "points": self.points,
            "model": self.model,
            "dataset": self.dataset,
            "max_length": self.max_length,
            "data": self.data,
            "metric": self.metric,
        }

    @property
    def key(self) -> Key:
        """What names a published panel."""
        return self.dataset, self.max_length, self.metric

    def levels(self, axis: Axis) -> Vector:
        """The sizes of an axis, ascending."""
        return np.asarray(np.unique(getattr(self, axis)), dtype=np.float64)

    def where(self, chosen: Any) -> "Panel":
        """Some of its points, chosen by a mask or by places [P]."""
        return replace(
            self,
            n_blocks=self.n_blocks[chosen],
            d_emb=self.d_emb[chosen],
            values=self.values[chosen],
            by_seed=None if self.by_seed is None else self.by_seed[:, chosen],
        )


def read_points(path: Path) -> list[Panel]:
    """The published panels, in the order of the file.

    Raises:
        InputError: no such file, no rows, missing columns, a cell that is not a number, or a point that stands twice.
    """
    found: dict[Key, dict[tuple[float, float], float]] = defaultdict(dict)
    for place, row in rows(path, POINT_COLUMNS):
        depth, width, value = (number(place, row, column, float) for column in ("n_blocks", "d_emb", "value"))
        panel = found[panel_key(place, row)]
        if (depth, width) in panel:
            raise InputError(f"{place}: a second point of {depth:g} blocks and width {width:g}, expected one a panel")
        panel[depth, width] = value
    return [_published(key, points) for key, points in found.items()]


def panel_key(place: str, row: dict[str, str]) -> Key:
    """The panel of a row with the columns dataset, max_length and metric."""
    return row["dataset"], number(place, row, "max_length", int), row["metric"]


def _published(key: Key, points: dict[tuple[float, float], float]) -> Panel:
    n_blocks, d_emb = np.array(list(points), dtype=np.float64).T
    values = np.array(list(points.values()), dtype=np.float64)
    return Panel("published", "HSTU-like decoder", key[0], key[1], "all", key[2], n_blocks, d_emb, values)

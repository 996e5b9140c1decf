"""The tables of our own runs: points, fits, replicates, optima, losses, architectures, amounts of data, training sets.

`points.csv` has a row a run, and the others are made from it. Rows of optima and of the joint law stand in one table
with those of published points, which say `points: published` and `fit: table`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from seqrepro.files import Json
from seqrepro.laws import frameworks, interventions, losses, points, replicates
from seqrepro.laws.forms import Form
from seqrepro.laws.optimum import interval
from seqrepro.laws.panels import Panel
from seqrepro.laws.points import FITTED, WORDS, Grid, Row
from seqrepro.laws.scores import HELD_OUT, IN_SAMPLE, named, scores
from seqrepro.laws.tables import stable, write_table


def read_own(entries: list[Json]) -> tuple[list[Row], list[Grid]]:
    """The points that have run, and the complete grids among them."""
    rows = points.read_points(entries)
    return rows, list(points.own_grids(entries, rows))


def write_own(folder: Path, rows: list[Row], grids: list[Grid], forms: Mapping[str, Form]) -> list[Path]:
    """Write the tables that have nothing but own points; without any they are empty.

    Args:
        folder: of the laws of a suite.
        rows: of points.
        grids: the complete ones.
        forms: that are fitted to each panel.
    """
    pairs = list(interventions.intervention_rows(rows))
    tables: dict[str, tuple[Iterable[Row], pa.Schema]] = {
        "points": (rows, points.SCHEMA),
        "own": (_fits(grids, forms), _schema(forms)),
        "replicates": (replicates.replicate_rows([panel for _, panel in own_panels(grids)], forms), replicates.SCHEMA),
        "losses": (losses.loss_rows(grids), losses.SCHEMA),
        "frameworks": (frameworks.framework_rows(grids), frameworks.SCHEMA),
        "interventions": (pairs, interventions.SCHEMA),
        "agreement": (interventions.agreement_rows(pairs), interventions.COUNTS),
    }
    return [
        path for name, (found, schema) in tables.items() for path in write_table(folder, name, rounded(found), schema)
    ]


def own_optima(grids: Sequence[Grid], inverse_p1: Sequence[int], draws: int, seed: int) -> Iterator[Row]:
    """The rows of `optima.csv` of our own points; arguments as of `interval`."""
    for words, panel in own_panels(grids):
        yield words | panel.name | interval(panel, inverse_p1, draws, seed)


def own_panels(grids: Sequence[Grid]) -> Iterator[tuple[Row, Panel]]:
    """Each metric of each grid; where it is the same everywhere, nothing can be fitted."""
    for grid in grids:
        for panel in map(grid.panel, FITTED):
            if np.ptp(panel.values) > 0:
                yield grid.words, panel


def rounded(rows: Iterable[Row]) -> list[Row]:
    """Rows whose numbers do not depend on the machine's arithmetic."""
    return [{name: stable(value) for name, value in row.items()} for row in rows]


def _fits(grids: Sequence[Grid], forms: Mapping[str, Form]) -> Iterator[Row]:
    for words, panel in own_panels(grids):
        yield words | panel.name | scores(panel, forms)


def _schema(forms: Mapping[str, Form]) -> pa.Schema:
    """The columns of `own.csv`."""
    texts, whole = [*WORDS, "metric", "points"], ("max_length", "seeds", "n_points")
    numbers = [*named("carry_forward", dict.fromkeys(HELD_OUT))]
    for form in forms.values():
        numbers += named(form.name, dict.fromkeys((*IN_SAMPLE, *(HELD_OUT if form.predicts else ()))))
    named_columns = dict.fromkeys([*texts, *whole, *numbers])
    return pa.schema([(name, _type(name, texts, whole)) for name in named_columns])


def _type(name: str, texts: Sequence[str], whole: Sequence[str]) -> pa.DataType:
    if name in whole or name.endswith("free"):
        return pa.int64()
    return pa.string() if name in texts else pa.float64()

"""The tables of our own runs: points, fits, losses, architectures, and pairs of training sets."""

from pathlib import Path

from seqrepro.files import Json
from seqrepro.laws import frameworks, interventions, losses, points
from seqrepro.laws.points import Grid, Row
from seqrepro.ledger.tables import complete, write_table


def write_own(folder: Path, rows: list[Row], grids: list[Grid]) -> list[Path]:
    """Write the tables that have nothing but own points; without any they are empty.

    Args:
        folder: of the laws of a suite.
        rows: of points.
        grids: the complete ones.
    """
    tables = {
        "points": (rows, points.SCHEMA),
        "losses": (losses.loss_rows(grids), losses.SCHEMA),
        "frameworks": (frameworks.framework_rows(grids), frameworks.SCHEMA),
        "interventions": (interventions.intervention_rows(rows), interventions.SCHEMA),
    }
    return [
        path
        for name, (found, schema) in tables.items()
        for path in write_table(folder / name, complete(found, schema), schema)
    ]


def read_own(entries: list[Json]) -> tuple[list[Row], list[Grid]]:
    """The points that have run, and the complete grids among them."""
    rows = points.read_points(entries)
    return rows, list(points.own_grids(entries, rows))

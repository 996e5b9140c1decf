"""The table of curvature: what the probe sharpness found at the solutions, with what is known of each number's error.

Means over seeds have 95 % intervals by Student's t; one seed has none. An eigenvalue stands with the largest residual
||H v - lambda v|| / |lambda| of its seeds, a trace with the largest standard error of its estimate. The loss stands in
the same row: curvature alone says little, since it shrinks as the loss is fitted.
"""

from dataclasses import dataclass
from math import floor, log10
from pathlib import Path

import pyarrow as pa

from seqrepro.files import Json
from seqrepro.ledger.evidence import Row
from seqrepro.ledger.statistics import t_interval
from seqrepro.ledger.tables import write_table

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
SCHEMA = pa.schema(
    [
        *((name, TEXT) for name in ("title", "folder", "probe", "part", "measure")),
        ("seeds", WHOLE),
        *((name, REAL) for name in ("mean", "low", "high", "largest_residual", "largest_error")),
        ("missing_seeds", TEXT),
    ]
)
WHOLE_MODEL = "all"
MEASURES = {  # in words
    "loss": "loss",
    "lambda_max": "largest eigenvalue",
    "trace": "trace",
    "loss_increase": "increase of the loss",
    "adaptive_loss_increase": "adaptive increase",
    "gradient_norm": "norm of the gradient",
}
PARTS = {  # groups of weights, in words
    "items": "item table",
    "positions": "positions",
    "attention": "attention",
    "feed_forward": "feed-forward",
    "norms": "norms",
    "other": "other weights",
}
OF_PARTS = ("lambda_max", "trace")
Found = dict[tuple[str, float | None], list[float]]  # values of the seeds, by measure and place


@dataclass(frozen=True)
class Curvature:
    """A table: the rows of each configuration, by part and measure, and the files that hold them."""

    probe: str
    models: dict[str, dict[str, dict[str, Row]]]  # folder -> part -> measure -> row
    parts: list[str]
    files: list[Path]


def write(folder: Path, dataset: str, runs: list[Json], probe: str | None, rows: list[Row]) -> Curvature | None:
    """Write `curvature-<dataset>.parquet` and `.csv`; nothing without a probe.

    Args:
        folder: of the figures.
        dataset: the name of the section.
        runs: entries of the request; those that ask for the probe and lack it are in the table, as not run.
        probe: the name of the probe that is shown.
        rows: its measurements.
    """
    if probe is None:
        return None
    asked = [run for run in runs if probe in run["probes"] or any(row["folder"] == run["folder"] for row in rows)]
    table = [row for run in asked for row in _rows(run, probe, [row for row in rows if row["folder"] == run["folder"]])]
    models: dict[str, dict[str, dict[str, Row]]] = {}
    for row in table:
        models.setdefault(row["folder"], {}).setdefault(row["part"], {})[row["measure"]] = row
    known = {row["part"] for row in table}
    files = write_table(folder / f"curvature-{dataset}", table, SCHEMA)
    return Curvature(probe, models, [part for part in PARTS if part in known], files)


def printed(value: float | None) -> str:
    """Four significant digits; nothing for None."""
    if value is None:
        return ""
    size = floor(log10(abs(value))) if value else 0
    return f"{value:.1e}" if value and not -4 <= size < 7 else f"{value:,.{max(0, 3 - size)}f}"


def bound(value: float) -> str:
    """Two significant digits: enough for an error."""
    return f"{value:.2g}"


def _rows(run: Json, probe: str, own: list[Row]) -> list[Row]:
    """A row a (part, measure) of one configuration; the other parts are those that its network has."""
    found: Found = {}
    for row in own:
        found.setdefault((row["measure"], row["at"]), []).append(row["value"])
    done = {row["seed"] for row in own}
    missing = " ".join(str(seed) for seed in run["seeds"] if seed not in done)
    shared = {"title": run["title"], "folder": run["folder"], "probe": probe, "seeds": len(done)}
    shared |= {"missing_seeds": missing}
    whole = [shared | _row(WHOLE_MODEL, measure, found) for measure in MEASURES]
    parts = [part for part in PARTS if (f"trace_{part}", None) in found]
    return whole + [shared | _row(part, measure, found) for part in parts for measure in OF_PARTS]


def _row(part: str, measure: str, found: Found) -> Row:
    suffix = "" if part == WHOLE_MODEL else f"_{part}"
    residual = ("residual", 1.0) if part == WHOLE_MODEL else (f"residual{suffix}", None)
    off = {"lambda_max": ("largest_residual", residual), "trace": ("largest_error", (f"trace{suffix}_error", None))}
    row: Row = {"part": part, "measure": measure, "largest_residual": None, "largest_error": None}
    values = found.get((f"{measure}{suffix}", None), [])
    row |= dict(zip(("mean", "low", "high"), t_interval(values) if values else (None,) * 3, strict=True))
    if measure in off:
        column, place = off[measure]
        row[column] = max(found.get(place, []), default=None)
    return row

"""What the probes of the training loss leave, made up: bowls of a given curvature."""

from pathlib import Path

import pyarrow as pa

from seqrepro.files import write_parquet
from seqrepro.probes.landscape import SCHEMA as LANDSCAPE
from seqrepro.probes.measurements import SCHEMA as MEASUREMENTS
from seqrepro.probes.sharpness import DENSITY

SIDES = [-1.0, -0.5, 0.0, 0.5, 1.0]
PROBES = {"curved": "sharpness", "around": "landscape", "along": "trajectory"}
EPOCHS, BEST = (1, 5, 10), 5
ALONG = ("loss", "gradient_norm", "weight_norm", "batch_sharpness", "lambda_max", "residual")


def write_surface(folder: Path, curvature: float) -> None:
    """The files of the three probes of a run, whose folder is given."""
    write_sharpness(folder / "probes/curved", curvature)
    losses = [("surface", x, y, 0.5 + curvature * (x * x + y * y) / 2) for y in SIDES for x in SIDES]
    losses += [(kind, x, None, 0.5 + curvature * x * x) for kind in ("random", "eigenvector_1") for x in SIDES]
    write_rows(folder / "probes/around/landscape.parquet", losses, LANDSCAPE)
    along = [(f"{name} over epoch", float(epoch), curvature / epoch) for epoch in EPOCHS for name in ALONG]
    along += [("best_epoch", None, float(BEST)), ("rho", None, 0.05)]
    write_rows(folder / "probes/along/measurements.parquet", along, MEASUREMENTS)


def write_sharpness(folder: Path, curvature: float) -> None:
    """Both files of the probe sharpness."""
    values = [("loss", None, 0.5), ("gradient_norm", None, 0.01), ("lambda_max", None, curvature)]
    values += [("eigenvalue", at, curvature / at) for at in (1.0, 2.0)]
    values += [("residual", at, curvature * at / 1e4) for at in (1.0, 2.0)]
    values += [("smallest_eigenvalue", at, -0.1 / at) for at in (1.0, 2.0)]
    values += [("trace", None, 12345.678 * curvature), ("trace_error", None, 3 * curvature)]
    values += [("loss_increase", None, curvature / 100), ("adaptive_loss_increase", None, curvature / 10)]
    for part in ("items", "norms"):
        values += [(f"lambda_max_{part}", None, curvature / 2), (f"residual_{part}", None, 2e-5)]
        values += [(f"trace_{part}", None, 10 * curvature), (f"trace_{part}_error", None, 0.25)]
    write_rows(folder / "measurements.parquet", values, MEASUREMENTS)
    density = [(x, 1e-3 + (x == 0)) for x in (-0.5, -0.25, 0.0, 0.25, curvature)]
    write_rows(folder / "density.parquet", density, DENSITY)


def write_rows(path: Path, rows: list, schema: pa.Schema) -> None:
    write_parquet(path, pa.table([*map(list, zip(*rows, strict=True))], schema=schema))

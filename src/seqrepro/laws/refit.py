"""Step: refit the Performance Law (arXiv 2412.00430) to its published points and to our own runs.

No training: the 448 points of the paper's figures (20 panels) are fitted again, and compared with what is printed. So
are the runs of experiments with `law`, as far as they are there (own.py). Each table has a module of its own.
"""

from pathlib import Path

from seqrepro.errors import InputError
from seqrepro.laws.data_factors import SCHEMA as JOINT
from seqrepro.laws.data_factors import joint_rows
from seqrepro.laws.forms import forms
from seqrepro.laws.optimum import interval
from seqrepro.laws.own import own_optima, read_own, rounded, write_own
from seqrepro.laws.panels import read_points
from seqrepro.laws.published_r2 import SCHEMA, fits_of, r2_row, read_published
from seqrepro.laws.scores import scores
from seqrepro.laws.tables import write_table
from seqrepro.request import Request

INPUTS = "published points, published R2, published numbers"


def run(request: Request) -> list[Path]:
    """Write the tables into the request's folder, each as Parquet and CSV, panels in the order of the points.

    The inputs are the published points, the published R2 and the published numbers of the paper, in this order, then
    files of runs. The parameter `pf1` is the grid of 1/p1; `draws` and `seed` are of the bootstrap; `own` are our runs.

    Raises:
        InputError: a file, a row or a parameter that cannot be used.
    """
    grid, draws, seed = _grid(request), _count(request, "draws", 1), _count(request, "seed", 0)
    if len(request.inputs) < 3:
        raise InputError(f"inputs: found {len(request.inputs)} files, expected 3 ({INPUTS})")
    points, r2 = map(Path, request.inputs[:2])
    panels, published, every = read_points(points), read_published(r2), forms(grid)
    found = {panel.key: fits_of(panel, grid) for panel in panels}
    rows, grids = read_own(request.parameters.get("own", []))
    tables = {
        "r2": [r2_row(panel, found[panel.key], published) for panel in panels],
        "forms": [panel.name | scores(panel, every) for panel in panels],
        "optima": [
            *(panel.name | interval(panel, grid, draws, seed) for panel in panels),
            *own_optima(grids, grid, draws, seed),
        ],
        "data_factor": rounded(joint_rows(grids)),
    }
    schemas = {"r2": SCHEMA, "data_factor": JOINT}
    paths = [path for name in tables for path in write_table(request.output, name, tables[name], schemas.get(name))]
    return paths + write_own(request.output, rows, grids, every)


def _grid(request: Request) -> list[int]:
    grid = request.parameters.get("pf1")
    if not isinstance(grid, list) or not grid or not all(type(pf1) is int and pf1 > 0 for pf1 in grid):
        raise InputError(f"parameters.pf1: found {grid!r}, expected a list of integers above 0")
    return grid


def _count(request: Request, name: str, least: int) -> int:
    value = request.parameters.get(name)
    if type(value) is not int or value < least:
        raise InputError(f"parameters.{name}: found {value!r}, expected an integer of at least {least}")
    return value

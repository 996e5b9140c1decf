"""Step: refit the Performance Law (arXiv 2412.00430) to its published points and to our own runs.

No training: the 448 points of the paper's figures (20 panels) are fitted again, and compared with what is printed. So
are the runs of experiments with `law`, as far as they are there (own.py). Each table has a module of its own.
"""

from pathlib import Path

from seqrepro.errors import InputError
from seqrepro.laws import duplication, fitted
from seqrepro.laws.amounts import joint_rows
from seqrepro.laws.constrained import constrained_rows, items_of
from seqrepro.laws.data_factor import table_rows
from seqrepro.laws.duplication import duplication_rows
from seqrepro.laws.forms import forms, log_linear
from seqrepro.laws.numbers import Printed, read_numbers
from seqrepro.laws.optimum import interval
from seqrepro.laws.own import own_optima, own_panels, read_own, rounded, write_own
from seqrepro.laws.panels import Panel, read_points
from seqrepro.laws.performance_law import best_of
from seqrepro.laws.printed import Refitted, printed_rows
from seqrepro.laws.published_r2 import SCHEMA, Published, best_pf1, fits_of, r2_row, read_published
from seqrepro.laws.scores import in_sample, scores
from seqrepro.laws.tables import write_table
from seqrepro.request import Request

INPUTS = "published points, published R2, published numbers"


def run(request: Request) -> list[Path]:
    """Write the tables into the request's folder, each as Parquet and CSV, panels in the order of the points.

    The inputs are the published points, the published R2 and the published numbers of the paper, in this order, then
    `statistics.json` of described real data and files of our own runs, as many as there are. The parameter `pf1` is the
    grid of 1/p1; `draws` and `seed` are of the bootstrap; `own` says what our own runs are.

    Raises:
        InputError: a file, a row or a parameter that cannot be used.
    """
    grid, draws, seed = _grid(request), _count(request, "draws", 1), _count(request, "seed", 0)
    if len(request.inputs) < 3:
        raise InputError(f"inputs: found {len(request.inputs)} files, expected 3 ({INPUTS}) or more")
    points, r2, printed, *others = map(Path, request.inputs)
    panels, legends, numbers, every = read_points(points), read_published(r2), read_numbers(printed), forms(grid)
    found = [_refitted(panel, grid, draws, seed, legends, numbers) for panel in panels]
    regressions = list(table_rows(numbers))
    rows, grids = read_own(request.parameters.get("own", []))
    laws = [(one.panel, one.best) for one in found]
    laws += [(panel, best_of(list(fits_of(panel, grid).values()))) for _, panel in own_panels(grids)]
    tables = {
        "r2": [r2_row(one.panel, one.fits, legends) for one in found],
        "forms": [panel.name | scores(panel, every) for panel in panels],
        "coefficients": [fitted.coefficient_row(panel, law) for panel, law in laws],
        "fitted": [row for panel, law in laws for row in fitted.fitted_rows(panel, law, every)],
        "optima": [*(one.optimum for one in found), *own_optima(grids, grid, draws, seed)],
        "constrained": [row for one in found for row in one.constrained],
        "data_factor": [*regressions, *rounded(joint_rows(grids))],
        "duplication": list(duplication_rows(path for path in others if path.name == "statistics.json")),
        "printed": list(printed_rows(found, legends, numbers, regressions)),
    }
    schemas = {"r2": SCHEMA, "duplication": duplication.SCHEMA}
    schemas |= {"coefficients": fitted.COEFFICIENTS, "fitted": fitted.FITTED}
    paths = [path for name in tables for path in write_table(request.output, name, tables[name], schemas.get(name))]
    return paths + write_own(request.output, rows, grids, every)


def _refitted(
    panel: Panel, grid: list[int], draws: int, seed: int, legends: Published, numbers: list[Printed]
) -> Refitted:
    fits = fits_of(panel, grid)
    law = fits[best_pf1(fits)].parameters
    return Refitted(
        panel=panel,
        fits=fits,
        label=legends.get((panel.key, "performance_law", 6)),
        baseline=in_sample(panel, log_linear(panel.n_blocks, panel.d_emb, panel.values)),
        optimum=panel.name | interval(panel, grid, draws, seed),
        constrained=list(constrained_rows(panel, law, items_of(panel, numbers))),
    )


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

"""Shapes that could be trained in the place of those of a grid, and what each costs in the unit of a budget."""

from pathlib import Path

import numpy as np

from seqrepro.config.overrides import override, setup_of
from seqrepro.config.parameters import Parameters
from seqrepro.errors import InputError
from seqrepro.files import read_json
from seqrepro.laws.costs import Config, costs
from seqrepro.laws.pace import pace
from seqrepro.laws.points import FITTED, Grid
from seqrepro.laws.predict import Candidates, candidate_sizes
from seqrepro.laws.projection import Vector

BUDGETS = {
    "parameters": "numbers that the network learns",
    "operations": "operations of one epoch of training",
    "seconds": "seconds of one epoch of training, on the machine of these runs",
}
WORK = ("batch", "forward_backward", "optimizer")  # parts of the time of a training that a shape changes


def candidates(parameters: Parameters, grid: Grid, kind: str) -> Candidates:
    """All shapes up to twice the grid, with their costs; `kind` is one of BUDGETS.

    Raises:
        InputError: what the training saw was not measured, or its seconds are missing.
    """
    depths, widths = candidate_sizes(grid.panel(FITTED[0]))
    folder = Path(grid.first["folder"])
    rows = 1.0 if kind == "parameters" else _rows(grid)
    configs = {
        int(width): {depth: _config(parameters, grid, depth, int(width)) for depth in (1, 2)} for width in widths
    }
    found = costs(configs, depths, read_json(folder / "metrics.json")["n_items"], rows)
    cost_DN = found.parameters if kind == "parameters" else found.operations
    if kind == "seconds":
        cost_DN = _seconds(grid, cost_DN, depths, widths)
    n_DN, d_DN = np.broadcast_arrays(depths[None], widths[:, None])
    return Candidates(n_DN.ravel(), d_DN.ravel(), cost_DN.ravel())


def _config(parameters: Parameters, grid: Grid, depth: int, width: int) -> Config:
    first = grid.first
    shape = {"layers": depth, "width": width, "max_length": first["max_length"]}
    plain = setup_of(parameters, first["model"], first["dataset"])
    setup = override(plain, {f"architecture.{name}": value for name, value in shape.items()})
    return {"model": setup.architecture.canonical(), "training": setup.training.canonical()}


def _rows(grid: Grid) -> float:
    """So many rows of the longest history are the tokens of an epoch."""
    tokens = grid.first["tokens"]
    if tokens is None:
        raise InputError(f"{grid.first['folder']}: what it was trained on was not measured (step `measure`)")
    return float(tokens / grid.first["max_length"])


def _seconds(grid: Grid, operations_DN: Vector, depths: Vector, widths: Vector) -> Vector:
    """Seconds of an epoch, by the pace of the runs."""
    of_shape = {(int(n), int(d)): operations_DN[j, i] for j, d in enumerate(widths) for i, n in enumerate(depths)}
    runs = [row for of_seed in grid.rows_SP for row in of_seed]
    operations = np.array([of_shape[row["n_blocks"], row["d_emb"]] for row in runs])
    return pace(operations, np.array([_epoch(Path(row["folder"])) for row in runs])).seconds(operations_DN)


def _epoch(folder: Path) -> float:
    """Seconds of an epoch of a run, without validation and checkpoints."""
    path = folder / "timing.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; a budget of seconds needs the times of the runs")
    told, epochs = read_json(path), read_json(folder / "metrics.json")["epochs"]
    return float(sum(told["seconds_by_part"][part] for part in WORK) / epochs)

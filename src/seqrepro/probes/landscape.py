"""Landscape: the training loss on lines and on a plane through the weights where a training ended.

The loss is that of `seqrepro.probes.sharpness`. `landscape.parquet` (kind, x, y, loss; y is null on a line):
- surface: along two random directions, normalised by filter (`curvature.directions`), x and y in [-1, 1]; the same
  random numbers for all networks.
- random: the line along the first of them, more finely.
- eigenvector_1, eigenvector_2: along the eigenvectors of the two largest eigenvalues of the Hessian, where a random
  direction hardly ever leads. x is the distance, up to `reach` on both sides. The sign of a vector means nothing; it
  is chosen so that its largest entry is positive.
- line: straight to the weights of another model of the same seed, at x = 1; from -0.5 to 1.5.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import load_file
from torch import Tensor

from seqrepro.errors import InputError
from seqrepro.files import write_parquet
from seqrepro.probes.curvature.directions import random_direction
from seqrepro.probes.curvature.sample import eigenpairs_of, read_surface
from seqrepro.probes.curvature.surface import Surface
from seqrepro.request import Request
from seqrepro.training.randomness import generator_for

Parameters = dict[str, Any]
Value = tuple[str, float, float | None, float]
SCHEMA = pa.schema([("kind", pa.string()), ("x", pa.float64()), ("y", pa.float64()), ("loss", pa.float64())])
LINE = (-0.5, 1.5)


def run(request: Request) -> list[Path]:
    """Compute the loss around and between solutions.

    Parameters of the request: config (of the run), users, sample_seed, dtype, loss, points, grid, reach, eigenvalues
    and, if there is another model, `towards`: its weights. Inputs: sequences.parquet, statistics.json,
    model.safetensors, and those weights.

    Raises:
        InputError: the objective has no second derivative here, or the other model has other weights.
    """
    wanted, surface = request.parameters, read_surface(request)
    rows = [*_random(surface, wanted), *_eigenvectors(surface, wanted)]
    if "towards" in wanted:
        other = weights_of(surface, Path(wanted["towards"]))
        rows += _line("line", surface, other - surface.point, torch.linspace(*LINE, wanted["points"]))
    path = request.output / "landscape.parquet"
    write_parquet(path, pa.table([*map(list, zip(*rows, strict=True))], schema=SCHEMA))
    return [path]


def weights_of(surface: Surface, path: Path) -> Tensor:
    """The weights [P] of another network of the same shape.

    Raises:
        InputError: its weights have other names or shapes.
    """
    state = load_file(path)
    for name, weight in surface.named(surface.point):
        found = list(state[name].shape) if name in state else None
        if found != list(weight.shape):
            raise InputError(f"{path}: weights {name} have shape {found}, expected {list(weight.shape)}")
    return torch.cat([state[name].flatten() for name in surface.names]).to(surface.point)


def _random(surface: Surface, wanted: Parameters) -> Iterator[Value]:
    generator = generator_for(wanted["sample_seed"], "landscape:directions")
    first, second = (random_direction(surface, generator) for _ in range(2))
    sides = torch.linspace(-1, 1, wanted["grid"], dtype=torch.float64).tolist()
    for y in sides:
        for x in sides:
            yield "surface", x, y, surface.loss(surface.point + x * first + y * second)
    yield from _line("random", surface, first, torch.linspace(-1, 1, wanted["points"]))


def _eigenvectors(surface: Surface, wanted: Parameters) -> Iterator[Value]:
    found = eigenpairs_of(surface, [-1, -2], wanted)
    places = torch.linspace(-wanted["reach"], wanted["reach"], wanted["points"], dtype=torch.float64)
    for number, vector in enumerate(found.vectors, 1):
        yield from _line(f"eigenvector_{number}", surface, vector * vector[vector.abs().argmax()].sign(), places)


def _line(kind: str, surface: Surface, direction: Tensor, places: Tensor) -> Iterator[Value]:
    for place in places.double().tolist():
        yield kind, place, None, surface.loss(surface.point + place * direction.to(surface.point))

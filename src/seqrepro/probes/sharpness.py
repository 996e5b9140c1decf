"""Sharpness: how curved the training loss is where a training ended, and how much it rises around there.

The loss is that of a fixed sample of training users with fixed negatives and without dropout, at the weights of the
best validation epoch; users and negatives are the same for all runs (`curvature.sample`). H is its Hessian.

`measurements.parquet` (measure, at, value):
- loss, gradient_norm, weight_norm, targets, parameters: where we stand; curvature means little without the loss.
- lambda_max, lambda_min, and eigenvalue, smallest_eigenvalue by index from 1 (`at`), with residual, smallest_residual:
  ||H v - lambda v|| / |lambda|; lanczos_steps.
- trace, trace_error (standard error); for each group of weights trace_<part>, trace_<part>_error,
  lambda_max_<part>, residual_<part>: of the diagonal block of H.
- loss_increase, loss_increase_one_step in a ball of radius rho; adaptive_loss_increase,
  adaptive_loss_increase_one_step in the ball of ASAM of radius adaptive_rho (`curvature.ball`).

`density.parquet` (eigenvalue, density): the smoothed spectral density of H.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from seqrepro.files import write_parquet
from seqrepro.probes.curvature.ball import adaptive_scale, largest_rise
from seqrepro.probes.curvature.density import spectrum
from seqrepro.probes.curvature.sample import eigenpairs_of, read_surface
from seqrepro.probes.curvature.surface import Surface
from seqrepro.probes.curvature.trace import traces
from seqrepro.probes.measurements import Measurement, write_measurements
from seqrepro.request import Request
from seqrepro.training.randomness import generator_for

Parameters = dict[str, Any]
DENSITY = pa.schema([("eigenvalue", pa.float64()), ("density", pa.float64())])


def run(request: Request) -> list[Path]:
    """Measure the loss surface of a run around its weights.

    Parameters of the request: config (of the run), users, sample_seed, dtype, loss, eigenvalues, trace, density, ball.
    Inputs: sequences.parquet, statistics.json, model.safetensors.

    Raises:
        InputError: the objective has no second derivative here, and no other loss is given.
    """
    wanted, surface = request.parameters, read_surface(request)
    rows = [*_place(surface), *_curvature(surface, wanted), *_rises(surface, wanted["ball"])]
    density = request.output / "density.parquet"
    write_parquet(density, _density(surface, wanted))
    return [write_measurements(request, rows), density]


def _place(surface: Surface) -> Iterator[Measurement]:
    yield "loss", None, surface.loss(surface.point)
    yield "gradient_norm", None, float(surface.gradient(surface.point).norm())
    yield "weight_norm", None, float(surface.point.norm())
    yield "targets", None, surface.n_targets
    yield "parameters", None, len(surface.point)


def _curvature(surface: Surface, wanted: Parameters) -> Iterator[Measurement]:
    yield from _eigenvalues(surface, wanted)
    blocks = {"": torch.ones_like(surface.point, dtype=torch.bool)}
    blocks |= {f"_{part}": mask for part, mask in surface.parts().items()}
    generator = generator_for(wanted["sample_seed"], "curvature:trace")
    found = traces(surface.hessian_times, list(blocks.values()), wanted["trace"]["products"], generator)
    for name, trace in zip(blocks, found, strict=True):
        yield f"trace{name}", None, trace.value
        yield f"trace{name}_error", None, trace.error
    for part in surface.parts():
        block = eigenpairs_of(surface.of_part(part), [-1], wanted)
        yield f"lambda_max_{part}", None, float(block.values[0])
        yield f"residual_{part}", None, float(block.residuals[0])


def _eigenvalues(surface: Surface, wanted: Parameters) -> Iterator[Measurement]:
    count = wanted["eigenvalues"]["count"]
    places = {"": range(-1, -1 - count, -1), "smallest_": range(count)}
    found = eigenpairs_of(surface, [*places[""], *places["smallest_"]], wanted)
    yield "lanczos_steps", None, found.steps
    yield "lambda_max", None, float(found.values.max())
    yield "lambda_min", None, float(found.values.min())
    values, residuals = found.values.view(2, -1).tolist(), found.residuals.view(2, -1).tolist()
    for prefix, own, off in zip(places, values, residuals, strict=True):
        for place, (value, residual) in enumerate(zip(own, off, strict=True), 1):
            yield f"{prefix}eigenvalue", place, value
            yield f"{prefix}residual", place, residual


def _rises(surface: Surface, settings: Parameters) -> Iterator[Measurement]:
    scales = {"": torch.ones_like(surface.point), "adaptive_": adaptive_scale(surface.named(surface.point))}
    for prefix, scale in scales.items():
        rho = settings[f"{prefix}rho"]
        rise = largest_rise(surface.loss, surface.gradient, surface.point, scale, rho, settings["steps"])
        yield f"{prefix}rho", None, rho
        yield f"{prefix}loss_increase", None, rise.largest
        yield f"{prefix}loss_increase_one_step", None, rise.one_step


def _density(surface: Surface, wanted: Parameters) -> pa.Table:
    settings, generator = wanted["density"], generator_for(wanted["sample_seed"], "curvature:density")
    found = spectrum(surface.hessian_times, len(surface.point), settings["runs"], settings["steps"], generator)
    places, density = found.smooth(settings["smoothing"], settings["points"])
    return pa.table([places.tolist(), density.tolist()], schema=DENSITY)

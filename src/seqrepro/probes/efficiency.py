"""Efficiency: what a whole network costs against the length of histories, beside another model's.

Networks are built anew for each length (`fresh.py`), and get rows of exactly that length, equally many of both models.
They take turns in one process. Nothing of the runs is read but their configurations.

`measurements.parquet` (measure, at, value), each `over length`, with `against_` in front the other model's:
- training_seconds: a step with its batch, way back and optimizer. inference_seconds: scores of all items for the rows.
  event_seconds: one more item of one row that has had L, and the scores after it, from a state of constant size if the
  network has one, and by its whole history if not. Medians over blocks.
- training_ratio, inference_ratio, event_ratio, with `_low` and `_high`: the geometric mean of the ratios of paired
  blocks with its 95 % interval; where there is another model.

Of the run's own network alone:
- memory_bytes: what forward and backward of a training step hold (`cores.held_bytes`); state_bytes; targets_per_step.
- operations: of the scores of one row, counted as `operations.py` says.
- `operations of the time path`, of one row, and time_path_seconds, forward and backward of all rows: that path alone,
  where there is one. `seconds of the time path`: the same seconds, from `fit_from` on.

Without `over length`: `slope of <measure> by length`, `slope_low`, `slope_high`, on logarithms, fitted to the lengths
from `fit_from` on; `training_seconds at length 200` and so on, for those who compare models at one length.

A network that would make a tensor larger than `largest_matrix_mb` is not run at that length: null. `machine.json` says
the device. Models with other views have other numbers of targets in as many rows.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seqrepro.files import read_json, write_json
from seqrepro.probes.cores import Form, forward_backward
from seqrepro.probes.cost import PREFIXES, RATIOS, check_alike
from seqrepro.probes.fresh import Fresh, bytes_of, fresh, time_path
from seqrepro.probes.growth import slope
from seqrepro.probes.measurements import Measurement, write_measurements
from seqrepro.probes.turns import interval, seconds_in_turns
from seqrepro.request import Request
from seqrepro.training import machine

FORMS: dict[str, Callable[[Fresh], Form]] = {
    "training": Fresh.training,
    "inference": Fresh.inference,
    "event": Fresh.event,
}
OWN = ("memory_bytes", "state_bytes", "targets_per_step", "operations")
PATH = ("operations of the time path", "time_path_seconds")
GROWING = (*(f"{name}_seconds" for name in FORMS), "memory_bytes", "operations", *PATH)
ALONE = ("training_seconds", "inference_seconds")  # told of single lengths too
Values = dict[str, float | None]


@dataclass(frozen=True)
class Plan:
    """What is measured, of which configurations, and where."""

    wanted: dict[str, Any]
    configs: dict[str, Any]  # by prefix: that of the run, and that of the other one if there is one
    n_items: int
    device: torch.device

    def networks(self, length: int) -> dict[str, Fresh]:
        """By prefix, those that can be run at a length."""
        rows, most = self.wanted["rows"], self.wanted["largest_matrix_mb"]
        found = {
            prefix: fresh(config, self.n_items, rows, length, self.device) for prefix, config in self.configs.items()
        }
        return {prefix: one for prefix, one in found.items() if one.fits(most)}

    def take(self, forms: dict[str, Form]) -> dict[str, list[float]]:
        """The seconds of doing each form once, a number a block."""
        return seconds_in_turns(forms, self.wanted["rounds"], self.wanted["block_seconds"], self.device)


def run(request: Request) -> list[Path]:
    """Measure a run's network against length, and that of another run beside it. Their weights are not read.

    Parameters of the request: config (of the run), lengths, rows, fit_from, rounds, block_seconds, largest_matrix_mb
    and, if there is another model, `against`: the config of its run. Inputs: the data, statistics.json.

    Raises:
        InputError: a network that cannot be built for a length, or the two have another device or number of threads.
    """
    wanted = request.parameters
    configs = [wanted["config"], *([wanted["against"]["config"]] if "against" in wanted else [])]
    check_alike([config["training"] for config in configs])
    recipe = wanted["config"]["training"]
    device = machine.prepare(recipe)
    n_items = read_json(Path(request.inputs[1]))["n_items"]
    plan = Plan(wanted, dict(zip(PREFIXES, configs, strict=False)), n_items, device)
    rows, told = list(measured(plan)), request.output / "machine.json"
    write_json(told, machine.used(recipe, device) | {"torch": torch.__version__})
    return [write_measurements(request, rows), told]


def measured(plan: Plan) -> Iterator[Measurement]:
    """All rows."""
    found = {length: _at(plan, length) for length in plan.wanted["lengths"]}
    curves = {name: {at: values[name] for at, values in found.items()} for name in next(iter(found.values()))}
    for name, curve in curves.items():
        yield from ((f"{name} over length", at, value) for at, value in curve.items())
    for name in ALONE:
        yield from ((f"{name} at length {at}", None, value) for at, value in curves[name].items())
    for name in GROWING:
        curve = {at: value for at, value in curves.get(name, {}).items() if at >= plan.wanted["fit_from"]}
        known = {float(at): value for at, value in curve.items() if value is not None}
        if name == "time_path_seconds":
            yield from (("seconds of the time path over length", at, value) for at, value in curve.items())
        if curve:
            ends = zip(("", "_low", "_high"), slope(known) or (None, None, None), strict=True)
            yield from ((f"slope{end} of {name} by length", None, value) for end, value in ends)


def _at(plan: Plan, length: int) -> Values:
    """All measures at a length."""
    networks = plan.networks(length)
    found: Values = {}
    for name, form in FORMS.items():
        each = plan.take({prefix: form(one) for prefix, one in networks.items()})
        found |= _seconds(name, plan, each)
    own = networks.get("")
    has_path = plan.wanted["config"]["model"].get("time", "off") != "off"
    found |= _counted(own) if own else dict.fromkeys(OWN)
    return found | (_of_path(plan, own) if has_path else {})


def _seconds(name: str, plan: Plan, each: dict[str, list[float]]) -> Values:
    """Medians over blocks, and the ratio of the two sides."""
    found: Values = {
        f"{prefix}{name}_seconds": statistics.median(each[prefix]) if prefix in each else None
        for prefix in plan.configs
    }
    if len(plan.configs) == 1:
        return found
    ratios = interval(*each.values()) if len(each) == 2 else (None,) * 3
    return found | {f"{name}_{which}": value for which, value in zip(RATIOS, ratios, strict=True)}


def _counted(own: Fresh) -> Values:
    """What is counted, in the order of OWN."""
    held = None if own.state is None else bytes_of(own.state)
    values = own.held(), held, own.targets(), own.operations()
    return dict(zip(OWN, values, strict=True))


def _of_path(plan: Plan, own: Fresh | None) -> Values:
    """Operations and seconds of the time path of a network that has one."""
    path = time_path(own) if own else None
    if own is None or path is None:
        return dict.fromkeys(PATH)
    compute, weights = path
    rows = len(own.histories)
    operations = own.operations(compute) // rows
    own.model.train()
    seconds = statistics.median(plan.take({"": forward_backward(compute, weights)})[""])
    return dict(zip(PATH, (operations, seconds), strict=True))

"""Attention: time, memory and operations of a run's way to mix positions, against length and width.

The method of the run takes turns with dot-product attention, once with an explicit matrix of scores (`softmax naive`)
and once fused (`softmax sdpa`), in one process and one type of numbers, at the run's width and heads; weights are drawn
and nothing is trained. Beside causal Hydra attention as published there are its fused kernels, if they can be had: on a
CPU with a C compiler, or on a GPU with Triton (`hydra fused`). On a GPU in 16 bits FlashAttention is beside them, and
the kernel of flash-linear-attention if it is installed.

`measurements.parquet` (measure, at, value); with `of <other>` behind the first word it is another method's:
- `seconds, <level>, <passes> over length`: medians over blocks. Level: `core`, the method alone, or `block`, with
  maps, norms and inner layers. Passes: `forward` or `forward and backward`. The number of rows is constant, or with
  `, constant tokens` the number of positions of all rows.
- `ratio to <other>, <level>, <passes> over length`, `ratio_low to`, `ratio_high to`: the geometric mean of the ratios
  of paired blocks with its 95 % interval. `crossover with <other>, <level>, <passes>`, `crossover_low with`,
  `crossover_high with`: the length from where on the method is faster; null if it is not within the lengths.
- `slope of seconds, <level>, <passes> by length`, with `slope_low`, `slope_high`: over the lengths from `fit_from` on.
- `seconds, core, forward over width`, and its slope, at the length `width_length`.
- `seconds over length`, `seconds over width`: the points of the core's forward pass that its slopes are fitted to.
- `memory_bytes over length`: of the core's forward and backward pass (`cores.held_bytes`).
- `operations over length`, `operations over width`: of one row, position after position for a causal method: what it
  takes itself; `operations_as_run`: of the form that is timed, which may work in chunks.
- `seconds_per_event`, `state_bytes`, `operations_per_event`, each `over length`: a step of one row that has had so many
  positions, of causal methods.

A method whose matrix of scores would be larger than `largest_matrix_mb` is not run at that length: null.
`machine.json` says the device, the type of numbers and the kernels of dot-product attention.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from seqrepro.files import write_json
from seqrepro.models.attention.interface import Attention
from seqrepro.probes import cores, operations
from seqrepro.probes.cores import FUSED_NAME, NAIVE_NAME, OWN, Bench, Build, Form, Shape
from seqrepro.probes.growth import crossover, slope
from seqrepro.probes.measurements import Measurement, write_measurements
from seqrepro.probes.turns import interval, seconds_in_turns
from seqrepro.request import Request
from seqrepro.training import machine

PASSES: dict[str, Callable[..., Form]] = {"forward": cores.forward, "forward and backward": cores.forward_backward}
ENDS = ("", "_low", "_high")
TOKENS = ", constant tokens"
Points = dict[int, Shape]
Times = dict[str, dict[int, list[float]]]  # seconds of each block, by method and by what is varied


@dataclass(frozen=True)
class Plan:
    """A run's method with what it is beside, and the settings of the probe."""

    wanted: dict[str, Any]
    shape: Shape
    methods: dict[str, Build]
    bench: Bench

    @property
    def batches(self) -> Points:
        """A constant number of rows, by length."""
        return {n: replace(self.shape, rows=self.wanted["rows"], length=n) for n in self.wanted["lengths"]}

    @property
    def tokens(self) -> Points:
        """A constant number of positions, by length; at least one row."""
        tokens = self.wanted["tokens"]
        return {n: replace(shape, rows=max(1, tokens // n)) for n, shape in self.batches.items()}

    @property
    def widths(self) -> Points:
        """By width, at one length."""
        longest = replace(self.shape, rows=self.wanted["rows"], length=self.wanted["width_length"])
        heads = self.shape.heads
        return {n: replace(longest, width=n) for n in self.wanted["widths"] if n % heads == 0}

    def fits(self, method: str, shape: Shape) -> bool:
        """Whether what a method writes into memory is within the bound."""
        matrix = shape.rows * shape.heads * shape.length**2 * self.bench.dtype.itemsize
        explicit = getattr(self.methods[method](replace(shape, length=1)), "kernel", "sdpa") == "naive"
        return not explicit or matrix <= self.wanted["largest_matrix_mb"] * 2**20

    def take(self, forms: dict[str, Form]) -> dict[str, list[float]]:
        """The seconds of doing each form once, a number a block."""
        return seconds_in_turns(forms, self.wanted["rounds"], self.wanted["block_seconds"], self.bench.device)


def run(request: Request) -> list[Path]:
    """Measure the attention of a run. Its weights are not read.

    Parameters of the request: config (of the run), lengths, widths, width_length, rows, tokens, fit_from, rounds,
    block_seconds, largest_matrix_mb, dtype, compiled (false if it is not there).

    Raises:
        InputError: the network has no attention, or `compiled` is asked for and there is no compiler.
    """
    wanted, recipe = request.parameters, request.parameters["config"]["training"]
    device = machine.prepare(recipe)
    torch.set_deterministic_debug_mode("default")  # nothing here is kept but times
    bench = Bench(device, cores.DTYPES[wanted["dtype"]], wanted.get("compiled", False))
    cores.check_compiler(bench)
    shape, own = cores.network_of(wanted["config"]["model"])
    plan = Plan(wanted, shape, cores.methods_of(own, shape, device, bench.dtype), bench)
    told = request.output / "machine.json"
    write_json(told, {**machine.used(recipe, device), **_described(plan), "torch": torch.__version__})
    return [write_measurements(request, list(measured(plan))), told]


def measured(plan: Plan) -> Iterator[Measurement]:
    """All rows."""
    for level in ("core", "block"):
        for passes in PASSES:
            yield from _against_length(plan, f"{level}, {passes}", plan.batches)
            yield from _against_length(plan, f"{level}, {passes}{TOKENS}", plan.tokens)
    yield from _medians(_times(plan, "core, forward", plan.widths), "core, forward", "width", plan.widths, 0)
    yield from _memory(plan)
    yield from _operations(plan, "length", plan.batches)
    yield from _operations(plan, "width", plan.widths)
    if plan.shape.causal:
        yield from _events(plan)


def _times(plan: Plan, name: str, points: Points) -> Times:
    """Seconds by method and point, where the method fits; `name` says level and passes."""
    level, passes = name.removesuffix(TOKENS).split(", ")
    times: Times = {method: {} for method in plan.methods}
    for at, shape in points.items():
        fitting = {method: build for method, build in plan.methods.items() if plan.fits(method, shape)}
        computed = {method: getattr(plan.bench, level)(build, shape) for method, build in fitting.items()}
        found = plan.take({method: PASSES[passes](*one) for method, one in computed.items()})
        for method, each in found.items():
            times[method][at] = each
    return times


def _against_length(plan: Plan, name: str, points: Points) -> Iterator[Measurement]:
    times, fit_from = _times(plan, name, points), plan.wanted["fit_from"]
    yield from _medians(times, name, "length", points, fit_from)
    for other in list(times)[1:]:
        both = {at: interval(times[OWN][at], times[other][at]) for at in times[OWN] if at in times[other]}
        for at, found in both.items():
            yield from _ends("ratio", f" to {other}, {name} over length", found, at)
        yield from _ends("crossover", f" with {other}, {name}", crossover(both))


def _medians(times: Times, name: str, over: str, points: Points, fit_from: int) -> Iterator[Measurement]:
    """Medians over blocks, and the slope of those that it is fitted to."""
    for method, found in times.items():
        curve = {at: statistics.median(each) for at, each in found.items()}
        yield from ((f"seconds{_of(method)}, {name} over {over}", at, curve.get(at)) for at in points)
        fitted = {float(at): value for at, value in curve.items() if at >= fit_from}
        yield from _ends("slope", f" of seconds{_of(method)}, {name} by {over}", slope(fitted) or (None, None, None))
        if name == "core, forward":
            yield from ((f"seconds{_of(method)} over {over}", at, value) for at, value in fitted.items())


def _memory(plan: Plan) -> Iterator[Measurement]:
    for method, build in plan.methods.items():
        for at, shape in plan.batches.items():
            fits = plan.fits(method, shape)
            held = cores.held_bytes(*plan.bench.core(build, shape), plan.bench.device) if fits else None
            yield f"memory_bytes{_of(method)} over length", at, held


def _operations(plan: Plan, over: str, points: Points) -> Iterator[Measurement]:
    """Those of one row; of a causal method with steps, of steps."""
    for method, build in _torch_only(plan).items():
        for at, shape in points.items():
            attention = build(shape)
            as_run = operations.of_rows(attention, (1, *shape.by_head[1:]), shape.causal)
            own = (
                operations.of_events(attention, shape.heads, shape.by_head[3], shape.length) if shape.causal else as_run
            )
            yield f"operations{_of(method)} over {over}", at, own
            yield f"operations_as_run{_of(method)} over {over}", at, as_run


def _events(plan: Plan) -> Iterator[Measurement]:
    """A step of one row, by the length of its history."""
    methods = {name: build for name, build in _torch_only(plan).items() if name != NAIVE_NAME}
    shape = replace(plan.shape, rows=1)
    for at in plan.wanted["lengths"]:
        computed = {method: plan.bench.event(build, shape, at) for method, build in methods.items()}
        found = plan.take({method: cores.forward(step, []) for method, (step, _) in computed.items()})
        for method, build in methods.items():
            yield f"seconds_per_event{_of(method)} over length", at, statistics.median(found[method])
            yield f"state_bytes{_of(method)} over length", at, computed[method][1]
            taken = operations.of_event(build(replace(shape, length=at + 1)), shape.heads, shape.by_head[3], at)
            yield f"operations_per_event{_of(method)} over length", at, taken


def _torch_only(plan: Plan) -> dict[str, Build]:
    """Without kernels of others, whose operations torch does not see."""
    return {name: build for name, build in plan.methods.items() if name in (OWN, NAIVE_NAME, FUSED_NAME)}


def _described(plan: Plan) -> dict[str, Any]:
    """The type of numbers, whether forms are compiled, and the kernels that dot-product attention has."""
    compute, weights = replace(plan.bench, compiled=False).core(_fused(plan), plan.batches[plan.wanted["lengths"][0]])
    kernels: dict[str, list[str]] = {}
    for passes in PASSES:
        with operations.Operations() as counter:
            PASSES[passes](compute, weights)(1)
        kernels[passes] = sorted(counter.kernels)
    return {"dtype": plan.wanted["dtype"], "compiled": plan.bench.compiled, "kernels": kernels}


def _fused(plan: Plan) -> Callable[[Shape], Attention]:
    return plan.methods.get(FUSED_NAME, plan.methods[OWN])


def _ends(
    name: str, rest: str, found: tuple[float | None, float | None, float | None], at: float | None = None
) -> Iterator[Measurement]:
    """A value and both ends of its interval."""
    yield from ((f"{name}{end}{rest}", at, value) for end, value in zip(ENDS, found, strict=True))


def _of(method: str) -> str:
    return f" of {method}" if method else ""

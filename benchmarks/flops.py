"""How near a training step comes to what the machine can multiply, and what it spends its time on.

    SEQREPRO_MIRROR=... python benchmarks/flops.py [--repeats 5] [--device cuda] [--out benchmarks/results/flops.json]

A step of our trainer on Beauty: 256 users, all positions, D = 64 and 256 (inner width 4 D), dropout 0.5, one thread on
a CPU. Its floating point operations are those of its matrix products, 2 m n k each, as torch's FlopCounterMode sees
them; kernels that the counter does not know (products that add in place, fused attention on the CPU) are counted here
by the same rule. What it counts in the softmax over the catalogue is first compared with 6 T V D, its definition.

- peak: the best of square products of 2,048 (CPU) or 8,192 (GPU) rows.
- peak of the shapes: [T', D] x [D, V] as in the softmax, T' targets of a chunk.
- time by kind: torch's profiler, each operator's own time, grouped by name.
- on a GPU: bytes a second of a copy (read and written), and the share of it that the weights, their gradients and the
  moments of Adam need.

Shapes: T targets of a step, V items, D width, H heads, L length.
"""

import statistics
import time
from functools import partial
from typing import Any

import torch
from common import Turn, arguments, finish, take_turn, take_turns
from machine import machine
from ours import SETTINGS, OurSteps, configuration, read_split
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from seqrepro.data.splits import Split
from seqrepro.training.softmax import mean_cross_entropy

DATASET, WIDTHS = "beauty", (64, 256)
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
aten = torch.ops.aten
ENGINE = "Python and the autograd engine"  # own time of what encloses operators
GROUPS = {  # the first group of which a word is in a name
    "indexing, copies and shapes": (
        *("index", "gather", "scatter", "copy", "cat", "pad", "fill", "zero_", "embedding", "select", "slice", "split"),
        *("empty", "strided", "view", "reshape", "permute", "transpose", "expand", "squeeze", "sort", "nonzero"),
    ),
    "matrix products": ("mm", "matmul", "linear", "gemm", "nvjet", "cutlass"),
    "attention": ("attention", "flash"),
    "softmax and exponentials": ("softmax", "exp", "log", "amax"),
    "dropout and random numbers": ("dropout", "bernoulli", "rand"),
    "normalisation": ("norm",),
    "optimizer": ("adam", "foreach"),
    "activations": ("gelu", "relu"),
    "sums and elementwise": ("add", "mul", "sub", "div", "sum", "where", "all", "elementwise", "reduce"),
}


def product(_: Any, left: Any, right: Any, *__: Any, **___: Any) -> int:
    """2 m n k of the product of the last two axes, for each of the batch."""
    return int(2 * torch.Size(left).numel() * right[-1])


def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Fused attention, the whole square, as the counter has it for GPUs."""
    return int(sdpa_flop_count(query, key, value))


def attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Its gradient."""
    return int(sdpa_backward_flop_count(gradient, query, key, value))


UNKNOWN_TO_THE_COUNTER = {
    aten.addmm_: product,
    aten.baddbmm_: product,
    aten._scaled_dot_product_flash_attention_for_cpu: attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
}


def counted(call: Any) -> tuple[int, dict[str, int]]:
    """The operations of a call, in all and by kernel."""
    counter = FlopCounterMode(display=False, custom_mapping=UNKNOWN_TO_THE_COUNTER)
    with counter:
        call()
    kernels = {
        str(kernel).removeprefix("aten."): flops for kernel, flops in counter.get_flop_counts()["Global"].items()
    }
    return counter.get_total_flops(), kernels


def check_softmax(part: OurSteps) -> None:
    """The counter sees into the chunked softmax: 6 T V D, forward and backward."""
    table = part.model.item_table().detach().requires_grad_()
    hidden = torch.zeros(700, table.shape[1], device=table.device, requires_grad=True)
    targets = torch.ones(700, dtype=torch.int64, device=table.device)
    found, kernels = counted(lambda: mean_cross_entropy(hidden, table, targets).backward())
    expected = 6 * 700 * (len(table) - 1) * table.shape[1]
    if abs(found / expected - 1) > 1e-6:
        raise SystemExit(f"the counter finds {found:,} operations in the softmax, {expected:,} are expected: {kernels}")


def peak(rows: int, inner: int, columns: int, device: str, precision: str, seconds: float = 0.5) -> float:
    """Floating point operations a second of a product [rows, inner] x [inner, columns]: the best of its repetitions."""
    dtype = DTYPES[precision]
    left, right = (torch.randn(shape, device=device, dtype=dtype) for shape in ((rows, inner), (inner, columns)))
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    best, ends = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        turn = take_turn(lambda: len(torch.mm(left, right, out=out)), device)
        best = max(best, 2 * rows * inner * columns / spent(turn, device))
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    return best


def copy_bandwidth(device: str) -> float:
    """Bytes a second of a copy within the device's memory, read and written: the best of ten."""
    source = torch.zeros(2**28 if device == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    turns = [take_turn(lambda: len(target.copy_(source)), device) for _ in range(10)]
    return max(2 * source.nbytes / turn.seconds for turn in turns)


def shares(part: OurSteps, steps: int, device: str) -> dict[str, float]:
    """The share of each kind of operator in the profiled own time, and that of the rest."""
    activity = ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        part.run(steps)
    time_of = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    found = dict.fromkeys([*GROUPS, ENGINE, "rest"], 0.0)
    for event in profiler.key_averages():
        found[group_of(event.key, device)] += getattr(event, time_of)
    total = sum(found.values())
    return {name: round(value / total, 4) for name, value in found.items()}


def group_of(operator: str, device: str) -> str:
    """The group of an operator's name, on a GPU of a kernel's."""
    if device == "cpu" and not operator.startswith("aten::"):
        return ENGINE
    name = operator.lower().removeprefix("aten::")
    for group, words in GROUPS.items():
        if any(word in name for word in words):
            return group
    return "rest"


def measure(split: Split, width: int, repeats: int, steps: int, device: str, precision: str) -> dict[str, Any]:
    """One width: the steps and the peaks take turns, so that what else the machine does slows both."""
    model = SETTINGS[DATASET] | {"width": width, "inner_width": 4 * width}
    part = OurSteps(configuration(model, device=device, precision=precision), split)
    check_softmax(part)
    part.run(2)
    size, chunk = (2048, 2**19 // split.train.n_items) if device == "cpu" else (8192, 2048)
    shapes = {"peak": (size, size, size), "peak_of_the_shapes": (chunk, width, split.train.n_items)}
    found: list[dict[str, float]] = []
    for _ in range(repeats):
        done: list[int] = []
        flops, kernels = counted(lambda done=done: done.append(part.run(steps)))
        turn = take_turns({f"D = {width}": partial(part.run, steps)}, 1, device)[f"D = {width}"][0]
        flops_a_target = flops / done[0]
        seconds = spent(turn, device)
        line = {"gigaflop_a_step": flops_a_target * turn.work / steps / 1e9, "seconds_a_step": seconds / steps}
        line |= {f"{name}_gigaflops": peak(*shape, device, precision) / 1e9 for name, shape in shapes.items()}
        line["gigaflops"] = line["gigaflop_a_step"] / line["seconds_a_step"]
        found.append(line | {"share_of_peak": line["gigaflops"] / line["peak_gigaflops"]})
    result: dict[str, Any] = {name: round(statistics.median(line[name] for line in found), 5) for name in found[0]}
    result["gigaflop_by_kernel"] = {name: round(count / steps / 1e9, 3) for name, count in kernels.items()}
    result["time_by_kind"] = shares(part, steps, device)
    return result | (bandwidth(part, result["seconds_a_step"], device) if device == "cuda" else {})


def spent(turn: Turn, device: str) -> float:
    """Processor seconds on the CPU, seconds on a GPU."""
    return turn.processor if device == "cpu" else turn.seconds


def bandwidth(part: OurSteps, seconds: float, device: str) -> dict[str, float]:
    """What must move at least: weights, gradients and both moments of Adam, read and written (7 accesses a weight)."""
    least = 7 * sum(weight.nbytes for weight in part.model.parameters())
    best = copy_bandwidth(device)
    found = {"least_gigabytes_a_step": least / 1e9, "copy_gigabytes_a_second": best / 1e9}
    return {name: round(value, 4) for name, value in (found | {"share_of_copy": least / seconds / best}).items()}


def main() -> None:
    """Measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=5, steps=20, precision="fp32")
    torch.set_num_threads(1)
    split = read_split(DATASET)
    found = {
        str(width): measure(split, width, given.repeats, given.steps, given.device, given.precision) for width in WIDTHS
    }
    result = {"dataset": DATASET, "by_width": found, "repeats": given.repeats, "threads": 1}
    result |= {"precision": given.precision, "machine": machine("torch", device=given.device)}
    finish(given, result)


if __name__ == "__main__":
    main()

"""Causal Hydra attention in one pass over memory: written out, compiled, in blocks, and fused, against the least.

    python benchmarks/hydra.py [--repeats 31] [--out benchmarks/results/hydra.json]

q_t * sum over s <= t of k_s * v_s, float32, one thread, D = 64, the same number of positions at each length. The least
is to read queries, keys and values once and to write the mixture once: `torch.addcmul` of the same tensors into one
that is there. Forward and backward together have eleven such streams in place of four. The parts take turns in one
process; a ratio is that of one round, of processor times, and medians over rounds are given. Values and gradients are
compared first. What is compiled is compiled before anything is timed.

Shapes: B rows, T length, D width, C chunks of Q positions.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from common import arguments, finish
from machine import machine

from seqrepro.models.attention import hydra_c
from seqrepro.models.attention.hydra_fused import gated_sum
from seqrepro.training import machine as training_machine

POSITIONS, D = 65_536, 64
LENGTHS = (50, 100, 200, 512, 1024, 2048, 4096)
STREAMS = {"forward": 4, "forward and backward": 11}  # tensors that are read or written at least
CHUNK, BLOCK = 16, 2**19  # Q; numbers of a block, 2 MiB
Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def written_out(query, key, value):
    """As the operator stands in hydra.py."""
    return query * (key * value).cumsum(1)


def fused(query, key, value):
    """The loop in C."""
    return gated_sum(query, key, value, hydra_c)


@torch.no_grad()
def in_blocks(query, key, value):
    """By torch alone: blocks of rows that stay in a cache, and in them chunks of positions; forward only."""
    rows, length, width = query.shape
    at_once, chunks = max(1, BLOCK // (length * width)), -(-length // CHUNK)
    out, room = torch.empty_like(query), query.new_zeros(min(rows, at_once), chunks, CHUNK, width)
    for start in range(0, rows, at_once):
        block = slice(start, start + at_once)
        sums = room[: rows - start]
        shown = sums.flatten(1, 2)[:, :length]
        torch.mul(key[block], value[block], out=shown)
        places = sums.unbind(2)
        for before, place in pairwise(places):
            place.add_(before)
        sums[:, 1:].add_(places[-1][:, :-1].cumsum(1)[:, :, None])
        torch.mul(query[block], shown, out=out[block])
        sums.flatten(1, 2)[:, length:].zero_()
    return out


def made_inputs(length: int) -> list[torch.Tensor]:
    """Queries, keys, values and the gradient of the mixture, [B, T, D] each."""
    generator = torch.Generator().manual_seed(length)
    drawn = [torch.randn(POSITIONS // length, length, D, generator=generator) for _ in range(4)]
    return [one.requires_grad_(place < 3) for place, one in enumerate(drawn)]


def once(product: Product, passes: str, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The mixture and, with the way back, its gradients."""
    if passes == "forward":
        with torch.no_grad():
            return [product(*inputs[:3])]
    mixed = product(*inputs[:3])
    return [mixed, *torch.autograd.grad(mixed, inputs[:3], inputs[3])]


def errors(products: dict[str, Product], inputs: list[torch.Tensor]) -> dict[str, float]:
    """Root mean square of what each is away from the same in 64 bits; stops where something is wrong."""
    exact = once(written_out, "forward and backward", [one.detach().double().requires_grad_() for one in inputs])
    found = {}
    for name, product in products.items():
        passes = "forward" if name == "in blocks" else "forward and backward"
        for mine, right in zip(once(product, passes, inputs), exact, strict=False):
            torch.testing.assert_close(mine.double(), right, rtol=0, atol=1e-5 * float(right.detach().abs().max()))
        gap = once(product, "forward", inputs)[0] - exact[0].detach()
        found[name] = float(f"{gap.square().mean().sqrt().item():.3g}")
    return found


def measure(length: int, repeats: int) -> dict[str, Any]:
    """Times as multiples of the least, by passes and part, and what sums in 32 bits are away from the truth."""
    torch.compiler.reset()
    inputs = made_inputs(length)
    compiled = torch.compile(written_out, dynamic=False)
    products = {"written out": written_out, "compiled": compiled, "in blocks": in_blocks, "fused": fused}
    found: dict[str, Any] = {"rows": len(inputs[0]), "error": errors(products, inputs)}
    room, plain = torch.empty_like(inputs[3]), [one.detach() for one in inputs[:3]]
    for passes, streams in STREAMS.items():
        parts = {name: one for name, one in products.items() if passes == "forward" or name != "in blocks"}
        times: dict[str, list[float]] = {name: [] for name in ("least", *parts)}
        for turn in range(repeats + 1):
            spent = {"least": spend(partial(torch.addcmul, *plain, out=room)) * streams / STREAMS["forward"]}
            spent |= {name: spend(partial(once, part, passes, inputs)) for name, part in parts.items()}
            for name, seconds in spent.items():
                times[name] += [seconds] if turn else []
        found[passes] = {"least_milliseconds": round(1e3 * statistics.median(times["least"]), 3)} | {
            name: round(statistics.median(a / b for a, b in zip(times[name], times["least"], strict=True)), 2)
            for name in parts
        }
    return found


def spend(call: Callable[[], object]) -> float:
    """Seconds of the processor."""
    started = time.process_time()
    call()
    return time.process_time() - started


def main() -> None:
    """Show equality, measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=31, device=False)
    training_machine.prepare({"device": "cpu", "threads": 1, "precision": "fp32"})
    found = {str(length): measure(length, given.repeats) for length in LENGTHS}
    told = {"positions": POSITIONS, "width": D, "repeats": given.repeats, "machine": machine("torch")}
    finish(given, {"times_the_least_by_length": found} | told)


if __name__ == "__main__":
    main()

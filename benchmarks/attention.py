"""Causal self-attention: torch's fused function, which the models use, against its formula written out.

    python benchmarks/attention.py [--repeats 15] [--out benchmarks/results/attention.json]

Forward and backward of softmax(Q K^T / sqrt(D)) V by head, causal, float32, one thread, taking turns in one process.
Times are processor times, from which other work on the machine takes less than from the clock's. With dropout on the
attention weights torch has no fused kernel for the CPU and falls back on the formula. Values and gradients are compared
first.

Shapes: B rows, H heads, L length, D width of a head.
"""

import math
import statistics
import time
from typing import Any

import torch
from common import arguments, finish
from machine import machine
from torch.nn import functional as F

B, H, D = 256, 2, 32
LENGTHS = (10, 50, 200)


def fused(query, key, value, dropout):
    """As the models call it."""
    return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)


def written_out(query, key, value, dropout):
    """Scores, mask, softmax, dropout, sum."""
    length = query.shape[2]
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    scores = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).masked_fill(later, -math.inf)
    return F.dropout(scores.softmax(-1), dropout) @ value


PARTS = {f"{call.__name__}, dropout {p}": (call, p) for call in (fused, written_out) for p in (0.0, 0.5)}


def made_inputs(length: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Q, K, V and the gradient of the output, [B, H, L, D] each."""
    generator = torch.Generator().manual_seed(length)
    drawn = [torch.randn(B, H, length, D, generator=generator, dtype=dtype) for _ in range(4)]
    return [tensor.requires_grad_(place < 3) for place, tensor in enumerate(drawn)]


def once(part: str, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Output and gradients."""
    call, dropout = PARTS[part]
    output = call(*inputs[:3], dropout)
    return [output, *torch.autograd.grad(output, inputs[:3], inputs[3])]


def show_equal(length: int) -> None:
    """The same values and gradients in float64, without dropout and, with the same draws, with it."""
    inputs = made_inputs(length, torch.float64)
    for dropout in (0.0, 0.5):
        found = []
        for name in ("fused", "written_out"):
            torch.manual_seed(1)
            found.append(once(f"{name}, dropout {dropout}", inputs))
        for mine, theirs in zip(*found, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12 * float(theirs.detach().abs().max()))


def measure(length: int, repeats: int) -> dict[str, float]:
    """Median milliseconds of processor time of each part, after one turn that does not count."""
    inputs = made_inputs(length)
    times: dict[str, list[float]] = {part: [] for part in PARTS}
    for turn in range(repeats + 1):
        for part, found in times.items():
            started = time.process_time()
            once(part, inputs)
            if turn:
                found.append(1e3 * (time.process_time() - started))
    return {part: round(statistics.median(found), 3) for part, found in times.items()}


def main() -> None:
    """Show equality, measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=15, device=False)
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for length in LENGTHS:
        show_equal(length)
        found[str(length)] = measure(length, given.repeats)
    result = {
        "processor_milliseconds_by_length": found,
        "rows": B,
        "heads": H,
        "width_of_a_head": D,
        "repeats": given.repeats,
    }
    finish(given, result | {"machine": machine("torch")})


if __name__ == "__main__":
    main()

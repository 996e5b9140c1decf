"""Kernels of fused Hydra attention for a CPU: a loop over positions in C, built when it is first asked for.

Each row is read from memory once and its results are written once, so it takes about as long as memory does. The way
back goes through a block of rows twice, up and down, the second time mostly in a cache. Sums are of 64 bits. One
thread.

Shapes: B rows, T length, D width.
"""

import ctypes
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from seqrepro.errors import InputError

COMPILER = "cc"
OPTIONS = ("-O3", "-march=native", "-shared", "-fPIC")
TYPES = {torch.float32: "float", torch.float64: "double"}
LANES = 64  # features that are summed side by side
BLOCK = 2**15  # numbers of a block of rows; of 32 bits and with all that belongs to them just below 1 MiB
SIZES = (f"-DLANES={LANES}", f"-DBLOCK={BLOCK}")
SOURCE = r"""
/* The running sum of a * b over the positions of a row, times c and, if there is one, times e. */
static inline void scan(const REAL *restrict a, const REAL *restrict b, const REAL *restrict c, REAL *restrict c_out,
                        const REAL *restrict e, REAL *restrict e_out, long length, long width, int backwards) {
    for (long from = 0; from < width; from += LANES) {
        const long lanes = width - from < LANES ? width - from : LANES;
        double sum[LANES] = {0};
        for (long step = 0; step < length; step++) {
            const long at = (backwards ? length - 1 - step : step) * width + from;
            for (long i = 0; i < lanes; i++) {
                sum[i] += (double)a[at + i] * b[at + i];
                c_out[at + i] = c[at + i] * (REAL)sum[i];
                if (e) e_out[at + i] = e[at + i] * (REAL)sum[i];
            }
        }
    }
}

void forward(const REAL *q, const REAL *k, const REAL *v, REAL *out, long rows, long length, long width) {
    for (long at = 0; at < rows * length * width; at += length * width)
        scan(k + at, v + at, q + at, out + at, 0, 0, length, width, 0);
}

/* Blocks of rows: a row alone is too short for a processor that loads ahead what it foresees. */
void backward(const REAL *g, const REAL *q, const REAL *k, const REAL *v, REAL *dq, REAL *dk, REAL *dv,
              long rows, long length, long width) {
    const long row = length * width, some = row < BLOCK ? BLOCK / row : 1;
    for (long from = 0; from < rows; from += some) {
        const long to = from + some < rows ? from + some : rows;
        for (long at = from * row; at < to * row; at += row)
            scan(k + at, v + at, g + at, dq + at, 0, 0, length, width, 0);
        for (long at = (to - 1) * row; at >= from * row; at -= row)
            scan(g + at, q + at, v + at, dk + at, k + at, dv + at, length, width, 1);
    }
}
"""


def forward(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The product [B, T, D] of queries, keys and values [B, T, D]; see `hydra_fused.py`.

    Raises:
        InputError: there is no C compiler, or the tensors are not on a CPU.
    """
    (out,) = _called("forward", [query, key, value], 1)
    return out


def backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """The gradients of query, key and value, from that of the product; [B, T, D] each."""
    return _called("backward", [gradient, query, key, value], 3)


def _called(name: str, inputs: list[Tensor], results: int) -> tuple[Tensor, ...]:
    """The results of a function, as large as its first input."""
    like = inputs[0]
    if like.device.type != "cpu":
        raise InputError(f"hydra_c: found tensors on {like.device.type}, expected them on a CPU")
    inputs = [one.contiguous() for one in inputs]
    outputs = tuple(torch.empty_like(inputs[0]) for _ in range(results))
    pointers = [ctypes.c_void_p(one.data_ptr()) for one in (*inputs, *outputs)]
    if like.numel():
        getattr(library(TYPES[like.dtype]), name)(*pointers, *map(ctypes.c_long, like.shape))
    return outputs


@cache
def library(real: str) -> ctypes.CDLL:
    """The compiled functions for a type of numbers; their file is gone once they are loaded.

    Raises:
        InputError: there is no C compiler, or it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "hydra.c", Path(folder) / "hydra.so"
        source.write_text(SOURCE)
        command = [COMPILER, *OPTIONS, f"-DREAL={real}", *SIZES, str(source), "-o", str(made)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[0]
            raise InputError(f"hydra_c: {COMPILER} fails ({said}); expected a C compiler") from None
        return ctypes.CDLL(str(made))

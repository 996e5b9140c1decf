"""The scans by the fused kernels of `mamba_ssm` (state-spaces/mamba), on a GPU, in the place of plain torch.

`kernel: fused` of a model asks for them; nothing is imported before. They compute in 32 bits inside and give what plain
torch gives, up to rounding; they have no second derivative, and the scan of Mamba-1 knows no segments.

Shapes: B rows, L length, E channels, H heads, P width of a head, N width of a state.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from seqrepro.errors import InputError
from seqrepro.models.ssm.ssd import CHUNK

Kernel = Literal["torch", "fused"]
PACKAGE = "mamba_ssm"


def check(kernel: Kernel) -> None:
    """Refuse fused kernels where there are none.

    Raises:
        InputError: no CUDA device, or the package is not installed.
    """
    if kernel == "torch":
        return
    if not torch.cuda.is_available():
        raise InputError("architecture.kernel: 'fused' was asked for, and torch sees no CUDA device; expected 'torch'")
    if find_spec(PACKAGE) is None:
        raise InputError(
            f"architecture.kernel: 'fused' was asked for, and {PACKAGE} is not installed; expected 'torch'"
        )


def fused_ssd(
    x: Tensor,
    delta: Tensor,
    rate: Tensor,
    keys: Tensor,
    queries: Tensor,
    skip: Tensor,
    segments: Tensor | None = None,
) -> Tensor:
    """As `ssd.ssd`, without states: [B, L, H, P]."""
    scan = _function("ops.triton.ssd_combined", "mamba_chunk_scan_combined")
    numbers = None if segments is None else segments.int()
    given = (keys[:, :, None].to(x.dtype), queries[:, :, None].to(x.dtype), CHUNK)
    mixed: Tensor = scan(x.contiguous(), delta, rate, *given, D=skip, seq_idx=numbers)
    return mixed


def fused_selective_scan(
    x: Tensor, delta: Tensor, rate: Tensor, keys: Tensor, queries: Tensor, skip: Tensor, segments: Tensor | None = None
) -> Tensor:
    """As `selective_scan.selective_scan`, without states and segments: [B, L, E]."""
    if segments is not None:
        raise InputError("architecture.kernel: 'fused' was asked for, and its scan knows no segments; expected 'torch'")
    scan = _function("ops.selective_scan_interface", "selective_scan_fn")
    by_channel = (one.mT.to(x.dtype).contiguous() for one in (x, delta))
    by_state = (one.mT.to(x.dtype).contiguous() for one in (keys, queries))
    mixed: Tensor = scan(*by_channel, rate, *by_state, D=skip)
    return mixed.mT


def _function(module: str, name: str) -> Any:
    return getattr(import_module(f"{PACKAGE}.{module}"), name)

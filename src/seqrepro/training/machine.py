"""What the numbers are computed with: threads, device, deterministic kernels, memory."""

import ctypes
import os
import platform
import resource
import sys
from typing import Any

import torch

from seqrepro.errors import InputError
from seqrepro.training import precision

MALLOC = {
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),
    "M_MMAP_THRESHOLD": (-3, 2**25),
}  # numbers and values for glibc's mallopt


def prepare(recipe: dict[str, Any]) -> torch.device:
    """Set up torch as the training recipe says and return the device to compute on.

    Raises:
        InputError: the recipe wants a GPU and there is none, or a precision that it does not have.
    """
    device = recipe.get("device", "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("training.device: 'cuda' was asked for, and torch finds no GPU; expected one, or 'cpu'")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _keep_freed_memory()
    torch.set_num_threads(recipe["threads"])
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    precision.strict_products()
    precision.check(recipe.get("precision", "fp32"), torch.device(device))
    return torch.device(device)


def describe(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU ({torch.backends.cpu.get_cpu_capability()})"


def used(recipe: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """What `timing.json` says about it; the precision of a closed form is None."""
    return {
        "device": describe(device),
        "threads": recipe["threads"],
        "precision": recipe.get("precision"),
        **peak_memory(device),
    }


def peak_memory(device: torch.device) -> dict[str, int | None]:
    """Bytes: the most that this process held in main memory, and that its tensors took on the GPU (None without)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def _keep_freed_memory() -> None:
    """Let glibc keep blocks below 32 MB for the next batch: fresh pages cost as much as filling them."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for name, value in MALLOC.values():
            mallopt(name, value)

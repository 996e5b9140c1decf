"""What the numbers are computed with: threads, device, deterministic kernels."""

import os
import platform
from typing import Any

import torch

from seqrepro.errors import InputError


def prepare(recipe: dict[str, Any]) -> torch.device:
    """Set up torch as the training recipe says and return the device to compute on.

    Raises:
        InputError: the recipe wants a GPU and there is none.
    """
    device = recipe.get("device", "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("training.device: 'cuda' was asked for, and torch finds no GPU; expected one, or 'cpu'")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(recipe["threads"])
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(device)


def describe(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU ({torch.backends.cpu.get_cpu_capability()})"

"""Running out of memory, on a GPU or in main memory, as one line that says what to change."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from seqrepro.errors import InputError
from seqrepro.training import machine

WORDS = re.compile(r"can't allocate memory|out of memory|not enough memory|bad_alloc|ALLOC_FAILED", re.IGNORECASE)
ASKED = re.compile(r"tried to allocate ([\d.]+) (\w+)", re.IGNORECASE)
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@contextmanager
def one_line_when_exhausted(config: dict[str, Any], n_items: int, device: torch.device) -> Iterator[None]:
    """Turn an allocation that failed inside into one line: the recipe does not fit the machine.

    Args:
        config: the configuration of the run.
        n_items: V, size of the catalogue.
        device: where the model is.

    Raises:
        InputError: memory ran out. A checkpoint that was written stays.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not is_exhausted(error):
            raise
        raise InputError(_line(config, n_items, device, str(error))) from None


def is_exhausted(error: Exception) -> bool:
    """Whether an error says that there was no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and WORDS.search(str(error)) is not None


def _line(config: dict[str, Any], n_items: int, device: torch.device, reason: str) -> str:
    used = machine.peak_memory(device)
    held = used["peak_gpu_memory_bytes"] or used["peak_memory_bytes"] or 0
    asked = ASKED.search(reason)
    more = f" and {_gib(float(asked[1]) * UNITS.get(asked[2], 1))} more asked for" if asked else ""
    return f"training: out of memory on {machine.describe(device)}: {_gib(held)} held{more}; {_advice(config, n_items)}"


def _advice(config: dict[str, Any], n_items: int) -> str:
    if config["training"]["kind"] == "closed_form":
        return f"expected fewer than {n_items} items, or another model than {config['model']['family']}"
    recipe = config["training"]
    found = f"batch_size {recipe['budget']['batch_size']}, objective {recipe['objective']['name']}, {n_items} items"
    return f"found {found}; expected a smaller batch_size, max_length or model, fewer negatives, or more memory"


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"

"""Precision: what the matrix products of a training are computed in. Nothing else depends on it.

- `fp32`: IEEE single precision everywhere; TF32 is switched off by name, whatever the defaults of torch say.
- `tf32`: as fp32, but a GPU rounds the factors of matrix products to 10 bits of mantissa.
- `bf16`: torch.autocast to bfloat16 around the loss, that is, around the network and the product with the item table.

Under each, weights, optimizer, loss, softmax and the sums inside of a product are fp32. It is the precision of training
steps only: validation, ranking and probes are always fp32, because scores of 8 bits would tie everywhere.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from seqrepro.errors import InputError

TENSOR_CORES = (8, 0)  # the compute capability of the first GPUs that have TF32 and bfloat16 (Ampere)


def strict_products() -> None:
    """Let fp32 products be fp32, and let bf16 products sum in fp32: the setting outside of training steps."""
    _set_products("ieee")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def check(precision: str, device: torch.device) -> None:
    """Refuse a precision that a GPU does not have and would silently replace by another.

    Raises:
        InputError: tf32 or bf16 on a GPU that is too old for it.
    """
    if precision != "fp32" and device.type == "cuda" and torch.cuda.get_device_capability(device) < TENSOR_CORES:
        name = torch.cuda.get_device_name(device)
        raise InputError(f"training.precision: '{precision}' was asked for, and {name} has none; expected 'fp32'")


def add_gradients(loss: Callable[[], Tensor], precision: str, device: torch.device) -> float:
    """Compute a loss and add its gradients to those of the weights, in a precision; return the loss.

    The way back stands outside of autocast: each operation goes back in the types of its way there.

    Args:
        loss: computes a scalar; it is called once.
        precision: fp32, tf32 or bf16.
        device: where the tensors are.
    """
    with _products("tf32" if precision == "tf32" else "ieee"):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            value = loss()
        value.backward()  # type: ignore[no-untyped-call]
    return float(value.detach())


@contextmanager
def _products(name: str) -> Iterator[None]:
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.fp32_precision
    _set_products(name)
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.fp32_precision = before


def _set_products(name: str) -> None:
    torch.backends.cuda.matmul.fp32_precision = name
    torch.backends.cudnn.fp32_precision = name  # of convolutions and recurrent networks

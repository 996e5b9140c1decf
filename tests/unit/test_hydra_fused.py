"""Fused causal Hydra attention gives what Hydra attention gives, and its gradients; nothing uses it unasked.

Shapes: B rows, T length, H heads, d width of a head.
"""

from shutil import which

import pytest
import torch

from seqrepro.errors import InputError
from seqrepro.models.attention import hydra_c
from seqrepro.models.attention.hydra import Hydra
from seqrepro.models.attention.hydra_fused import FusedHydra, gated_sum
from seqrepro.models.attention.interface import stepwise
from seqrepro.probes import cores
from seqrepro.probes.cores import FUSED_HYDRA, Shape
from seqrepro.provenance.fingerprint import closure, module_names

pytestmark = pytest.mark.skipif(which(hydra_c.COMPILER) is None, reason="there is no C compiler")
B, H = 3, 2


def drawn(length: int, width: int, dtype=torch.float64) -> list[torch.Tensor]:
    """Queries, keys and values [B, T, H, d] that are parts of one tensor, as a block has them."""
    whole = torch.randn(B, length, 3, H, width // H, generator=torch.Generator().manual_seed(length), dtype=dtype)
    return list(whole.requires_grad_().unbind(2))


def padded_anywhere(length: int) -> torch.Tensor:
    real = torch.ones(B, length, dtype=torch.bool)
    real[1, : length // 3] = real[2, length // 2 :: 2] = False
    return real


def both(length: int, width: int, real: torch.Tensor | None, causal: bool = True) -> list[list[torch.Tensor]]:
    """What comes out, and its gradients, of Hydra attention and of the fused one."""
    inputs, found = drawn(length, width), []
    towards = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(1), dtype=inputs[0].dtype)
    for attention in (Hydra(width, "none", False), FusedHydra(width, hydra_c)):
        mixed = attention(*inputs, real, causal)
        found.append([mixed, *torch.autograd.grad(mixed, inputs, towards)])
    return found


@pytest.mark.parametrize(("length", "width"), [(0, 2), (1, 2), (9, 6), (70, 64), (200, 130), (300, 130)])
@pytest.mark.parametrize("padded", [False, True])
def test_values_and_gradients_are_those_of_hydra_attention(length, width, padded):
    for plain, fused in zip(*both(length, width, padded_anywhere(length) if padded else None), strict=True):
        torch.testing.assert_close(fused, plain, rtol=0, atol=1e-12)


def test_gradients_are_those_of_differences():
    fused, real = FusedHydra(6, hydra_c), padded_anywhere(5)
    inputs = [one.detach().requires_grad_() for one in drawn(5, 6)]
    assert torch.autograd.gradcheck(lambda *rows: fused(*rows, real, True), inputs)


def test_in_both_directions_and_step_by_step_it_is_hydra_attention():
    for plain, fused in zip(*both(9, 6, padded_anywhere(9), causal=False), strict=True):
        assert torch.equal(fused, plain)
    inputs, fused = drawn(9, 6), FusedHydra(6, hydra_c)
    torch.testing.assert_close(stepwise(fused, *inputs), fused(*inputs, None, True), rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [200, 4096])
def test_sums_in_32_bits_are_no_less_exact_than_a_cumsum(length):
    inputs = [one.flatten(2).detach() for one in drawn(length, 64, torch.float32)]
    query, key, value = (one.double() for one in inputs)
    exact = query * (key * value).cumsum(1)
    plain = inputs[0] * (inputs[1] * inputs[2]).cumsum(1)
    errors = [(found - exact).square().mean().sqrt().item() for found in (gated_sum(*inputs, hydra_c), plain)]
    assert 0 < errors[0] <= errors[1]


def test_without_a_compiler_or_on_another_device_it_says_so(monkeypatch):
    inputs = [one.flatten(2).detach() for one in drawn(4, 2)]
    with pytest.raises(InputError, match=r"^hydra_c: found tensors on meta, expected them on a CPU$"):
        gated_sum(*(one.to("meta") for one in inputs), hydra_c)
    hydra_c.library.cache_clear()
    monkeypatch.setattr(hydra_c, "COMPILER", "no-such-compiler")
    with pytest.raises(InputError, match=r"^hydra_c: no-such-compiler fails \(.*\); expected a C compiler$"):
        gated_sum(*inputs, hydra_c)
    assert cores.kernels_for(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("own", "causal", "there"),
    [
        ({"name": "hydra"}, True, True),
        ({"name": "hydra"}, False, False),
        ({"name": "hydra", "decay": True}, True, False),
        ({"name": "mean"}, True, False),
    ],
)
def test_the_probe_of_attention_has_it_beside_the_operator_as_published(own, causal, there):
    shape = Shape(1, 4, 8, 2, 16, causal)
    methods = cores.methods_of(own, shape, torch.device("cpu"), torch.float32)
    assert (FUSED_HYDRA in methods) == there
    if there:
        assert isinstance(methods[FUSED_HYDRA](shape), FusedHydra)


def test_no_training_imports_it():
    modules = ("seqrepro.training.train", "seqrepro.models.hydrarec", "seqrepro.models.attention.hydra")
    assert not [name for name in module_names(closure(modules)) if name.startswith("seqrepro.models.attention.hydra_")]

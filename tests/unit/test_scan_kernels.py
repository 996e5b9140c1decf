"""Fused kernels are asked for in vain where there are none, and agree with plain torch where there are."""

from importlib.util import find_spec

import pytest
import torch

from made_data import sequences_of
from seqrepro.errors import InputError
from seqrepro.models.interfaces import build_sequential
from seqrepro.models.ssm import kernels

N_ITEMS = 25
MODELS = {
    "mamba4rec": {"layers": 2, "width": 32, "state": 16, "step_bias": "as_coded"},
    "ssd4rec": {"layers": 1, "width": 32, "state": 16, "head_width": 8, "inner_width": 64},
}
FUSED = torch.cuda.is_available() and find_spec(kernels.PACKAGE) is not None


def made(family, kernel):
    parameters = {"family": family, "dropout": 0.0, **MODELS[family], "kernel": kernel}
    return build_sequential(parameters, N_ITEMS, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", MODELS)
def test_without_a_gpu_they_are_refused(family, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"kernel: 'fused' .* torch sees no CUDA device; expected 'torch'"):
        made(family, "fused")


@pytest.mark.parametrize("family", MODELS)
def test_without_the_package_they_are_refused(family, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(kernels, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"no_such_package is not installed; expected 'torch'"):
        made(family, "fused")


def test_the_scan_of_mamba1_refuses_segments():
    one = torch.ones(1, 2, 1)
    with pytest.raises(InputError, match="knows no segments"):
        kernels.fused_selective_scan(one, one, -one[0], one, one, one[0, 0], torch.zeros(1, 2))


@pytest.mark.skipif(not FUSED, reason="needs a GPU and mamba_ssm")
@pytest.mark.parametrize("family", MODELS)
def test_they_agree_with_plain_torch(family):
    """Scores and all gradients, in float32."""
    rows = sequences_of([[(5 * t + row) % N_ITEMS + 1 for t in range(4 * row + 1)] for row in range(12)], N_ITEMS)
    found = []
    for kernel in ("torch", "fused"):
        model = made(family, kernel).to("cuda")
        scores = model.score(rows.to(torch.device("cuda")))
        wanted = [weight for weight in model.parameters() if weight.requires_grad]
        found.append([scores, *torch.autograd.grad(scores.square().sum(), wanted)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)

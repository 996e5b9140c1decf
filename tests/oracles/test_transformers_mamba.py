"""The mixers of Mamba-1 and Mamba-2 beside those of transformers, in their plain torch form.

Outputs and the gradients of all weights and inputs, in float64. transformers computes parts in float32 whatever it is
given; here these conversions do nothing.
"""

import pytest
import torch
from torch import nn

from seqrepro.models.layers import initialise
from seqrepro.models.ssm.mamba import Mamba1, Mamba2

transformers = pytest.importorskip(
    "transformers", reason="transformers is not in this environment; `make test-oracles` has it"
)

WIDTH, EXPAND, STATE, W, HEAD = 32, 2, 8, 4, 16
MAMBA1 = {
    "projection.weight": "in_proj.weight",
    "convolution.weight": "conv1d.weight",
    "convolution.bias": "conv1d.bias",
    "selection.weight": "x_proj.weight",
    "steps.weight": "dt_proj.weight",
    "steps.bias": "dt_proj.bias",
    "log_rate": "A_log",
    "skip": "D",
    "output.weight": "out_proj.weight",
}
MAMBA2 = {
    "projection.weight": "in_proj.weight",
    "projection.bias": "in_proj.bias",
    "convolution.weight": "conv1d.weight",
    "convolution.bias": "conv1d.bias",
    "step_bias": "dt_bias",
    "log_rate": "A_log",
    "skip": "D",
    "norm.weight": "norm.weight",
    "output.weight": "out_proj.weight",
    "output.bias": "out_proj.bias",
}


@pytest.fixture
def no_conversions(monkeypatch):
    """Conversions to float32 do nothing."""
    convert = torch.Tensor.to
    narrow = lambda self, *given, **named: self if torch.float32 in given else convert(self, *given, **named)  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    monkeypatch.setattr(torch.Tensor, "to", narrow)


def away(mixer):
    """In float64, away from the first weights."""
    generator = torch.Generator().manual_seed(1)
    initialise(mixer, generator)
    mixer.draw(generator)
    with torch.no_grad():
        for weight in mixer.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return mixer.double()


def transplant(mine, theirs, names):
    """Their module with our weights."""
    own = mine.state_dict()
    missing = {name for name, _ in mine.named_parameters()} - set(names)
    assert not missing, missing
    theirs.double().load_state_dict({names[name]: weight for name, weight in own.items() if name in names})
    return theirs


def with_gradients(module, names, inputs, forward):
    weights = dict(module.named_parameters())
    outputs = forward(inputs)
    return outputs, *torch.autograd.grad(outputs.sin().sum(), [inputs, *(weights[name] for name in names)])


def assert_same(mine, theirs, names, forward, length):
    drawn = torch.randn(3, length, WIDTH, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = with_gradients(mine, names, drawn.clone().requires_grad_(), mine)
    expected = with_gradients(theirs, names.values(), drawn.clone().requires_grad_(), forward)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("length", [1, 3, 21, 70])
def test_mamba1(no_conversions, length):
    mine = away(Mamba1(WIDTH, EXPAND, STATE, W))
    config = transformers.MambaConfig(
        hidden_size=WIDTH, state_size=STATE, conv_kernel=W, expand=EXPAND, time_step_rank=mine.rank
    )
    theirs = transplant(mine, transformers.models.mamba.modeling_mamba.MambaMixer(config, 0), MAMBA1)
    assert_same(mine, theirs, MAMBA1, theirs.slow_forward, length)


@pytest.mark.parametrize("length", [1, 3, 21, 70])
@pytest.mark.parametrize(("activation", "bias"), [("silu", False), ("hardswish", True)])
def test_mamba2(no_conversions, activation, bias, length):
    """Hardswish with biases is TiM4Rec's, SiLU without is SSD4Rec's; in chunks of 8."""
    mine = away(Mamba2(WIDTH, EXPAND, STATE, HEAD, W, bias=bias, activation=activation, epsilon=1e-6))
    config = transformers.Mamba2Config(
        hidden_size=WIDTH,
        state_size=STATE,
        conv_kernel=W,
        expand=EXPAND,
        num_heads=WIDTH * EXPAND // HEAD,
        head_dim=HEAD,
        n_groups=1,
        chunk_size=8,
        use_bias=bias,
        layer_norm_epsilon=1e-6,
    )
    own = transformers.models.mamba2.modeling_mamba2.Mamba2Mixer(config, 0)
    own.act = nn.SiLU() if activation == "silu" else nn.Hardswish()
    names = {name: other for name, other in MAMBA2.items() if bias or name not in ("projection.bias", "output.bias")}
    theirs = transplant(mine, own, names)
    assert_same(mine, theirs, names, theirs.torch_forward, length)

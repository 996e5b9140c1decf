"""The mixers of Mamba-1 and Mamba-2 beside their equations, position after position.

Shapes: B rows, L length, D width, E inner width, H heads, P width of a head, N width of a state.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import made_data  # noqa: F401  (one thread)
from seqrepro.models.layers import initialise
from seqrepro.models.ssm.mamba import Mamba2

B, L, D, N, P, W = 3, 9, 4, 3, 2, 4
E, H = 8, 4
SIZES = {"width": D, "expand": 2, "state": N, "convolution": W}


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def away(mixer):
    """In float64, away from the first weights."""
    generator = torch.Generator().manual_seed(5)
    initialise(mixer, generator)
    mixer.draw(generator)
    with torch.no_grad():
        for weight in mixer.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return mixer.double().eval()


def mamba2(**changes):
    return away(Mamba2(**{**SIZES, "head_width": P, "bias": True, "activation": "hardswish"} | changes))


MIXERS = {
    "mamba2": mamba2,
    "mamba2 plain": lambda: mamba2(bias=False, activation="silu"),
}


def convolved(own, inputs: Tensor, t: int) -> Tensor:
    """[B, channels] at t."""
    total = own.bias
    for k in range(W):
        if t - W + 1 + k >= 0:
            total = total + own.weight[:, 0, k] * inputs[:, t - W + 1 + k]
    return total


def mamba2_by_hand(own, inputs, before, after, activation):
    z, xbc, d = (inputs @ own.projection.weight.T + own.projection.bias).split([E, E + 2 * N, H], -1)
    state, outputs = torch.zeros(B, H, P, N, dtype=torch.float64), []
    for t in range(L):
        x, keys, queries = activation(convolved(own.convolution, xbc, t)).split([E, N, N], -1)
        delta = F.softplus(d[:, t] * before[:, t] + own.step_bias) * after[:, t]
        x = x.view(B, H, P)
        decay = (-delta * own.log_rate.exp()).exp()
        state = decay[:, :, None, None] * state + torch.einsum("bh,bhp,bn->bhpn", delta, x, keys)
        y = torch.einsum("bhpn,bn->bhp", state, queries) + own.skip[:, None] * x
        gated = y.reshape(B, E) * z[:, t] * z[:, t].sigmoid()
        normed = gated / (gated.square().mean(-1, keepdim=True) + 1e-5).sqrt() * own.norm.weight
        outputs.append(normed @ own.output.weight.T + own.output.bias)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("activation", ["silu", "hardswish"])
def test_mamba2_is_its_equations(activation):
    own = mamba2(activation=activation)
    before, after = draw(B, L, H, seed=2), draw(B, L, H, seed=3).exp()
    ones = torch.ones_like(before)
    for scales in ({}, {"before": before}, {"after": after}, {"before": before, "after": after}):
        given = [scales.get(name, ones) for name in ("before", "after")]
        expected = mamba2_by_hand(own, draw(B, L, D), *given, getattr(F, activation))
        torch.testing.assert_close(own(draw(B, L, D), **scales), expected, rtol=1e-11, atol=1e-12)


def test_what_scales_the_step_also_scales_it_step_by_step():
    own, inputs = mamba2(), draw(B, L, D)
    before, after = draw(B, L, H, seed=2), draw(B, L, H, seed=3).exp()
    state, outputs = own.start(B), []
    for t in range(L):
        output, state = own.step(inputs[:, t], state, before[:, t], after[:, t])
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), own(inputs, None, before, after), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MIXERS)
def test_steps_are_the_whole_row_and_the_state_does_not_grow(name):
    own, inputs = MIXERS[name](), draw(B, L, D)
    state, outputs, sizes = own.start(B), [], set()
    for t in range(L):
        output, state = own.step(inputs[:, t], state)
        outputs.append(output)
        sizes.add(sum(one.numel() for one in state.values()))
    torch.testing.assert_close(torch.stack(outputs, 1), own(inputs), rtol=1e-12, atol=1e-12)
    assert len(sizes) == 1


@pytest.mark.parametrize("name", MIXERS)
def test_nothing_is_seen_ahead(name):
    own, inputs = MIXERS[name](), draw(B, L, D)
    changed = torch.cat([inputs[:, :5], 3 * inputs[:, 5:] + 1], 1)
    torch.testing.assert_close(own(inputs)[:, :5], own(changed)[:, :5], rtol=1e-12, atol=1e-12)
    assert (own(inputs)[:, 5:] - own(changed)[:, 5:]).abs().max() > 1e-3


@pytest.mark.parametrize("name", MIXERS)
def test_segments_are_rows_of_their_own(name):
    own, inputs, lengths = MIXERS[name](), draw(1, 11, D), [2, 1, 5, 3]
    segments = torch.arange(4).repeat_interleave(torch.tensor(lengths))[None]
    alone = [own(one) for one in inputs.split(lengths, dim=1)]
    torch.testing.assert_close(own(inputs, segments), torch.cat(alone, 1), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", MIXERS)
def test_autocast_keeps_steps_and_states_wide(name):
    own, inputs = MIXERS[name]().float(), draw(B, L, D).float()
    with torch.autocast("cpu", torch.bfloat16):
        output = own(inputs)
        state = own.step(inputs[:, 0], own.start(B))[1]
    assert output.isfinite().all()
    assert state["sum"].dtype == torch.float32
    torch.testing.assert_close(output.float(), own(inputs), rtol=0.1, atol=0.1)


def test_the_first_weights_of_mamba2():
    own = Mamba2(width=1000, expand=2, state=1, head_width=1, convolution=1)
    initialise(own, torch.Generator().manual_seed(1))
    own.draw(torch.Generator().manual_seed(1))
    steps, rates = F.softplus(own.step_bias), own.log_rate.exp()
    assert 0.001 <= steps.min() < 0.0011 and 0.09 < steps.max() <= 0.1
    assert steps.log().mean().item() == pytest.approx(torch.tensor([0.001, 0.1]).log().mean().item(), abs=0.1)
    assert 1 <= rates.min() < 1.1 and 15.9 < rates.max() <= 16
    assert rates.mean().item() == pytest.approx(8.5, abs=0.3)
    assert (own.skip == 1).all() and (own.norm.weight == 1).all()

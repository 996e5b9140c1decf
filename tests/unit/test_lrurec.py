"""LRURec: its recurrence in four forms, its bias, its weights, and what it can learn."""

from math import pi

import pytest
import torch
from torch.nn import functional as F

from made_data import random_rows, sequences_of
from seqrepro.models.interfaces import build_sequential
from seqrepro.models.lrurec import LinearRecurrentUnit
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS, WIDTH = 25, 6
LRUREC = {"family": "lrurec", "width": WIDTH, "layers": 2, "dropout": 0.0, "mixing_dropout": 0.0, "max_length": 10}
ROWS = random_rows(20, N_ITEMS, seed=3, longest=16)  # some longer than the model sees


@pytest.fixture
def model():
    """In float64, away from its small initial weights."""
    network = build_sequential(LRUREC, N_ITEMS, torch.Generator().manual_seed(3)).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return network


@pytest.fixture
def unit(model):
    return model.blocks[0].unit


def complex_maps(unit):
    """B, b, C and c as the equations have them; no imaginary part of c is ever read."""
    parts = unit.input.weight.chunk(2), unit.input.bias.chunk(2)
    real, minus_imaginary = unit.output.weight.chunk(2, dim=1)
    return *(torch.complex(*part) for part in parts), torch.complex(real, -minus_imaginary), unit.output.bias


def by_powers(unit, inputs):
    """The sum over s <= t of l^(t-s) g (B x_s + b), by a table of powers and a Toeplitz matrix for each channel."""
    into, bias, out, out_bias = complex_maps(unit)
    length = inputs.shape[1]
    terms = unit.gain.exp() * (inputs.to(into.dtype) @ into.T + bias)
    log_decay = torch.complex(-unit.rate.exp(), unit.phase.exp())
    table = torch.exp(torch.arange(length)[:, None] * log_decay)  # [L, 2D], l^k
    ages = torch.arange(length)[:, None] - torch.arange(length)
    toeplitz = table[ages.clamp(min=0)] * (ages >= 0)[:, :, None]  # [L, L, 2D]
    states = torch.einsum("tsd,bsd->btd", toeplitz, terms)
    return (states @ out.T).real + out_bias


@pytest.mark.parametrize("length", [1, 2, 3, 50, 64, 200])
def test_scan_steps_and_powers_agree(unit, length):
    """With gradients."""
    inputs = torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    state, outputs = torch.zeros(2, 2 * WIDTH, dtype=torch.complex128), []
    for at in range(length):
        output, state = unit.step(inputs[:, at], state)
        outputs.append(output)
    expected, weights = by_powers(unit, inputs), list(unit.parameters())
    gradients = lambda outputs: torch.autograd.grad(  # noqa: E731  (without a past nothing depends on the decay)
        (outputs**2).sum(), weights, allow_unused=True, materialize_grads=True
    )
    theirs = gradients(expected)
    for found in (unit(inputs), torch.stack(outputs, 1)):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(gradients(found), theirs, rtol=1e-8, atol=1e-9)


@torch.no_grad()
def test_an_impulse_decays_and_turns_by_the_powers_of_l(unit):
    into, _, out, _ = complex_maps(unit)
    unit.input.bias.zero_()
    unit.output.bias.zero_()
    impulse = torch.zeros(1, 9, WIDTH, dtype=torch.float64)
    impulse[0, 2, 4] = 1.0
    decay = torch.polar(torch.exp(-unit.rate.exp()), unit.phase.exp())
    expected = [(out @ (decay**age * unit.gain.exp() * into[:, 4])).real for age in range(7)]
    found = unit(impulse)[0]
    assert not found[:2].any()
    torch.testing.assert_close(found[2:], torch.stack(expected), rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_without_a_memory_it_is_a_map_of_each_position(unit):
    unit.rate.fill_(20.0)  # l = exp(-exp(20)) = 0
    inputs = torch.randn(2, 9, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(unit(inputs), unit(inputs.flip(1)).flip(1), rtol=1e-12, atol=1e-14)


@torch.no_grad()
def test_the_network_is_what_its_equations_say(model):
    """A norm behind the embeddings and behind each of two residual sums of a block; a bias an item."""
    norm = lambda states, layer: F.layer_norm(states, (WIDTH,), layer.weight, layer.bias, 1e-5)  # noqa: E731
    items = torch.tensor([[3, 7, 7, 1]])
    states = norm(model.items.weight[items], model.norm)
    for block in model.blocks:
        states = norm(by_powers(block.unit, states) + states, block.unit_norm)
        inner = F.gelu(states @ block.inner.weight.T + block.inner.bias)
        states = norm(inner @ block.outer.weight.T + block.outer.bias + states, block.feed_forward_norm)
    scores = states[:, -1] @ model.items.weight.T + model.bias
    found = model.score(sequences_of(items.tolist(), N_ITEMS))
    torch.testing.assert_close(found, scores, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_step_by_step_gives_the_same_for_any_length(model):
    items = torch.randint(1, N_ITEMS + 1, (3, 40), generator=torch.Generator().manual_seed(1))
    state, outputs = model.start(3), []
    for at in range(40):
        output, state = model.step(items[:, at], state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), model.hidden(items), rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_padding_and_other_rows_play_no_part(model):
    together = model.score(sequences_of(ROWS, N_ITEMS))
    alone = torch.cat([model.score(sequences_of([row], N_ITEMS)) for row in ROWS])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)
    model.items.weight[0] += 9.0
    torch.testing.assert_close(model.score(sequences_of(ROWS, N_ITEMS))[:, 1:], together[:, 1:])


def test_a_position_sees_what_came_before_and_nothing_else(model):
    (gradient,) = torch.autograd.grad(model.hidden(torch.tensor([[3, 4, 5, 6, 7]]))[0, 2].sum(), model.items.weight)
    assert gradient.abs().sum(1).nonzero().flatten().tolist() == [3, 4, 5]


def test_prefixes_and_all_positions_have_one_gradient(model):
    rows, found = sequences_of([row[:9] for row in ROWS], N_ITEMS), []
    for name in ("prefixes", "all_positions"):
        model.zero_grad()
        view = make_view(name, rows)
        cross_entropy.CrossEntropy().loss(model, view.batch(torch.arange(len(view))), Randomness(0)).backward()
        found.append([weight.grad.clone() for weight in model.parameters()])
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-13)
    assert all(gradient.abs().max() > 0 for gradient in found[0])
    assert not model.items.weight.grad[0].any() and not model.bias.grad[0].any()


@pytest.mark.parametrize(("n_items", "complex_as_one", "real"), [(3_416, 322_841, 355_993), (12_101, 887_366, 920_518)])
def test_number_of_parameters(n_items, complex_as_one, real):
    """At D = 64, n = 2, in both ways to count the authors' code; of its complex c it never reads the imaginary part."""
    model = build_sequential({"family": "lrurec"}, n_items, torch.Generator())
    unread = 2 * 64
    assert sum(weight.numel() for weight in model.parameters()) + unread == real
    maps = [layer for block in model.blocks for layer in (block.unit.input, block.unit.output)]
    halves = sum(layer.weight.numel() for layer in maps) + sum(layer.bias.numel() for layer in maps[::2])
    assert sum(weight.numel() for weight in model.parameters()) - halves // 2 == complex_as_one


def test_initial_weights_come_from_the_generator_alone():
    models = []
    for state in (1, 2):
        torch.manual_seed(state)
        models.append(build_sequential({"family": "lrurec"}, 2000, torch.Generator().manual_seed(7)))
    first, second = (dict(model.named_parameters()) for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not first["items.weight"][0].any() and first["bias"][0] == 0
    for name in ("items.weight", "bias", "blocks.1.unit.input.weight", "blocks.0.inner.weight", "blocks.1.inner.bias"):
        assert first[name].abs().max().item() <= 0.04
        rel = 0.03 if first[name].numel() > 1000 else 0.15
        assert first[name].std().item() == pytest.approx(0.8796 * 0.02, rel=rel), name


@torch.no_grad()
def test_initial_decays_lie_on_a_ring_and_keep_the_size_of_white_noise():
    model = build_sequential({"family": "lrurec", "width": 512, "layers": 1}, 5, torch.Generator().manual_seed(7))
    unit: LinearRecurrentUnit = model.blocks[0].unit
    sizes, gains = unit._decay().abs(), unit.gain.exp()
    assert 0.7999999 <= sizes.min() < 0.805 and 0.985 < sizes.max() <= 0.9900001
    assert (sizes**2).mean().item() == pytest.approx((0.8**2 + 0.99**2) / 2, rel=0.02)
    assert unit.phase.exp().mean().item() == pytest.approx(pi, rel=0.06)
    assert unit.phase.exp().max() <= 2 * pi
    torch.testing.assert_close(gains**2 / (1 - sizes**2), torch.ones(1024), rtol=1e-3, atol=0)


def test_it_learns_which_item_follows():
    rows = [[1 + (start + step) % N_ITEMS for step in range(8)] for start in range(N_ITEMS)]
    model = build_sequential(LRUREC | {"width": 16}, N_ITEMS, torch.Generator().manual_seed(3))
    view = make_view("all_positions", sequences_of(rows, N_ITEMS))
    batch, optimizer = view.batch(torch.arange(len(view))), torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        loss = cross_entropy.CrossEntropy().loss(model, batch, Randomness(0))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1

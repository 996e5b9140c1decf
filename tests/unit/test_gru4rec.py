"""GRU4Rec: its recurrence written out, its steps, its weights, and what it can learn."""

import pytest
import torch

from made_data import random_rows, sequences_of
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS = 25
GRU4REC = {"family": "gru4rec", "width": 6, "hidden_width": 9, "layers": 2, "dropout": 0.0, "max_length": 10}
ROWS = random_rows(20, N_ITEMS, seed=3, longest=16)  # some longer than the model sees


@pytest.fixture
def model():
    return build_sequential(GRU4REC, N_ITEMS, torch.Generator().manual_seed(3)).double().eval()


@torch.no_grad()
def test_the_recurrence_is_that_of_its_equations(model):
    items = torch.tensor([3, 7, 7, 1])
    inputs = list(model.items.weight[items])
    for layer in range(2):
        input_maps = getattr(model.units, f"weight_ih_l{layer}").chunk(3)  # of r, z and n
        state_maps = getattr(model.units, f"weight_hh_l{layer}").chunk(3)
        state, states = torch.zeros(9, dtype=torch.float64), []
        for x in inputs:
            (w_r, w_z, w_n), (u_r, u_z, u_n) = input_maps, state_maps
            r, z = torch.sigmoid(w_r @ x + u_r @ state), torch.sigmoid(w_z @ x + u_z @ state)
            state = (1 - z) * torch.tanh(w_n @ x + r * (u_n @ state)) + z * state
            states.append(state)
        inputs = states
    expected = torch.stack(inputs) @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(model.hidden(items[None])[0], expected, rtol=1e-12, atol=1e-14)


@torch.no_grad()
def test_step_by_step_gives_the_same_for_any_length(model):
    items = torch.randint(1, N_ITEMS + 1, (3, 40), generator=torch.Generator().manual_seed(1))
    state, outputs = model.start(3), []
    for at in range(40):
        output, state = model.step(items[:, at], state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), model.hidden(items), rtol=1e-12, atol=1e-14)


@torch.no_grad()
def test_padding_and_other_rows_play_no_part(model):
    together = model.score(sequences_of(ROWS, N_ITEMS))
    alone = torch.cat([model.score(sequences_of([row], N_ITEMS)) for row in ROWS])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-13)
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
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-14)
    assert all(gradient.abs().max() > 0 for gradient in found[0])


@pytest.mark.parametrize(("layers", "expected"), [(1, 856_512), (2, 954_816)])
def test_number_of_parameters(layers, expected):
    """At D = 64 and H = 128 on Beauty's catalogue: (V + 1) D + 81,984, and 6 H^2 for one more layer."""
    model = build_sequential({"family": "gru4rec", "layers": layers}, 12_101, torch.Generator())
    assert sum(weight.numel() for weight in model.parameters()) == expected


def test_initial_weights_come_from_the_generator_alone():
    """Their spread is RecBole's: Xavier for the table and the first layer, torch's default for the others."""
    parameters = {"family": "gru4rec", "layers": 2}
    models = []
    for state in (1, 2):
        torch.manual_seed(state)
        models.append(build_sequential(parameters, 2000, torch.Generator().manual_seed(7)))
    first, second = (dict(model.named_parameters()) for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not first["items.weight"][0].any()
    assert first["items.weight"][1:].std().item() == pytest.approx((2 / (2001 + 64)) ** 0.5, rel=0.02)
    bounds = {"units.weight_ih_l0": (6 / (3 * 128 + 64)) ** 0.5, "units.weight_hh_l0": (6 / (4 * 128)) ** 0.5}
    bounds |= dict.fromkeys(("units.weight_ih_l1", "units.weight_hh_l1", "output.weight"), 128**-0.5)
    for name, bound in bounds.items():
        assert 0.99 * bound < first[name].abs().max().item() <= bound
        assert first[name].std().item() == pytest.approx(bound / 3**0.5, rel=0.03)


def test_it_learns_which_item_follows():
    rows = [[1 + (start + step) % N_ITEMS for step in range(8)] for start in range(N_ITEMS)]
    model = build_sequential(GRU4REC | {"layers": 1}, N_ITEMS, torch.Generator().manual_seed(3))
    view = make_view("all_positions", sequences_of(rows, N_ITEMS))
    batch, optimizer = view.batch(torch.arange(len(view))), torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = cross_entropy.CrossEntropy().loss(model, batch, Randomness(0))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1

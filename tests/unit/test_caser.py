"""Caser: its equations written out, its two ends of padding, its users, its weights, and who may train it."""

import pytest
import torch
from pydantic import TypeAdapter
from torch.nn import functional as F

from made_data import GRADIENT, random_rows, sequences_of
from seqrepro.config.architectures.caser import CaserParameters
from seqrepro.config.fit import misfit
from seqrepro.config.training import Recipe
from seqrepro.errors import InputError
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS, WIDTH, LENGTH = 25, 6, 5
CASER = {"family": "caser", "width": WIDTH, "vertical": 2, "horizontal": 3, "dropout": 0.0, "max_length": LENGTH}
CASER |= {"users": 20}
ROWS = random_rows(20, N_ITEMS, seed=3, longest=9)  # some shorter than the model sees, some longer


def network(seed=3, **changes):
    """In float64, away from its small initial weights."""
    model = build_sequential(CASER | changes, N_ITEMS, torch.Generator().manual_seed(seed)).double().eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return model


def by_hand(model, row, user, padding):
    """The representation of one history, window by window."""
    shown = row[-LENGTH:]
    empty = [0] * (LENGTH - len(shown))
    ids = torch.tensor(shown + empty if padding == "right" else empty + shown)
    matrix = model.items.weight[ids] * (ids > 0)[:, None]
    across = [weights @ matrix + bias for weights, bias in zip(model.vertical.weight, model.vertical.bias, strict=True)]
    along, biases = [], model.horizontal_bias.view(LENGTH, -1)
    for height, (filters, bias) in enumerate(zip(model.horizontal, biases, strict=True), start=1):
        windows = [matrix[at : at + height] for at in range(LENGTH - height + 1)]
        for one, its_bias in zip(filters, bias, strict=True):
            along.append(max(F.relu((one.T * window).sum() + its_bias) for window in windows))
    joined = F.relu(model.joined(torch.cat([*across, torch.stack(along)])))
    known = [] if model.users is None else [model.users.weight[user]]
    return F.relu(model.output(torch.cat([joined, *known])))


@torch.no_grad()
@pytest.mark.parametrize("users", [20, None])
@pytest.mark.parametrize("padding", ["right", "left"])
def test_it_is_what_its_equations_say(padding, users):
    model = network(padding=padding, users=users)
    expected = torch.stack([by_hand(model, row, user, padding) for user, row in enumerate(ROWS, start=1)])
    found = model.last_hidden(sequences_of(ROWS, N_ITEMS))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(model.score(sequences_of(ROWS, N_ITEMS)), expected @ model.items.weight.T)


@pytest.mark.parametrize("length", [1, 2, 7, 50])
def test_the_fourier_transform_gives_what_convolutions_give(length):
    """With gradients, in 32 bits."""
    model = build_sequential(CASER | {"max_length": length}, N_ITEMS, torch.Generator().manual_seed(1))
    inputs = torch.randn(4, WIDTH, length, generator=torch.Generator().manual_seed(2), requires_grad=True)
    biases = model.horizontal_bias.view(length, -1)
    pairs = zip(model.horizontal, biases, strict=True)
    expected = torch.cat([F.relu(F.conv1d(inputs, filters, bias)).amax(2) for filters, bias in pairs], dim=1)
    found, weights = model._horizontal(inputs), [inputs, *model.horizontal, model.horizontal_bias]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    gradients = (torch.autograd.grad((outputs**2).sum(), weights) for outputs in (found, expected))
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_with_padding_on_the_left_the_newest_item_always_has_the_same_vertical_weight():
    model = network(padding="left")
    for history in ([4], [7, 4], [7, 9, 11, 2, 4]):
        shown = model._shown(sequences_of([history], N_ITEMS))
        assert shown[0].tolist() == [0] * (LENGTH - len(history)) + history


@torch.no_grad()
def test_the_order_of_horizontal_filters_of_one_height_means_nothing():
    model, rows = network(), sequences_of(ROWS, N_ITEMS)
    before, order, first = model.score(rows), torch.tensor([2, 0, 1]), 2 * WIDTH + 3
    model.horizontal[1].copy_(model.horizontal[1][order])
    for weights in (model.horizontal_bias[3:6], model.joined.weight[:, first : first + 3].T):
        weights.copy_(weights[order])
    torch.testing.assert_close(model.score(rows), before)


@torch.no_grad()
def test_a_user_has_a_row_of_his_own_and_other_rows_play_no_part():
    model, rows = network(), sequences_of(ROWS, N_ITEMS)
    before = model.score(rows)
    alone = torch.cat([model.score(rows.select(torch.tensor([row]))) for row in range(len(ROWS))])
    torch.testing.assert_close(before, alone, rtol=1e-10, atol=1e-12)
    model.users.weight[7] += 1.0
    changed = (model.score(rows) - before).abs().amax(1) > 1e-9
    assert rows.users[changed].tolist() == [7]
    before = model.score(rows)
    model.items.weight[0] += 1.0
    torch.testing.assert_close(model.score(rows)[:, 1:], before[:, 1:])


def test_a_user_that_the_table_has_no_row_for():
    with pytest.raises(InputError, match=r"model.users: found 19 and a user 20; expected at least the largest user id"):
        network(users=19).score(sequences_of(ROWS, N_ITEMS))


def test_all_weights_are_trained_but_the_rows_of_padding():
    model, view = network(), make_view("prefixes", sequences_of(ROWS, N_ITEMS))
    cross_entropy.CrossEntropy().loss(model, view.batch(torch.arange(len(view))), Randomness(0)).backward()
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())
    assert not model.items.weight.grad[0].any() and not model.users.weight.grad[0].any()


@pytest.mark.parametrize("changes", [{}, {"view": "cloze", "masking": {"ratio": 0.2, "last_share": 0.1}}])
def test_only_prefixes_train_it(changes):
    architecture = CaserParameters(family="caser")
    recipe, fitting = (TypeAdapter(Recipe).validate_python(GRADIENT | more) for more in (changes, {"view": "prefixes"}))
    assert "view" in misfit(architecture, recipe) and not misfit(architecture, fitting)
    if not changes:
        assert "found view all_positions; expected prefixes for caser" in misfit(architecture, recipe)
    with pytest.raises(InputError, match="expected a recipe of view prefixes"):
        network().hidden(torch.tensor([[1, 2]]))


def test_number_of_parameters():
    """At L = 50 on Beauty: (V + 1) D + (U + 1) D + 703,708; without users D^2 less, and no table of them."""
    tables = (12_102 + 22_364) * 64
    for users, expected in ((22_363, tables + 703_708), (None, 12_102 * 64 + 703_708 - 64 * 64)):
        model = build_sequential({"family": "caser", "users": users}, 12_101, torch.Generator())
        assert sum(weight.numel() for weight in model.parameters()) == expected


def test_initial_weights_come_from_the_generator_alone():
    models = []
    for state in (1, 2):
        torch.manual_seed(state)
        models.append(build_sequential({"family": "caser", "users": 900}, 2000, torch.Generator().manual_seed(7)))
    first, second = (dict(model.named_parameters()) for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    for table in ("items.weight", "users.weight"):
        assert not first[table][0].any()
        assert first[table][1:].std().item() == pytest.approx(1 / 64, rel=0.02)
    for height in (1, 10, 50):
        bound = (64 * height) ** -0.5
        assert 0.9 * bound < first[f"horizontal.{height - 1}"].abs().max().item() <= bound
    assert first["output.weight"].std().item() == pytest.approx((2 / (128 + 64)) ** 0.5, rel=0.05)
    assert not first["joined.bias"].any()


def test_it_learns_which_item_follows():
    rows = [[1 + (start + step) % N_ITEMS for step in range(6)] for start in range(N_ITEMS)]
    model = build_sequential(CASER | {"users": 30, "width": 16}, N_ITEMS, torch.Generator().manual_seed(3))
    view = make_view("prefixes", sequences_of(rows, N_ITEMS))
    batch, optimizer = view.batch(torch.arange(len(view))), torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = cross_entropy.CrossEntropy().loss(model, batch, Randomness(0))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1

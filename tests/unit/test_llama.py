"""The LLaMA-like decoder and the simplified HSTU: against their equations as a loop in numpy, and in closed forms."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from made_data import random_rows, rows_of, sequences_of
from seqrepro.config.architectures.llama import LLaMAParameters
from seqrepro.models.interfaces import build_sequential
from seqrepro.models.llama import angles_of, inner_width, turned
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS, WIDTH, LENGTH = 25, 8, 8
SMALL = {"family": "llama", "width": WIDTH, "layers": 2, "heads": 2, "dropout": 0.0, "max_length": LENGTH}
ROWS = random_rows(20, N_ITEMS, seed=3, longest=12)  # some longer than the model sees
SIMPLIFIED = {"block": "simplified_hstu"}
FORMS = [{}, {"heads": 1, "layers": 3}, {"cosine_temperature": 0.05}, SIMPLIFIED, SIMPLIFIED | {"heads": 4}]


def network(**changes):
    """In float64, away from its small initial weights."""
    model = build_sequential(SMALL | changes, N_ITEMS, torch.Generator().manual_seed(3)).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.4 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        model.items.weight[0].zero_()
    return model


def silu(x):
    return x / (1 + np.exp(-x))


def rms(x, gain):
    return gain * x / np.sqrt((x * x).mean() + 1e-5)


def rotated(x, place):
    """One head's vector as complex numbers, each turned by its own angle."""
    pairs = x[0::2] + 1j * x[1::2]
    pairs = pairs * np.exp(1j * place * 10_000.0 ** (-np.arange(0, len(x), 2) / len(x)))
    return np.stack([pairs.real, pairs.imag], axis=1).ravel()


def by_hand(model, items):
    """The representations [L, D] of a row, position by position and head by head."""
    p, weights = model.p, {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    x = [np.sqrt(WIDTH) * weights["items.weight"][item] for item in items]
    heads = np.split(np.arange(WIDTH), p.heads)
    for n in range(p.layers):
        of = {name[9:]: weight for name, weight in weights.items() if name.startswith(f"blocks.{n}.")}
        step = simplified_by_hand if p.block == "simplified_hstu" else llama_by_hand
        x = step(x, of, heads)
    x = [rms(row, weights["norm.weight"]) for row in x]
    if p.cosine_temperature is not None:
        x = [row / np.linalg.norm(row) / p.cosine_temperature for row in x]
    return torch.tensor(np.array(x))


def scores_by_hand(z, of, heads):
    """Scores [H][L][L] of what the maps make of z, and values [L, D]."""
    q, k, v = ([of[f"attention.{name}.weight"] @ row for row in z] for name in ("query", "key", "value"))
    turn = lambda row, head, at: rotated(row[head], at)  # noqa: E731
    places = range(len(z))
    scores = [[[turn(q[i], h, i) @ turn(k[j], h, j) / np.sqrt(len(h)) for j in places] for i in places] for h in heads]
    return scores, v


def llama_by_hand(x, of, heads):
    scores, v = scores_by_hand([rms(row, of["attention_norm.weight"]) for row in x], of, heads)
    after = []
    for i, row in enumerate(x):
        mixed = np.zeros(WIDTH)
        for h, of_head in zip(heads, scores, strict=True):
            weights = np.exp(of_head[i][: i + 1])
            mixed[h] = sum(w * v[j][h] for j, w in enumerate(weights / weights.sum()))
        row = row + of["attention.output.weight"] @ mixed
        inner = rms(row, of["feed_forward_norm.weight"])
        after.append(row + of["down.weight"] @ (silu(of["gate.weight"] @ inner) * (of["up.weight"] @ inner)))
    return after


def simplified_by_hand(x, of, heads):
    z = [silu(rms(row, of["input_norm.weight"])) for row in x]
    scores, v = scores_by_hand(z, of, heads)
    after = []
    for i, row in enumerate(x):
        mixed = np.zeros(WIDTH)
        for h, of_head in zip(heads, scores, strict=True):
            mixed[h] = sum(silu(of_head[i][j]) * v[j][h] for j in range(i + 1))
        gated = (of["gate.weight"] @ z[i]) * rms(mixed, of["mixed_norm.weight"])
        after.append(row + of["attention.output.weight"] @ gated)
    return after


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_it_is_its_equations(form):
    """Whole rows, cut to what is shown and padded together."""
    model, rows = network(**form), sequences_of(ROWS, N_ITEMS)
    found = model.read(rows)
    for row, items in enumerate(rows_of(rows.tail(LENGTH))):
        torch.testing.assert_close(found[row, : len(items)], by_hand(model, items), rtol=1e-9, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_event_by_event_as_whole_rows(form):
    model = network(**form)
    items = torch.randint(1, N_ITEMS + 1, (3, LENGTH), generator=torch.Generator().manual_seed(8))
    states, found = model.start(3), []
    for place in range(LENGTH):
        hidden, states = model.step(items[:, place], states)
        found.append(hidden)
    torch.testing.assert_close(torch.stack(found, dim=1), model.hidden(items), rtol=1e-10, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_padding_other_rows_and_later_items_play_no_part(form):
    model, rows = network(**form), sequences_of(ROWS, N_ITEMS)
    together = model.score(rows)
    alone = torch.cat([model.score(rows.select(torch.tensor([row]))) for row in range(len(rows))])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-11)
    items = torch.tensor([[3, 4, 5, 6, 7], [3, 4, 5, 9, 9], [3, 4, 5, 0, 0]])
    hidden = model.hidden(items)
    torch.testing.assert_close(hidden[1:, :3], hidden[:1, :3].expand(2, -1, -1), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(hidden[1, 3:], hidden[0, 3:])


@torch.no_grad()
@pytest.mark.parametrize("form", [{}, SIMPLIFIED], ids=str)
def test_padding_on_the_left_would_be_attended_to(form):
    """As in the authors' code, which masks nothing and gives padding an embedding: the amount of it is seen."""
    model = network(**form)
    model.items.weight[0] = 0.3
    shown = [model.hidden(torch.tensor([[0] * amount + [3, 4, 5]]))[0, -1] for amount in (0, 1, 4)]
    assert not torch.allclose(shown[0], shown[1], rtol=1e-3) and not torch.allclose(shown[1], shown[2], rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("form", [{}, SIMPLIFIED], ids=str)
def test_only_distances_matter(form):
    """A state of positions that are not seen moves all angles; <R(q), R(k)> does not change."""
    model, items = network(**form, layers=1), torch.tensor([[3, 4, 5]])
    block, inputs = model.blocks[0], model.items(items)
    found = [block(inputs, angles_of(torch.arange(first, first + 3), 4), model.start(1)[0])[0] for first in (0, 40)]
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)


def test_rotation():
    """Position 0 is the identity, lengths stay, and neighbouring numbers are the pairs."""
    vectors = torch.randn(2, 1, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    angles = angles_of(torch.arange(5), 6)
    found = turned(vectors, angles)
    assert torch.equal(found[:, :, 0], vectors[:, :, 0])
    torch.testing.assert_close(found.norm(dim=-1), vectors.norm(dim=-1), rtol=1e-12, atol=1e-12)
    for place in range(5):
        expected = rotated(vectors[1, 0, place].numpy(), place)
        torch.testing.assert_close(found[1, 0, place], torch.tensor(expected), rtol=1e-12, atol=1e-12)
    products = (
        turned(vectors[:, :, :1].expand(-1, -1, 5, -1), angles)
        @ turned(vectors[:, :, 1:2].expand(-1, -1, 5, -1), angles).mT
    )
    for ahead in range(1, 4):
        diagonal = products.diagonal(ahead, -2, -1)
        torch.testing.assert_close(diagonal, diagonal[..., :1].expand_as(diagonal), rtol=1e-10, atol=1e-10)


def test_a_constant_is_1_behind_its_norm():
    model = build_sequential(SMALL, N_ITEMS, torch.Generator()).double()
    for constant, expected in ((5.0, 1.0), (-1000.0, -1.0)):
        found = model.norm(torch.full((1, WIDTH), constant, dtype=torch.float64))
        torch.testing.assert_close(found, torch.full_like(found, expected), rtol=1e-6, atol=0)


@torch.no_grad()
def test_equal_scores_give_the_mean_of_the_values():
    model = network(layers=1)
    block, inputs = model.blocks[0], model.items(torch.tensor([[3, 4, 5, 6]]))
    block.attention.query.weight.zero_()
    block.down.weight.zero_()
    values = block.attention.value(block.attention_norm(inputs))
    means = values.cumsum(1) / torch.arange(1, 5)[None, :, None]
    found, _ = block(inputs, angles_of(torch.arange(4), 4), model.start(1)[0])
    torch.testing.assert_close(found, inputs + block.attention.output(means), rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_without_queries_the_simplified_block_is_the_identity():
    model = network(**SIMPLIFIED, layers=1)
    model.blocks[0].attention.query.weight.zero_()
    items = torch.tensor([[3, 4, 5, 6]])
    torch.testing.assert_close(model.hidden(items), model.norm(model.items(items) * WIDTH**0.5), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("width", "expected"), [(64, 192), (100, 288), (128, 352), (256, 704), (512, 1376)])
def test_inner_widths(width, expected):
    assert inner_width(width) == expected


@pytest.mark.parametrize(
    ("block", "width", "expected"),
    [("llama", 64, 53_376), ("llama", 512, 3_163_136), ("simplified_hstu", 64, 20_608),
     ("simplified_hstu", 512, 1_311_744)],
)  # fmt: skip
def test_sizes_of_the_authors_blocks(block, width, expected):
    model = build_sequential(SMALL | {"block": block, "width": width, "heads": 8}, N_ITEMS, torch.Generator())
    count = lambda module: sum(weight.numel() for weight in module.parameters())  # noqa: E731
    assert [count(one) for one in model.blocks] == [expected, expected]
    assert count(model) == (N_ITEMS + 1) * width + 2 * expected + width


@pytest.mark.parametrize("form", [{}, SIMPLIFIED], ids=str)
def test_initial_weights_come_from_the_generator_alone(form):
    models = []
    for state in (1, 2):
        torch.manual_seed(state)
        models.append(build_sequential(SMALL | form | {"width": 64}, 2000, torch.Generator().manual_seed(7)))
    first, second = (dict(model.named_parameters()) for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not first["items.weight"][0].any()
    smaller = 0.02 / 2  # of two blocks
    deviations = {"items.weight": 0.02, "blocks.0.attention.query.weight": 0.02, "blocks.1.gate.weight": 0.02}
    deviations |= {"blocks.1.attention.output.weight": smaller}
    deviations |= {} if form else {"blocks.0.up.weight": smaller, "blocks.0.down.weight": 0.02}
    for name, deviation in deviations.items():
        assert first[name].std().item() == pytest.approx(deviation, rel=0.05), name
    assert all((weight == 1).all() for name, weight in first.items() if "norm" in name)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_all_weights_are_trained_but_the_row_of_padding(form):
    model, view = network(**form), make_view("all_positions", sequences_of(ROWS, N_ITEMS))
    cross_entropy.CrossEntropy().loss(model, view.batch(torch.arange(len(view))), Randomness(0)).backward()
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())
    assert not model.items.weight.grad[0].any()


@torch.no_grad()
def test_cosines():
    plain, model, rows = network(), network(cosine_temperature=0.05), sequences_of(ROWS, N_ITEMS)
    cosines = F.cosine_similarity(plain.last_hidden(rows)[:, None], plain.items.weight[None, 1:], dim=2)
    torch.testing.assert_close(model.score(rows)[:, 1:], cosines / 0.05, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("changes", [{"width": 25, "heads": 1}, {"width": 6, "heads": 2}, {"width": 8, "heads": 3}])
def test_heads_of_an_odd_width_are_refused(changes):
    with pytest.raises(ValidationError, match=f"found width {changes['width']} with heads {changes['heads']}"):
        LLaMAParameters.model_validate(SMALL | changes)

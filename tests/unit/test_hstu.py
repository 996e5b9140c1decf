"""HSTU: against its equations as a loop in numpy; its times, closed forms, form step by step, and weights."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from made_data import random_rows, sequences_of
from seqrepro.config.architectures.hstu import HSTUParameters
from seqrepro.errors import InputError
from seqrepro.models.hstu import HSTU, buckets, normed
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS, LENGTH = 25, 8
SMALL = {"family": "hstu", "width": 6, "layers": 2, "heads": 2, "dropout": 0.0, "max_length": LENGTH, "spare": 3}
COUNT = LENGTH + 3  # N
ROWS = random_rows(20, N_ITEMS, seed=3, longest=12)  # some longer than the model sees
FORMS = [{}, {"heads": 1, "layers": 3}, {"query_time": "next"}, {"query_time": "none"}, {"cosine_temperature": 0.05}]


def network(**changes):
    """In float64, away from its small initial weights."""
    model = build_sequential(SMALL | changes, N_ITEMS, torch.Generator().manual_seed(3)).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.4 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        model.items.weight[0].zero_()
    return model


def timed(rows=ROWS, seed=5):
    """The rows with gaps of 0 s to years, and told of each item when the next one was chosen."""
    plain = sequences_of(rows, N_ITEMS)
    generator = torch.Generator().manual_seed(seed)
    gaps = (torch.rand(len(plain.values), generator=generator, dtype=torch.float64) * 19).exp().long() - 1
    return dataclasses.replace(plain, timestamps=gaps.cumsum(0) + 1_000_000).with_next_times()


def silu(x):
    return x / (1 + np.exp(-x))


def norm(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-6)


def bucket(a, b):
    """By counting the widths that fit, without a logarithm of the gap."""
    gap = max(abs(a - b), 1)
    return sum(np.exp(0.301 * k) <= gap for k in range(1, 129))


def by_hand(model, items, times, asked):
    """The representations [L, D] of a row, position by position and head by head."""
    p, weights = model.p, {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    x = np.array(
        [np.sqrt(p.width) * weights["items.weight"][s] + weights["positions.weight"][i] for i, s in enumerate(items)]
    )
    heads = np.split(np.arange(p.width), p.heads)
    for n in range(p.layers):
        of = {name: weights.get(f"blocks.{n}.{name}") for name in ("projection.weight", "distances", "times")}
        mapped = np.array([silu(of["projection.weight"] @ norm(row)) for row in x])
        u, v, q, k = np.split(mapped, 4, axis=1)
        after = []
        for i in range(len(x)):
            mixed = np.zeros(p.width)
            for j in range(i + 1):
                bias = of["distances"][COUNT - 1 + j - i]
                if p.query_time != "none":
                    bias += of["times"][bucket(asked[i], times[j])]
                for head in heads:
                    mixed[head] += silu(q[i, head] @ k[j, head] + bias) / COUNT * v[j, head]
            gated = u[i] * norm(mixed)
            after.append(x[i] + weights[f"blocks.{n}.output.weight"] @ gated + weights[f"blocks.{n}.output.bias"])
        x = np.array(after)
    if p.cosine_temperature is not None:
        x = x / np.linalg.norm(x, axis=1, keepdims=True) / p.cosine_temperature
    return torch.tensor(x)


def shown(rows, count=LENGTH):
    """Items, times and times of the next events of each row as lists, the newest of them."""
    last = rows.tail(count)
    borders = last.offsets.tolist()
    cut = lambda numbers: [numbers[a:b].tolist() for a, b in pairwise(borders)]  # noqa: E731
    return list(zip(cut(last.values), cut(last.timestamps), cut(last.next_times), strict=True))


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_it_is_its_equations(form):
    """Whole rows, cut to what is shown and padded together."""
    model, rows = network(**form), timed()
    found = model.read(rows)
    for row, (items, times, next_times) in enumerate(shown(rows)):
        expected = by_hand(model, items, times, next_times if form.get("query_time") == "next" else times)
        torch.testing.assert_close(found[row, : len(items)], expected, rtol=1e-9, atol=1e-10)
    table = model.items.weight if "cosine_temperature" not in form else unit_rows(model.items.weight)
    torch.testing.assert_close(model.score(rows), model.last_hidden(rows) @ table.T, rtol=1e-12, atol=1e-12)


def unit_rows(table):
    lengths = table.norm(dim=1, keepdim=True)
    return table / torch.where(lengths > 0, lengths, 1)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, 0), (1, 0), (2, 2), (60, 13), (3600, 27), (86_400, 37), (604_800, 44), (2_592_000, 49), (31_536_000, 57),
     (1_700_000_000, 70), (2**62, 128)],
)  # fmt: skip
def test_buckets(seconds, expected):
    moments = torch.tensor([[5, 5 + seconds]])
    assert buckets(moments[:, 1:], moments).flatten().tolist() == [expected, 0]
    assert buckets(moments, moments[:, 1:]).flatten().tolist() == [expected, 0]  # the distance, whichever is later


def test_every_bucket_begins_where_it_should():
    borders = [int(np.ceil(np.exp(0.301 * k))) for k in range(8, 71)]
    gaps = torch.tensor([[0], *([one] for one in borders), *([one - 1] for one in borders)])
    found = buckets(gaps, torch.zeros_like(gaps))[1:].flatten().tolist()
    assert found == [*range(8, 71), *range(7, 70)]


def test_where_distances_stand():
    """N = 4, a table of 0 to 6: rows 3456, 2345, 1234, 0123, of which those above the diagonal have no weight."""
    places = torch.arange(4)
    table = torch.arange(7)[3 + places - places[:, None]]
    assert table.tolist() == [[3, 4, 5, 6], [2, 3, 4, 5], [1, 2, 3, 4], [0, 1, 2, 3]]
    model = network(max_length=4, spare=0, heads=1, query_time="none")
    seen = {}
    block = model.blocks[0]
    block.register_forward_pre_hook(lambda module, inputs: seen.update(distances=inputs[1].distances))
    model.hidden(torch.tensor([[1, 2, 3, 4]]))
    assert torch.equal(seen["distances"], table)
    loss = model.hidden(torch.tensor([[1, 2, 3, 4]])).sin().sum()
    (gradient,) = torch.autograd.grad(loss, block.distances)
    assert gradient[:4].abs().min() > 0 and not gradient[4:].any()


@torch.no_grad()
def test_a_score_of_0_has_no_weight():
    """Unlike in a softmax: with Q = 0 and no biases, blocks add their b_o, and nothing else."""
    model, items = network(), torch.tensor([[3, 4, 5, 6]])
    for block in model.blocks:
        block.projection.weight.zero_()
    embedded = model.items(items) * 6**0.5 + model.positions.weight[:4]
    expected = embedded + sum(block.output.bias for block in model.blocks)
    torch.testing.assert_close(model.hidden(items), expected, rtol=1e-12, atol=1e-12)
    model = network(layers=1)
    block = model.blocks[0]
    block.projection.weight[2 * 6 : 3 * 6] = 0.0  # queries
    block.distances.zero_()
    block.times.zero_()
    torch.testing.assert_close(
        model.hidden(items),
        model.items(items) * 6**0.5 + model.positions.weight[:4] + block.output.bias,
        rtol=1e-12,
        atol=1e-12,
    )


def test_the_scale_of_the_mixture_is_lost_where_it_is_far_above_epsilon():
    drawn = torch.randn(4, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(normed(2 * drawn), normed(drawn), rtol=1e-5, atol=1e-5)
    small = 1e-4 * drawn
    torch.testing.assert_close(normed(2 * small), 2 * normed(small), rtol=0.02, atol=0)  # below, it is kept


@torch.no_grad()
def test_n_is_a_part_of_the_model():
    """What is mixed is so small at first that the number that it is divided by can be seen in the output."""
    items, outputs = torch.tensor([[3, 4, 5, 6]]), []
    for places in (COUNT, 10 * COUNT):
        model = build_sequential(SMALL | {"layers": 1}, N_ITEMS, torch.Generator().manual_seed(1)).double().eval()
        block = model.blocks[0]
        block.places = places
        outputs.append(
            model.hidden(items) - model.items(items) * 6**0.5 - model.positions.weight[:4] - block.output.bias
        )
    torch.testing.assert_close(outputs[0], 10 * outputs[1], rtol=0.05, atol=1e-7)


@torch.no_grad()
def test_nothing_is_read_of_later_items():
    items, times = torch.tensor([[3, 4, 5, 6, 7]]), torch.tensor([[100, 160, 300, 500, 1000]])
    model = network()
    before = model.hidden_at(items, times)
    after = model.hidden_at(torch.tensor([[3, 4, 5, 9, 9]]), torch.tensor([[100, 160, 300, 301, 90_000]]))
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=1e-12, atol=1e-13)
    assert not torch.allclose(after[:, 3:], before[:, 3:])


@torch.no_grad()
@pytest.mark.parametrize(("query_time", "first_changed"), [("current", 3), ("next", 2), ("none", 5)])
def test_what_a_moved_event_changes(query_time, first_changed):
    """The time of event 3: with `next` the position before it, which predicts it, knows."""
    rows = dataclasses.replace(
        sequences_of([[3, 4, 5, 6, 7]], N_ITEMS), timestamps=torch.tensor([100, 160, 300, 500, 9000])
    )
    moved = dataclasses.replace(rows, timestamps=torch.tensor([100, 160, 300, 8000, 9000]))
    model = network(query_time=query_time)
    before, after = (model.read(one.with_next_times())[0] for one in (rows, moved))
    changed = (before - after).abs().amax(1) > 1e-9
    assert changed.tolist() == [place >= first_changed for place in range(5)]


@torch.no_grad()
def test_only_distances_in_time_matter():
    rows = timed()
    later = dataclasses.replace(rows, timestamps=rows.timestamps + 10**9, next_times=rows.next_times + 10**9)
    for form in FORMS:
        model = network(**form)
        torch.testing.assert_close(model.score(later), model.score(rows), rtol=1e-10, atol=1e-11)


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_padding_and_other_rows_play_no_part(form):
    model, rows = network(**form), timed()
    together = model.score(rows)
    alone = torch.cat([model.score(rows.select(torch.tensor([row]))) for row in range(len(rows))])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-11)
    padded = torch.tensor([[3, 4, 5, 0, 0, 0]]), torch.tensor([[7, 9, 99, 0, 0, 0]])
    short = model.hidden_at(padded[0][:, :3], padded[1][:, :3])
    torch.testing.assert_close(model.hidden_at(*padded)[:, :3], short, rtol=1e-10, atol=1e-11)


@torch.no_grad()
@pytest.mark.parametrize("form", [form for form in FORMS if form.get("query_time") != "next"], ids=str)
def test_event_by_event_as_whole_rows(form):
    model, generator = network(**form), torch.Generator().manual_seed(8)
    items = torch.randint(1, N_ITEMS + 1, (3, LENGTH), generator=generator)
    times = torch.randint(0, 10**6, (3, LENGTH), generator=generator).cumsum(1)
    states, found = model.start(3), []
    for place in range(LENGTH):
        gap = times[:, place] - times[:, place - 1]  # of the first item that is nonsense, and not read
        hidden, states = model.step(items[:, place], gap, states)
        found.append(hidden)
    torch.testing.assert_close(torch.stack(found, dim=1), model.hidden_at(items, times), rtol=1e-10, atol=1e-12)


def test_there_is_no_step_beyond_the_positions():
    model = network(max_length=2, spare=1)
    states = model.start(1)
    for _ in range(3):
        _, states = model.step(torch.tensor([3]), torch.tensor([60]), states)
    with pytest.raises(NotImplementedError, match="a row has 3 items"):
        model.step(torch.tensor([3]), torch.tensor([60]), states)


def test_positions_that_ask_from_the_next_event_have_no_form_step_by_step():
    with pytest.raises(NotImplementedError, match="query_time next"):
        network(query_time="next").start(1)


@torch.no_grad()
def test_cosines_rank_and_train_alike():
    """Representations have length 1 / temperature, items length 1, padding none; scores are cosines over it."""
    model, rows = network(cosine_temperature=0.05), timed()
    torch.testing.assert_close(model.last_hidden(rows).norm(dim=1), torch.full((len(rows),), 20.0).double())
    lengths = model.item_table().norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths).index_fill(0, torch.tensor([0]), 0.0))
    plain = network()
    cosines = torch.nn.functional.cosine_similarity(
        plain.last_hidden(rows)[:, None], plain.items.weight[None, 1:], dim=2
    )
    torch.testing.assert_close(model.score(rows)[:, 1:], cosines / 0.05, rtol=1e-10, atol=1e-10)


def test_all_weights_are_trained_that_are_read():
    for form in FORMS:
        model, view = network(**form), make_view("all_positions", timed())
        cross_entropy.CrossEntropy().loss(model, view.batch(torch.arange(len(view))), Randomness(0)).backward()
        assert all(weight.grad.abs().max() > 0 for weight in model.parameters())
        assert not model.items.weight.grad[0].any() and not model.positions.weight.grad[LENGTH:].any()


@pytest.mark.parametrize("query_time", ["current", "next"])
def test_prefixes_and_all_positions_have_one_gradient(query_time):
    """A prefix is told the same of time as the position in the whole row."""
    rows, model, found = timed([row[:9] for row in ROWS]), network(query_time=query_time), []
    for name in ("prefixes", "all_positions"):
        model.zero_grad()
        view = make_view(name, rows)
        cross_entropy.CrossEntropy().loss(model, view.batch(torch.arange(len(view))), Randomness(0)).backward()
        found.append([weight.grad.clone() for weight in model.parameters()])
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("n_items", "changes", "expected"),
    [
        pytest.param(3952, {}, 234_400, id="ml-1m hstu"),
        pytest.param(3952, {"layers": 8, "heads": 2}, 313_000, id="ml-1m hstu-large"),
        pytest.param(695_762, {"width": 64, "layers": 4, "heads": 4, "max_length": 50}, 44_615_912, id="books"),
    ],
)
def test_sizes_as_the_authors_models(n_items, changes, expected):
    p = {"family": "hstu"} | changes
    model = HSTU(HSTUParameters.model_validate(p), n_items)
    assert sum(weight.numel() for weight in model.parameters()) == expected


def test_initial_weights_come_from_the_generator_alone():
    models = []
    for state in (1, 2):
        torch.manual_seed(state)
        models.append(build_sequential({"family": "hstu"}, 2000, torch.Generator().manual_seed(7)))
    first, second = (dict(model.named_parameters()) for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    items = first["items.weight"][1:]
    assert not first["items.weight"][0].any() and 0.039 < items.abs().max() <= 0.04
    assert items.std().item() == pytest.approx(0.8796 * 0.02, rel=0.01)
    assert first["positions.weight"].std().item() == pytest.approx((2 / 261) ** 0.5, rel=0.03)
    assert first["blocks.1.projection.weight"].std().item() == pytest.approx(0.02, rel=0.03)
    assert first["blocks.1.distances"].std().item() == pytest.approx(0.02, rel=0.15)
    assert first["blocks.1.times"].std().item() == pytest.approx(0.02, rel=0.25)
    bound = (6 / 100) ** 0.5
    assert 0.98 * bound < first["blocks.0.output.weight"].abs().max().item() <= bound
    assert 0.5 * 50**-0.5 < first["blocks.0.output.bias"].abs().max().item() <= 50**-0.5


def test_histories_without_what_is_read_are_refused():
    plain = sequences_of(ROWS, N_ITEMS)
    with pytest.raises(InputError, match="timestamps: found none"):
        network().score(plain)
    without = dataclasses.replace(timed(), next_times=None)
    with pytest.raises(InputError, match="next_times: found none"):
        network(query_time="next").score(without)
    assert network(query_time="none").score(plain).isfinite().all()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"heads": 4}, "width 6 is not a multiple of heads 4"),
        ({"query_time": "none", "gaps": "constant"}, "found gaps: constant with query_time: none"),
        ({"cosine_temperature": 0.0}, "greater than 0"),
    ],
)
def test_settings_that_are_refused(changes, found):
    with pytest.raises(ValidationError, match=found):
        HSTUParameters.model_validate(SMALL | changes)


def steps_and_gaps():
    """Rows in which an item is followed by one or two items further, after a gap of 1 or 3 seconds accordingly."""
    generator, rows, gaps = torch.Generator().manual_seed(2), [], []
    for _ in range(60):
        steps = torch.randint(1, 3, (LENGTH,), generator=generator)
        rows.append((1 + torch.cat([torch.zeros(1, dtype=torch.long), steps.cumsum(0)]) % N_ITEMS).tolist())
        gaps.append(2 * steps - 1)  # [L], before the items behind the first
    return sequences_of(rows, N_ITEMS), gaps


def learned(rows, query_time):
    """The loss after some steps on all rows at once."""
    model = build_sequential(
        SMALL | {"width": 16, "layers": 1, "query_time": query_time}, N_ITEMS, torch.Generator().manual_seed(3)
    )
    view, optimizer = make_view("all_positions", rows), torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = view.batch(torch.arange(len(view)))
    for _ in range(45):
        optimizer.zero_grad()
        loss = cross_entropy.CrossEntropy().loss(model, batch, Randomness(0))
        loss.backward()
        optimizer.step()
    return loss.item()


def test_it_learns_what_only_the_gap_before_an_item_tells():
    """Times are moved by one event, so that the gap before an item tells how far the next one is."""
    rows, gaps = steps_and_gaps()
    told = dataclasses.replace(rows, timestamps=torch.cat([torch.cat([one[:1] * 0, one.cumsum(0)]) for one in gaps]))
    moved = dataclasses.replace(
        rows, timestamps=torch.cat([torch.cat([one.cumsum(0), one.sum()[None]]) for one in gaps])
    )
    assert learned(moved, "current") < 0.5 * learned(moved, "none")
    assert learned(told.with_next_times(), "next") < 0.5 * learned(told, "current")  # the gap to the next event

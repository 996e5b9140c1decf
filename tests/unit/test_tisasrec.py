"""TiSASRec: against the equations written out as its authors have them, its times, its two forms, and its weights."""

import dataclasses
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from made_data import random_rows, sequences_of
from seqrepro.config.architectures.tisasrec import TiSASRecParameters
from seqrepro.errors import InputError
from seqrepro.models.interfaces import build_sequential
from seqrepro.models.tisasrec import personal
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS, WIDTH, LENGTH, SPAN = 25, 6, 8, 5
TISASREC = {"family": "tisasrec", "width": WIDTH, "layers": 2, "heads": 2, "dropout": 0.0, "max_length": LENGTH}
TISASREC |= {"time_span": SPAN}
RAW = {"intervals": "raw", "positions_in": "input"}
ROWS = random_rows(20, N_ITEMS, seed=3, longest=12)  # some longer than the model sees
FORMS = [{}, {"pad_keys": "port"}, {"pad_keys": "port", "intervals": "raw"}, {"heads": 1, "time_span": 0}]
FORMS += [RAW, RAW | {"positions_in": "keys"}]


def network(**changes):
    """In float64, away from its small initial weights."""
    model = build_sequential(TISASREC | changes, N_ITEMS, torch.Generator().manual_seed(3)).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.4 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        model.items.weight[0].zero_()
    return model


def timed(rows=ROWS, seed=5):
    """The rows with random gaps of 0 to 6 seconds; some neighbours share a moment."""
    plain = sequences_of(rows, N_ITEMS)
    gaps = torch.randint(0, 7, (len(plain.values),), generator=torch.Generator().manual_seed(seed))
    times = gaps.cumsum(0) + 1_000_000  # a row goes on where the one before it ended
    return dataclasses.replace(plain, timestamps=times)


def shown(rows, count=LENGTH):
    """Items and times of each row as lists, the newest of them."""
    last = rows.tail(count)
    borders = last.offsets.tolist()
    cut = lambda numbers: [numbers[a:b].tolist() for a, b in pairwise(borders)]  # noqa: E731
    return list(zip(cut(last.values), cut(last.timestamps), strict=True))


def scaled(times):
    """t' of a history, as its authors compute it."""
    gaps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
    unit = min(gaps, default=1)
    return [round((time - times[0]) / unit) + 1 for time in times]


def by_hand(model, items, times):
    """The representation at the newest item: rows filled up on the left, [L, L, D] tensors, a loop over queries."""
    p, empty = model.chosen, LENGTH - len(items)
    ids = torch.tensor([0] * empty + items)
    times = [0] * empty + (times if p.intervals == "raw" else scaled(times))
    real = ids > 0
    states = model.items.weight[ids] * WIDTH**0.5
    if p.positions_in == "input":
        states[empty:] += model.positions[0].weight[: len(items)]
    keys_at, values_at = (
        (table.weight for table in model.positions) if p.positions_in == "keys" else [torch.zeros(LENGTH, WIDTH)] * 2
    )
    intervals = torch.tensor([[min(abs(one - other), p.time_span) for other in times] for one in times])
    to_keys, to_values = model.time_keys.weight[intervals], model.time_values.weight[intervals]  # [L, L, D]
    layer = lambda one, inputs: inputs @ one.weight.T + one.bias  # noqa: E731
    norm = lambda one, inputs: F.layer_norm(inputs, (WIDTH,), one.weight, one.bias, 1e-8)  # noqa: E731
    for block in model.blocks:
        attention, normed = block.attention, norm(block.attention_norm, states)
        queries = layer(attention.query, normed)
        keys, values = layer(attention.key, states), layer(attention.value, states)
        mixed = torch.zeros_like(normed)
        for i in range(empty, LENGTH):
            seen = [j for j in range(i + 1) if real[j] or p.pad_keys == "port"]
            for head in torch.arange(WIDTH).chunk(p.heads):
                vectors = (keys + keys_at + to_keys[i])[seen][:, head]
                weights = (vectors @ queries[i, head] / len(head) ** 0.5).softmax(0)
                mixed[i, head] = weights @ (values + values_at + to_values[i])[seen][:, head]
        middle = norm(block.feed_forward_norm, normed + mixed)
        states = (middle + layer(block.outer, F.relu(layer(block.inner, middle)))) * real[:, None]
    return norm(model.norm, states[-1])


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_it_is_the_naive_form(form):
    """Of one block: in deeper ones, earlier positions have units of their own, and not those of the newest item."""
    model, rows = network(**({"layers": 1} | form)), timed()
    expected = torch.stack([by_hand(model, *row) for row in shown(rows)])
    torch.testing.assert_close(model.last_hidden(rows), expected, rtol=1e-10, atol=1e-11)


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_it_is_the_naive_form_in_depth(form):
    """With the smallest gap first, so that all positions have the same unit."""
    model, rows = network(**form), timed()
    first = torch.zeros(len(rows.values), dtype=torch.bool)
    first[_second(rows)] = True
    gaps = rows.timestamps.diff(prepend=rows.timestamps[:1]).clamp(min=1).where(~first, 1)
    rows = dataclasses.replace(rows, timestamps=gaps.cumsum(0) + 1_000_000)
    expected = torch.stack([by_hand(model, *row) for row in shown(rows)])
    torch.testing.assert_close(model.last_hidden(rows), expected, rtol=1e-10, atol=1e-11)


def _second(rows):
    """Where the second item shown of each row stands, if there is one."""
    starts = rows.offsets[1:] - rows.lengths.clamp(max=LENGTH)
    return (starts + 1)[rows.lengths > 1].tolist()


def test_units():
    """Of 0, 7, 21 by the smallest gap; nothing later counts; halves go to the even number; all at one moment."""
    assert personal(torch.tensor([[0, 7, 21]]))[0].tolist() == [[1, 8, 22], [1, 2, 4], [1, 2, 4]]
    assert personal(torch.tensor([[100, 104, 110, 112, 117]]))[0, -1].tolist() == [1, 3, 6, 7, 9]  # 8.5 of 17 / 2
    assert personal(torch.tensor([[9, 9, 9]]))[0].tolist() == [[1, 1, 1]] * 3
    for _, times in shown(timed()):
        units = personal(torch.tensor([times]))[0]
        for at in range(len(times)):
            assert units[at, : at + 1].tolist() == scaled(times[: at + 1])


@torch.no_grad()
def test_only_ratios_of_gaps_matter_on_the_personal_scale():
    rows = timed()
    moved, stretched = (dataclasses.replace(rows, timestamps=t) for t in (rows.timestamps + 77, rows.timestamps * 60))
    for form, changes in (({}, False), (RAW, True)):
        model = network(**form)
        before = model.score(rows)
        torch.testing.assert_close(model.score(moved), before, rtol=1e-10, atol=1e-11)
        assert torch.allclose(model.score(stretched), before) != changes


@torch.no_grad()
def test_nothing_is_read_of_what_comes_later():
    """Neither items nor times; a very small gap at the end would change the unit."""
    model = network()
    items, times = torch.tensor([[3, 4, 5, 6, 7]]), torch.tensor([[100, 160, 300, 500, 1000]])
    before = model.hidden_at(items, times)
    later_items, later_times = torch.tensor([[3, 4, 5, 9, 9]]), torch.tensor([[100, 160, 300, 301, 303]])
    after = model.hidden_at(later_items, later_times)
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=1e-12, atol=1e-13)
    assert not torch.allclose(after[:, 3:], before[:, 3:])
    assert not torch.allclose(model.hidden_at(items, torch.tensor([[100, 110, 300, 500, 1000]])), before)


@torch.no_grad()
def test_without_tables_it_is_a_causal_transformer():
    model = network(heads=2)
    for table in (model.time_keys, model.time_values, *model.positions):
        table.weight.zero_()
    items = torch.tensor([[3, 4, 5, 6, 7]])
    states = model.items.weight[items] * WIDTH**0.5
    by_head = lambda vectors: vectors.unflatten(-1, (2, -1)).transpose(1, 2)  # noqa: E731
    for block in model.blocks:
        attention, normed = block.attention, block.attention_norm(states)
        parts = attention.query(normed), attention.key(states), attention.value(states)
        mixed = F.scaled_dot_product_attention(*map(by_head, parts), is_causal=True)
        middle = block.feed_forward_norm(normed + mixed.transpose(1, 2).flatten(2))
        states = middle + block.outer(F.relu(block.inner(middle)))
    found = model.hidden_at(items, torch.tensor([[5, 9, 100, 101, 180]]))
    torch.testing.assert_close(found, model.norm(states), rtol=1e-10, atol=1e-11)


@torch.no_grad()
def test_a_span_of_0_adds_one_vector_to_all_values():
    model, rows = network(time_span=0), timed()
    expected = model.score(rows)
    model.time_keys.weight.add_(3.0)
    torch.testing.assert_close(model.score(rows), expected, rtol=1e-10, atol=1e-11)
    for block in model.blocks:
        block.attention.value.bias += model.time_values.weight[0]
    model.time_values.weight.zero_()
    torch.testing.assert_close(model.score(rows), expected, rtol=1e-10, atol=1e-11)


@torch.no_grad()
def test_what_32_bits_leave_of_intervals():
    """In 2000, 32-bit timestamps lie 64 seconds apart; so there are five intervals up to 256."""
    rows = timed()
    rows = dataclasses.replace(rows, timestamps=rows.timestamps * 11 + 956_703_932)
    exact, rounded = network(**RAW, time_span=256), network(**RAW, time_span=256, stamps="float32")
    padded, times = rows.last(LENGTH)[0], rows.last_times(LENGTH)
    found = set(rounded._relations((padded != 0).sum(1), times).intervals.flatten().tolist())
    assert {0, 64, 128, 256} <= found <= {0, 64, 128, 192, 256}
    assert not torch.allclose(exact.score(rows), rounded.score(rows))


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_padding_on_the_right_and_other_rows_play_no_part(form):
    model, rows = network(**form), timed()
    together = model.score(rows)
    alone = torch.cat([model.score(rows.select(torch.tensor([row]))) for row in range(len(rows))])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-11)
    assert together.isfinite().all()


@torch.no_grad()
def test_padding_on_the_left_is_attended_to_in_the_port():
    masked, port = network(), network(pad_keys="port")
    short, full = timed([[3, 4, 5]]), timed([list(range(1, 9))])
    assert not torch.allclose(masked.score(short), port.score(short))
    torch.testing.assert_close(masked.score(full), port.score(full))


def test_all_weights_are_trained_but_the_row_of_padding():
    for form in ({}, RAW):
        model, view = network(**form), make_view("all_positions", timed())
        cross_entropy.CrossEntropy().loss(model, view.batch(torch.arange(len(view))), Randomness(0)).backward()
        assert all(weight.grad.abs().max() > 0 for weight in model.parameters())
        assert not model.items.weight.grad[0].any()


def test_prefixes_and_all_positions_have_one_gradient_where_positions_count_from_the_oldest():
    rows, model, found = timed([row[:9] for row in ROWS]), network(**RAW, layers=1), []
    for name in ("prefixes", "all_positions"):
        model.zero_grad()
        view = make_view(name, rows)
        cross_entropy.CrossEntropy().loss(model, view.batch(torch.arange(len(view))), Randomness(0)).backward()
        found.append([weight.grad.clone() for weight in model.parameters()])
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("length", "expected"), [(50, 227_550), (200, 242_550)])
def test_number_of_parameters(length, expected):
    """At V = 3,416, D = 50, K = 256, n = 2; one table of positions less where they are in the input."""
    for form, less in (({}, 0), (RAW, length * 50)):
        model = build_sequential({"family": "tisasrec", "max_length": length} | form, 3_416, torch.Generator())
        assert sum(weight.numel() for weight in model.parameters()) == expected - less


def test_initial_weights_come_from_the_generator_alone():
    models = []
    for state in (1, 2):
        torch.manual_seed(state)
        models.append(build_sequential({"family": "tisasrec"}, 2000, torch.Generator().manual_seed(7)))
    first, second = (dict(model.named_parameters()) for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not first["items.weight"][0].any() and not first["blocks.0.attention.key.bias"].any()
    for name, ends in {"items.weight": 2051, "time_keys.weight": 307, "blocks.1.inner.weight": 100}.items():
        bound = (6 / ends) ** 0.5
        assert 0.99 * bound < first[name].abs().max().item() <= bound
        assert first[name].std().item() == pytest.approx(bound / 3**0.5, rel=0.03)


def test_it_learns_what_only_the_gap_tells():
    """Items 1, 2 and so on at gaps of 1 or 3: after a long gap the next item is the one after the next."""
    generator, rows, times = torch.Generator().manual_seed(2), [], []
    for _ in range(60):
        steps = torch.randint(1, 3, (8,), generator=generator)  # 1 or 2 items further
        rows.append((1 + torch.cat([torch.zeros(1, dtype=torch.long), steps.cumsum(0)]) % N_ITEMS).tolist())
        times.append(torch.cat([torch.tensor([0, 1]), 1 + (2 * steps[1:] - 1).cumsum(0)]))
    gaps_of_next = [torch.cat([one[1:], one[-1:] + 1]) for one in times]  # each item is told how far the next one is
    sequences = dataclasses.replace(sequences_of(rows, N_ITEMS), timestamps=torch.cat(gaps_of_next))
    losses = []
    for gaps in (sequences, dataclasses.replace(sequences, timestamps=torch.zeros_like(sequences.timestamps))):
        model = build_sequential(TISASREC | {"width": 16, "layers": 1}, N_ITEMS, torch.Generator().manual_seed(3))
        view = make_view("all_positions", gaps)
        batch, optimizer = view.batch(torch.arange(len(view))), torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(70):
            optimizer.zero_grad()
            loss = cross_entropy.CrossEntropy().loss(model, batch, Randomness(0))
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] < 0.5 * losses[1]


def test_histories_without_times_are_refused():
    with pytest.raises(InputError, match="timestamps: found none"):
        network().score(sequences_of(ROWS, N_ITEMS))


@pytest.mark.parametrize("changes", [{"heads": 4}, RAW | {"pad_keys": "port"}, {"time_span": -1}])
def test_settings_that_are_refused(changes):
    with pytest.raises(ValidationError):
        TiSASRecParameters.model_validate(TISASREC | changes)

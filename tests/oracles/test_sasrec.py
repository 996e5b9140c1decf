"""SASRec against torch's own Transformer layer, against fully padded batches and against training on prefixes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from made_data import SASREC, random_rows, sequences_of
from seqrepro.data.sequences import length_groups
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch, all_positions

N_ITEMS = 25


def build(**changes):
    parameters = {**SASREC, "max_length": 40, **changes}
    model = build_sequential(parameters, N_ITEMS, torch.Generator().manual_seed(3)).double()
    with torch.no_grad():  # away from the small initial weights, so that everything matters
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(4), dtype=weight.dtype) * 0.3)
        model.items.weight[0].zero_()
    return model.eval()


@pytest.fixture(scope="module")
def rows():
    return random_rows(25, N_ITEMS, seed=8, longest=39)


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


def assert_same(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def padded_loss(model, rows):
    """The loss from one matrix padded to the full length, with torch's cross-entropy ignoring padding."""
    padded = torch.zeros(len(rows), model.max_length + 1, dtype=torch.int64)
    for index, row in enumerate(rows):
        shown = row[-(model.max_length + 1) :]
        padded[index, : len(shown)] = torch.tensor(shown)
    logits = model.hidden(padded[:, :-1]) @ model.item_table()[1:].T
    return F.cross_entropy(logits.flatten(0, 1), padded[:, 1:].flatten() - 1, ignore_index=-1)


def prefix_loss(model, rows):
    """The mean loss over prefixes, each a history of its own."""
    losses = [
        F.cross_entropy(model.score(sequences_of([row[:end]], N_ITEMS))[:, 1:], torch.tensor([row[end] - 1]))
        for row in rows
        for end in range(1, len(row))
    ]
    return torch.stack(losses).mean()


def all_positions_loss(model, rows):
    return cross_entropy.CrossEntropy().loss(model, Batch(sequences_of(rows, N_ITEMS), all_positions), Randomness(0))


def torchs_layers(model):
    """torch's own Transformer layers with the weights of the blocks."""
    p, layers = SASREC, []
    for block in model.blocks:
        layer = nn.TransformerEncoderLayer(
            p["width"],
            p["heads"],
            p["inner_width"],
            dropout=0.0,
            activation="gelu",
            layer_norm_eps=1e-12,
            batch_first=True,
        ).double()
        attention, forward = block.mixer, block.feed_forward
        layer.self_attn.in_proj_weight.copy_(attention.query_key_value.weight)
        layer.self_attn.in_proj_bias.copy_(attention.query_key_value.bias)
        layer.self_attn.out_proj.load_state_dict(attention.output.state_dict())
        layer.linear1.load_state_dict(forward.inner.state_dict())
        layer.linear2.load_state_dict(forward.output.state_dict())
        layer.norm1.load_state_dict(block.mixer_norm.state_dict())
        layer.norm2.load_state_dict(block.feed_forward_norm.state_dict())
        layers.append(layer)
    return layers


@torch.no_grad()
def test_hidden_states_equal_those_of_torchs_transformer_layers():
    model = build()
    items = torch.randint(1, N_ITEMS + 1, (3, 12), generator=torch.Generator().manual_seed(1))
    states = model.items(items) + model.positions(torch.arange(12))
    states = F.layer_norm(states, (SASREC["width"],), model.norm.weight, model.norm.bias, 1e-12)
    for layer in torchs_layers(model):
        states = layer(states, src_mask=nn.Transformer.generate_square_subsequent_mask(12, dtype=torch.float64))
    torch.testing.assert_close(model.hidden(items), states, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def left_padded_states(model, rows):
    """States [B, L, D] of the newest L items padded on the left, as S3-Rec computes them: a position is a column."""
    items = torch.zeros(len(rows), model.max_length, dtype=torch.int64)
    for index, row in enumerate(rows):
        shown = row[-model.max_length :]
        items[index, -len(shown) :] = torch.tensor(shown)
    hidden_from = torch.ones(model.max_length, model.max_length).triu(1).bool() | (items == 0)[:, None, :]
    mask = -10_000.0 * hidden_from.double().repeat_interleave(SASREC["heads"], 0)
    states = model.items(items) + model.positions.weight
    states = F.layer_norm(states, (SASREC["width"],), model.norm.weight, model.norm.bias, 1e-12)
    for layer in torchs_layers(model):
        states = layer.train(model.training)(states, src_mask=mask)
    return states


@pytest.mark.parametrize("max_length", [40, 7])
def test_positions_from_the_newest_item_are_padding_on_the_left(rows, max_length):
    """What is ranked by is the last column; training on all positions shows every row without its last item."""
    model = build(max_length=max_length, positions_from="newest", dropout=0.0, attention_dropout=0.0).train()
    last = left_padded_states(model, rows)[:, -1]
    torch.testing.assert_close(model.last_hidden(sequences_of(rows, N_ITEMS)), last, rtol=1e-10, atol=1e-12)
    hidden, targets = all_positions(model, sequences_of(rows, N_ITEMS))
    counts = [min(len(row) - 1, max_length) for row in rows]
    states = left_padded_states(model, [row[:-1] for row in rows])
    expected = torch.cat([states[index, -count:] for index, count in enumerate(counts)])
    predicted = [item for row, count in zip(rows, counts, strict=True) for item in row[-count:]]
    order = target_order(counts)
    assert targets.tolist() == [predicted[place] for place in order.tolist()]
    torch.testing.assert_close(hidden, expected[order], rtol=1e-10, atol=1e-12)
    assert not torch.allclose(build(max_length=max_length).last_hidden(sequences_of(rows, N_ITEMS)), last, rtol=0.1)


def target_order(counts):
    """The order of the targets of all rows, group by group of similar length."""
    starts = torch.tensor([0, *counts]).cumsum(0)
    rows = torch.cat(list(length_groups(torch.tensor(counts))))
    return torch.cat([torch.arange(int(starts[row]), int(starts[row + 1])) for row in rows])


@pytest.mark.parametrize("max_length", [40, 7])
def test_groups_by_length_equal_the_fully_padded_batch(rows, max_length):
    model = build(max_length=max_length)
    grouped, padded = all_positions_loss(model, rows), padded_loss(model, rows)
    torch.testing.assert_close(grouped, padded, rtol=1e-12, atol=0)
    assert_same(gradients(grouped, model), gradients(padded, model))


@torch.no_grad()
def test_scores_in_groups_equal_scores_one_by_one(rows):
    model = build(max_length=9)
    together = model.score(sequences_of(rows, N_ITEMS))
    alone = torch.cat([model.score(sequences_of([row], N_ITEMS)) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)


def test_all_positions_equal_training_on_prefixes(rows):
    model = build()
    at_once, by_prefix = all_positions_loss(model, rows[:12]), prefix_loss(model, rows[:12])
    torch.testing.assert_close(at_once, by_prefix, rtol=1e-12, atol=0)
    assert_same(gradients(at_once, model), gradients(by_prefix, model))


def test_rows_that_are_cut_are_not_prefix_training(rows):
    """The counter-example: cutting shifts the positions, and prefixes keep targets that a cut row loses."""
    model = build(max_length=7)
    at_once, by_prefix = all_positions_loss(model, rows[:12]), prefix_loss(model, rows[:12])
    assert abs(at_once.item() / by_prefix.item() - 1) > 1e-3


def test_later_items_do_not_change_earlier_states():
    model = build()
    items = torch.randint(1, N_ITEMS + 1, (2, 10), generator=torch.Generator().manual_seed(1))
    changed = items.clone()
    changed[:, 6:] = changed[:, 6:] % N_ITEMS + 1
    before, after = model.hidden(items), model.hidden(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize(("n_items", "expected"), [(12_101, 877_824), (3_416, 321_984)])
def test_number_of_parameters(n_items, expected):
    """(V + 1) D + L D + 2 D + n 49,984 at D = 64, n = 2, L = 50."""
    parameters = {"family": "sasrec", "width": 64, "layers": 2, "heads": 2, "inner_width": 256, "max_length": 50}
    model = build_sequential(parameters, n_items, torch.Generator())
    assert sum(weight.numel() for weight in model.parameters()) == expected


def test_initial_values_come_from_the_generator_alone():
    torch.manual_seed(0)
    one = build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(1)).state_dict()
    torch.manual_seed(99)
    other = build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(1)).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one["items.weight"][0].abs().max() == 0
    wide = build_sequential({**SASREC, "width": 64}, 2_000, torch.Generator().manual_seed(1)).state_dict()
    assert float(wide["items.weight"][1:].std()) == pytest.approx(0.02, rel=0.02)
    assert float(wide["blocks.0.mixer.output.bias"].abs().max()) == 0

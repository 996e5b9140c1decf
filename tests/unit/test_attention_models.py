"""Networks with each method: what holds of a mixture holds of the network around it; position embeddings add order."""

import pytest
import torch

from attention_table import DIRECTIONS, MAX_LENGTH, METHODS, expectation
from made_data import random_rows, sequences_of
from seqrepro.models.attention.mixer import build_mixer
from seqrepro.models.interfaces import build_sequential

N_ITEMS = 25
SIZES = {"width": 8, "heads": 2, "inner_width": 16, "dropout": 0.0, "attention_dropout": 0.0, "max_length": MAX_LENGTH}
CASES = [(method, frame) for method in METHODS for frame in DIRECTIONS if (method, frame) != ("linformer", "causal")]
PAST = [3, 14, 1, 5, 9, 2, 6]


def network(attention, frame="causal", positions="learned", layers=1):
    """In float64, away from its small first weights."""
    parameters = {"family": "hydrarec", "frame": frame, "attention": attention, "positions": positions} | SIZES
    model = build_sequential(parameters | {"layers": layers}, N_ITEMS, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
        model.items.weight[0].zero_()
    return model.double().eval()


def gap_of_pasts(model, *pasts):
    """Between the representations at item 7 after one past and after another."""
    first, second = (model.last_hidden(sequences_of([[*past, 7]], N_ITEMS)) for past in pasts)
    return (first - second).abs().max().item()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("method", ["softmax sdpa", "softmax naive"])
def test_the_maps_around_dot_product_attention_are_those_of_torch(method, causal):
    """torch.nn.MultiheadAttention with the same weights, rows padded on the right."""
    torch.manual_seed(1)
    states, real = torch.randn(2, 6, 8), torch.arange(6) < torch.tensor([[6], [4]])
    mixer = build_mixer(METHODS[method][0], 8, 2, MAX_LENGTH, causal)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    names = {"query_key_value.weight": "in_proj_weight", "query_key_value.bias": "in_proj_bias"}
    names |= {"output.weight": "out_proj.weight", "output.bias": "out_proj.bias"}
    theirs.load_state_dict({names[name]: weight for name, weight in mixer.state_dict().items()})
    later = torch.ones(6, 6, dtype=torch.bool).triu(1) if causal else None
    expected, _ = theirs(states, states, states, key_padding_mask=~real, attn_mask=later, need_weights=False)
    torch.testing.assert_close(mixer(states, real)[real], expected[real], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("method", "frame"), CASES)
def test_one_layer_knows_the_order_of_the_past_by_positions_or_by_distances(method, frame):
    orders = PAST, PAST[::-1]
    without = gap_of_pasts(network(METHODS[method][0], frame, "none"), *orders)
    assert without < 1e-10 if expectation("no_order", method, frame) == "holds" else without > 1e-4
    assert gap_of_pasts(network(METHODS[method][0], frame, "learned"), *orders) > 1e-4


@pytest.mark.parametrize(("frame", "knows"), [("causal", True), ("bidirectional", False)])
def test_a_second_causal_layer_knows_order_by_the_prefixes_of_the_first(frame, knows):
    gap = gap_of_pasts(network({"name": "hydra"}, frame, "none", layers=2), PAST, PAST[::-1])
    assert gap > 1e-3 if knows else gap < 1e-10


@pytest.mark.parametrize(("method", "frame"), CASES)
def test_a_history_is_scored_alike_alone_and_beside_longer_ones(method, frame):
    rows = random_rows(6, N_ITEMS, seed=5, longest=MAX_LENGTH)
    model = network(METHODS[method][0], frame, layers=2)
    together = model.score(sequences_of(rows, N_ITEMS))
    alone = torch.cat([model.score(sequences_of([row], N_ITEMS)) for row in rows])
    gap = (together - alone).abs().max()
    assert gap < 1e-10 if expectation("right_padding", method, frame) == "holds" else gap > 1e-3


@pytest.mark.parametrize("method", [method for method, frame in CASES if frame == "causal"])
def test_a_causal_network_knows_no_later_item(method):
    model = network(METHODS[method][0], layers=2)
    rows = torch.tensor([[*PAST, 7, 8, 9], [*PAST, 20, 21, 0]])
    hidden = model.hidden(rows)
    torch.testing.assert_close(hidden[0, : len(PAST)], hidden[1, : len(PAST)], rtol=0, atol=1e-10)
    assert (hidden[0, len(PAST) :] - hidden[1, len(PAST) :]).abs().max() > 1e-3


def test_without_any_mixing_only_the_newest_item_counts():
    model = network({"name": "none"}, positions="none", layers=2)
    assert gap_of_pasts(model, PAST, [11, 12]) < 1e-14


@pytest.mark.parametrize(("method", "frame"), CASES)
def test_autocast_changes_digits_only(method, frame):
    """Mixtures are finite and of one type with what is around them, and so are the gradients."""
    model, rows = (
        network(METHODS[method][0], frame, layers=2).float(),
        torch.tensor([[*PAST, 7, 8], [3, 4, 0, 0, 0, 0, 0, 0, 0]]),
    )
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.hidden(rows)
    gradients = torch.autograd.grad(hidden[rows != 0].square().mean(), [*model.blocks.parameters()])
    assert all(one.isfinite().all() for one in gradients)
    torch.testing.assert_close(hidden.float()[rows != 0], model.hidden(rows)[rows != 0], rtol=0, atol=0.15)

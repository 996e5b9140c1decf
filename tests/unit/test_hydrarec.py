"""HydraRec: with dot-product attention its frames are SASRec and BERT4Rec, and its methods know no later item."""

from pathlib import Path

import pytest
import torch

from made_data import random_rows, sequences_of
from seqrepro.config.load import load_parameters
from seqrepro.config.plan import plan_suite
from seqrepro.config.run_plan import train_request
from seqrepro.data.registry import load_registry
from seqrepro.models.interfaces import build_sequential

ROOT = Path(__file__).parents[2]
N_ITEMS = 25
SIZES = {"width": 8, "layers": 2, "heads": 2, "inner_width": 16, "dropout": 0.3, "attention_dropout": 0.2}
SIZES |= {"max_length": 10}
SOFTMAX = {"name": "softmax", "kernel": "sdpa", "dropout": 0.2}
FRAMES = {"causal": {"family": "sasrec"}, "bidirectional": {"family": "bert4rec"}}
HYDRA = {"family": "hydrarec", "frame": "causal", "attention": {"name": "hydra"}, **SIZES}


def network(parameters, seed=3):
    return build_sequential(parameters, N_ITEMS, torch.Generator().manual_seed(seed))


def histories(seed=5, longest=16):
    return sequences_of(random_rows(12, N_ITEMS, seed=seed, longest=longest), N_ITEMS)


@pytest.mark.parametrize("frame", FRAMES)
def test_with_dot_product_attention_it_is_the_model_of_its_frame_bit_by_bit(frame):
    ours, theirs = network(HYDRA | {"frame": frame, "attention": SOFTMAX}), network(FRAMES[frame] | SIZES)
    assert {name: w.tolist() for name, w in ours.state_dict().items()} == {
        name: w.tolist() for name, w in theirs.state_dict().items()
    }
    padded, _ = histories().last(10)
    for train in (True, False):
        states = []
        for model in (ours.train(train), theirs.train(train)):
            torch.manual_seed(1)
            states.append(model.hidden(padded))
        assert torch.equal(*states)


def test_the_last_layers_are_replaced():
    model = network(HYDRA | {"replaced": 1})
    assert [type(block.mixer).__name__ for block in model.blocks] == ["SelfAttention", "Mixer"]


@pytest.mark.parametrize("method", ["hydra", "mean", "none"])
def test_parameters(method):
    block = {"hydra": 4 * 8 * 8 + 4 * 8, "mean": 2 * 8 * 8 + 2 * 8, "none": 0}[method] + 2 * 8 * 16 + 16 + 8 + 4 * 8
    total = (N_ITEMS + 1) * 8 + 10 * 8 + 2 * 8 + 2 * block
    assert sum(w.numel() for w in network(HYDRA | {"attention": {"name": method}}).parameters()) == total


def test_without_positions_the_bidirectional_frame_has_none_to_train():
    model = network(HYDRA | {"frame": "bidirectional", "positions": "none"})
    assert not model.positions.weight.any() and not model.positions.weight.requires_grad


def test_mixed_padding_changes_short_rows_only():
    plain, mixed = network(HYDRA).eval(), network(HYDRA | {"padding": "mixed"}).eval()
    for model in (plain, mixed):
        for block in model.blocks:
            torch.nn.init.normal_(block.mixer.query_key_value.bias, generator=torch.Generator().manual_seed(1))
    short, full = torch.tensor([[3, 4, 5]]), torch.arange(1, 11)[None]
    torch.testing.assert_close(plain.hidden(full), mixed.hidden(full), rtol=1e-6, atol=1e-7)
    assert (plain.hidden(short) - mixed.hidden(short)).abs().max() > 1e-3
    together = mixed.hidden(torch.tensor([[3, 4, 5, 0, 0], [1, 2, 3, 4, 5]]))
    torch.testing.assert_close(together[:1, :3], mixed.hidden(short))


def test_mixed_padding_is_padding_on_the_left_without_a_mask():
    """Computed by hand: seven vectors of zeros before three items."""
    model = network(HYDRA | {"padding": "mixed", "layers": 1}).eval()
    states = torch.cat([torch.zeros(7, 8), model.items.weight[[3, 4, 5]] + model.positions.weight[:3]])[None]
    states = model.blocks[0](model.norm(states))
    torch.testing.assert_close(states[:, 7:], model.hidden(torch.tensor([[3, 4, 5]])))


def test_the_code_of_a_run_has_its_method_and_no_other(monkeypatch):
    monkeypatch.chdir(ROOT)
    runs = plan_suite(load_parameters(), "hydrarec", load_registry())
    modules = {}
    for run in runs:
        request = train_request(run)[1]
        for need in run.needs:
            modules[need.model] = {name for name in request.uses if ".attention." in name}
    assert modules["performer"] == {"seqrepro.models.attention.performer"}
    assert modules["hydrarec-hybrid"] == {"seqrepro.models.attention.hydra"}
    assert modules["no-attention"] == modules["sasrec"] == set()

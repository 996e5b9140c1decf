"""RecBole 1.2.1's Caser as an oracle: with its weights ours has its scores, its loss and its gradients, in float64.

The network is the same; ours computes the horizontal filters by a Fourier transform. Its loss has the penalty on norms
in it, as objective `penalised` has it, and padding for a class; see `test_recbole_sasrec`. Its padding is a row of the
table, which is drawn and trained like the others; ours is always 0, so it is set to 0 there.

It needs an environment of its own (`make test-oracles`); elsewhere these tests are skipped.
"""

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip("recbole", reason="RecBole is not in this environment; `make test-oracles` has it")

from oracles.test_recbole_gru4rec import their_network, with_the_same_weights
from oracles.test_recbole_sasrec import all_of, assert_same, gradients, our_loss_with_padding
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.objectives import penalised
from seqrepro.training.randomness import Randomness

PENALTY = {"name": "penalised", "base": {"name": "cross_entropy"}, "weight": 1e-4, "of": "matrices", "squared": False}
NAMES = {"item_embedding": "items", "user_embedding": "users", "conv_v": "vertical", "fc1": "joined", "fc2": "output"}


def to_our_names(named):
    """RecBole's weights, or their gradients, by the names and in the shapes of ours."""
    found = {}
    for name, weight in named.items():
        first, _, rest = name.partition(".")
        if first != "conv_h":
            found[f"{NAMES[first]}.{rest}"] = weight.flatten(1) if name == "conv_v.weight" else weight
    heights = sum(name.startswith("conv_h") for name in named) // 2
    found["horizontal_bias"] = torch.cat([named[f"conv_h.{height}.bias"] for height in range(heights)])
    for height in range(heights):  # one channel, windows of rows
        found[f"horizontal.{height}"] = named[f"conv_h.{height}.weight"][:, 0].mT
    assert sum(weight.numel() for weight in found.values()) == sum(weight.numel() for weight in named.values())
    return found


@pytest.fixture(params=[16, 6], ids=["all fit", "most are cut"])
def pair(request, tmp_path):
    theirs, config, parts, sequences = their_network(tmp_path, "Caser", request.param, dropout_prob=0.0)
    assert config["reg_weight"] == PENALTY["weight"]
    users = int(sequences.users.max())
    parameters = {"family": "caser", "users": users, "dropout": 0.0, "max_length": request.param}
    pair = with_the_same_weights(theirs, parameters, parts, sequences, to_our_names)
    with torch.no_grad():
        for model in (pair.theirs.item_embedding, pair.ours.items):
            model.weight[0].zero_()
    return pair


def test_scores_agree(pair):
    test = pair.parts[2].inter_feat
    test = test[torch.argsort(test["user_id"])]
    assert torch.equal(test["user_id"], pair.split.histories["test"].users)
    theirs, ours = pair.theirs.full_sort_predict(test), pair.ours.score(pair.split.histories["test"])
    assert_same({"scores": ours}, {"scores": theirs})


@torch.no_grad()
def test_recboles_padding_row_is_in_its_scores(pair):
    test = pair.parts[2].inter_feat
    before = pair.theirs.full_sort_predict(test)
    pair.theirs.item_embedding.weight[0] += 1.0
    changed = ~torch.isclose(pair.theirs.full_sort_predict(test)[:, 1:], before[:, 1:]).all(1)
    assert torch.equal(changed, test["item_length"] < pair.ours.max_length)


def test_loss_and_gradients_agree(pair):
    """With the penalty; with padding as a class, as RecBole has it, and without."""
    rows, objective = pair.parts[0].inter_feat, penalised.build(PENALTY, pair.split)
    theirs = pair.theirs.calculate_loss(rows)
    ours = our_loss_with_padding(pair) + objective.weight * objective.penalty(pair.ours)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)
    assert_same(gradients(pair.ours, ours), to_our_names(gradients(pair.theirs, theirs)))
    hidden = pair.theirs(rows["user_id"], rows["item_id_list"])
    of_items = F.cross_entropy(hidden @ pair.theirs.item_embedding.weight[1:].T, rows["item_id"] - 1)
    with_padding = F.cross_entropy(hidden @ pair.theirs.item_embedding.weight.T, rows["item_id"])
    theirs = pair.theirs.calculate_loss(rows) - with_padding + of_items
    ours = objective.loss(pair.ours, all_of(pair), Randomness(0))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)
    assert_same(gradients(pair.ours, ours), to_our_names(gradients(pair.theirs, theirs)))


def test_the_defaults_are_recboles(tmp_path):
    """Shapes of all weights, and how far the initial ones spread."""
    theirs, config, _, sequences = their_network(tmp_path, "Caser", 50)
    parameters = {"family": "caser", "users": int(sequences.users.max())}
    ours = build_sequential(parameters, sequences.n_items, torch.Generator().manual_seed(1))
    assert config["dropout_prob"] == ours.dropout.p
    their_weights = to_our_names(theirs.state_dict())
    assert set(their_weights) == set(dict(ours.named_parameters()))
    for name, weight in ours.named_parameters():
        assert weight.shape == their_weights[name].shape
        if weight.numel() > 300:
            spread = their_weights[name][1:].std().item()
            assert weight[1:].std().item() == pytest.approx(spread, rel=0.15), name

"""RecBole 1.2.1's SASRec as an oracle: with its weights ours has its scores, its loss and its gradients, in float64.

The two are the same network: LN(E[s] + P), then blocks with norms after the residual sums, biases everywhere, exact
GELU, epsilon 1e-12, histories padded on the right, positions from the oldest item shown. They are written differently
in four places, of which the last one is a difference of the loss:

- RecBole has a map each for Q, K and V; ours is one, with their rows one below the other.
- RecBole masks with -10,000 what must not be seen, and padding; exp(-10,000) is 0, so it is as good as -inf.
- RecBole draws the padding row E_0 like any other (its initialisation comes after torch's zeros). No score of an item
  depends on it.
- RecBole's cross-entropy takes padding for a class. With s_j = <h, E_j> its loss is larger than ours by the mean of

      log(1 + exp(s_0 - logsumexp(s_1 .. s_V))),      near log(1 + 1/V) at the start,

  and its softmax trains E_0, as a class that is never right. With that column added to ours by hand, or left out of
  RecBole's, both losses and all gradients agree. Its ranking gives column 0 the score -inf; ours has no such column.

It needs an environment of its own (`make test-oracles`); elsewhere these tests are skipped.
Shapes: B rows, D width, V items, T targets.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.data.splits import Split, leave_one_out
from seqrepro.models.interfaces import SequentialModel, build_sequential
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch, make_view

pytest.importorskip("recbole", reason="RecBole is not in this environment; `make test-oracles` has it")

torch.set_num_threads(1)  # several threads only slow such small data down

SIZES = {"width": 64, "layers": 2, "heads": 2, "inner_width": 256}
WINDOWS = (16, 6)  # every history fits; most are cut
LAYER = {  # of RecBole's layer -> of our block; Q, K and V are joined by hand
    "multi_head_attention.dense": "mixer.output",
    "multi_head_attention.LayerNorm": "mixer_norm",
    "feed_forward.dense_1": "feed_forward.inner",
    "feed_forward.dense_2": "feed_forward.output",
    "feed_forward.LayerNorm": "feed_forward_norm",
}
NAMES = {  # of RecBole's weights -> of ours
    "item_embedding.weight": "items.weight",
    "position_embedding.weight": "positions.weight",
    "LayerNorm.weight": "norm.weight",
    "LayerNorm.bias": "norm.bias",
}


class Pair(NamedTuple):
    """Both networks with the same weights, and the same data in RecBole's numbers of items."""

    theirs: torch.nn.Module
    ours: SequentialModel
    parts: list  # RecBole's training, validation and test sets
    split: Split


def made_rows() -> np.ndarray:
    """Rows (user, item, timestamp) in no order: 30 users with 5 to 18 interactions, no two at one time."""
    draw = np.random.default_rng(11)
    users = np.repeat(np.arange(1, 31), draw.integers(5, 19, 30))
    times = draw.permutation(len(users)) + 1
    return np.column_stack([users, draw.integers(1, 41, len(users)), times])


def recbole_config(folder, name, window, dropout, model="SASRec", **changes):
    """RecBole's configuration: its defaults for a model, leave-one-out in the order of time."""
    from recbole.config import Config

    told = {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": window,
        "hidden_dropout_prob": dropout,
        "attn_dropout_prob": dropout,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "train_neg_sample_args": None,
        "show_progress": False,
        "use_gpu": False,
        "state": "ERROR",
    }
    return Config(model=model, dataset=name, config_dict=told | changes)


def sequences_in_their_numbers(dataset) -> Sequences:
    """The whole rows of RecBole's dataset, before it splits them, as ours."""
    columns = {name: dataset.inter_feat[name].to_numpy() for name in ("user_id", "item_id", "timestamp")}
    order = np.lexsort((columns["timestamp"], columns["user_id"]))
    users, lengths = np.unique(columns["user_id"], return_counts=True)
    items = torch.from_numpy(columns["item_id"][order]).long()
    borders = offsets_of(torch.from_numpy(lengths).long())
    return Sequences(torch.from_numpy(users).long(), items, borders, None, dataset.item_num - 1)


def histories_of(rows, n_items) -> Sequences:
    """The histories of RecBole's rows, as ours."""
    padded = rows["item_id_list"]
    return Sequences(rows["user_id"], padded[padded != 0], offsets_of(rows["item_length"]), None, n_items)


def to_our_names(named) -> dict[str, torch.Tensor]:
    """RecBole's weights, or their gradients, by the names of ours."""
    found = {ours: named[theirs] for theirs, ours in NAMES.items()}
    for layer in range(sum(name.endswith("dense_1.bias") for name in named)):
        old, new = f"trm_encoder.layer.{layer}", f"blocks.{layer}"
        for kind in ("weight", "bias"):
            maps = [named[f"{old}.multi_head_attention.{name}.{kind}"] for name in ("query", "key", "value")]
            found[f"{new}.mixer.query_key_value.{kind}"] = torch.cat(maps)
            found |= {f"{new}.{mine}.{kind}": named[f"{old}.{name}.{kind}"] for name, mine in LAYER.items()}
    assert sum(weight.numel() for weight in found.values()) == sum(weight.numel() for weight in named.values())
    return found


def make_pair(config, dataset, window, dropout) -> Pair:
    """Both networks in float64, with RecBole's initial weights moved so far that every one of them matters."""
    from recbole.model.sequential_recommender import SASRec

    sequences = sequences_in_their_numbers(dataset)
    parts = dataset.build()
    theirs = SASRec(config, parts[0]).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    parameters = {"family": "sasrec", **SIZES, "max_length": window, "dropout": dropout, "attention_dropout": dropout}
    ours = build_sequential(parameters, sequences.n_items, torch.Generator()).double()
    ours.load_state_dict(to_our_names(theirs.state_dict()))
    return Pair(theirs, ours, parts, leave_one_out(sequences))


def small_pair(folder, window, dropout=0.0) -> Pair:
    from recbole.data import create_dataset

    (folder / "made").mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in made_rows())]
    (folder / "made/made.inter").write_text("\n".join(lines) + "\n")
    config = recbole_config(folder, "made", window, dropout)
    return make_pair(config, create_dataset(config), window, dropout)


@pytest.fixture(params=[(window, mode) for window in WINDOWS for mode in (True, False)], ids=lambda p: f"{p[0]}-{p[1]}")
def pair(request, tmp_path) -> Pair:
    """For each window, in training and in evaluation mode; dropout is 0."""
    window, training = request.param
    pair = small_pair(tmp_path, window)
    pair.theirs.train(training), pair.ours.train(training)
    return pair


def their_loss_of_items(pair, interaction):
    """RecBole's representations, and cross-entropy without the class of padding."""
    hidden = pair.theirs(interaction["item_id_list"], interaction["item_length"])
    return F.cross_entropy(hidden @ pair.theirs.item_embedding.weight[1:].T, interaction["item_id"] - 1)


def all_of(pair, view="prefixes") -> Batch:
    examples = make_view(view, pair.split.train)
    return examples.batch(torch.arange(len(examples)))


def our_loss(pair, view="prefixes"):
    return cross_entropy.CrossEntropy().loss(pair.ours, all_of(pair, view), Randomness(0))


def our_loss_with_padding(pair):
    """Ours, with padding as a class, as RecBole has it."""
    hidden, targets = all_of(pair).representations(pair.ours)
    return F.cross_entropy(hidden @ pair.ours.item_table().T, targets)


def gradients(model, loss):
    """By name; of all parameters."""
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def assert_same(found, expected):
    """Relative to the largest element: single ones may be 0, as the gradient of the biases of K is in truth."""
    assert found.keys() == expected.keys()
    for name, theirs in expected.items():
        bound = 1e-10 * float(theirs.detach().abs().max())
        torch.testing.assert_close(found[name], theirs, rtol=0, atol=bound, msg=f"{name}: not within {bound:.1e}")


def assert_same_network(pair, without_padding: bool = True):
    """Scores of all items and the loss of all training targets, with gradients."""
    test = pair.parts[2].inter_feat
    test = test[torch.argsort(test["user_id"])]
    assert torch.equal(test["user_id"], pair.split.histories["test"].users)
    theirs, ours = pair.theirs.full_sort_predict(test), pair.ours.score(pair.split.histories["test"])
    assert_same({"scores": ours}, {"scores": theirs})
    rows = pair.parts[0].inter_feat
    their_loss = their_loss_of_items(pair, rows) if without_padding else pair.theirs.calculate_loss(rows)
    loss = our_loss(pair) if without_padding else our_loss_with_padding(pair)
    torch.testing.assert_close(loss, their_loss, rtol=1e-10, atol=0)
    assert_same(gradients(pair.ours, loss), to_our_names(gradients(pair.theirs, their_loss)))


@pytest.mark.parametrize("without_padding", [True, False])
def test_scores_loss_and_gradients_agree(pair, without_padding):
    assert_same_network(pair, without_padding)


def test_the_same_targets(pair):
    """What the comparison rests on: RecBole's training rows are our prefixes, some of them cut at the window of 6."""
    rows, ours = pair.parts[0].inter_feat, all_of(pair).rows
    assert sorted(zip(rows["user_id"].tolist(), rows["item_id"].tolist(), strict=True)) == sorted(
        zip(ours.users.tolist(), ours.values[ours.offsets[1:] - 1].tolist(), strict=True)
    )
    assert int(rows["item_length"].max()) == min(pair.ours.max_length, 15)
    assert int(ours.lengths.max()) - 1 == 15


def test_all_positions_at_once_have_recboles_loss_and_gradients(tmp_path):
    """Where no history is cut; RecBole makes a row for each target."""
    pair = small_pair(tmp_path, WINDOWS[0])
    theirs, ours = their_loss_of_items(pair, pair.parts[0].inter_feat), our_loss(pair, "all_positions")
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)
    assert_same(gradients(pair.ours, ours), to_our_names(gradients(pair.theirs, theirs)))


def test_what_the_class_of_padding_adds_to_recboles_loss(pair):
    rows = pair.parts[0].inter_feat
    hidden, _ = all_of(pair).representations(pair.ours)
    scores = hidden @ pair.ours.item_table().T
    extra = torch.log1p(torch.exp(scores[:, 0] - scores[:, 1:].logsumexp(1))).mean()
    theirs = pair.theirs.calculate_loss(rows)
    assert float(extra) > 1e-3
    torch.testing.assert_close(our_loss(pair) + extra, theirs, rtol=1e-10, atol=0)
    assert gradients(pair.theirs, theirs)["item_embedding.weight"][0].abs().max() > 1e-6
    assert gradients(pair.ours, our_loss(pair))["items.weight"][0].abs().max() == 0


def test_it_is_near_log_of_one_plus_one_over_the_items_at_the_start(tmp_path):
    from recbole.model.sequential_recommender import SASRec

    pair = small_pair(tmp_path, WINDOWS[0])
    fresh = SASRec(recbole_config(tmp_path, "made", WINDOWS[0], 0.0), pair.parts[0]).double()
    rows = pair.parts[0].inter_feat
    extra = fresh.calculate_loss(rows) - their_loss_of_items(pair._replace(theirs=fresh), rows)
    assert float(extra) == pytest.approx(math.log1p(1 / pair.split.train.n_items), rel=0.3)
    assert fresh.item_embedding.weight[0].abs().max() > 0


@torch.no_grad()
def test_no_score_of_an_item_depends_on_the_padding_row(pair):
    test = pair.parts[2].inter_feat
    before = pair.theirs.full_sort_predict(test), pair.ours.score(pair.split.histories["test"])
    pair.theirs.item_embedding.weight[0] += 7.0
    pair.ours.items.weight[0] += 7.0
    after = pair.theirs.full_sort_predict(test), pair.ours.score(pair.split.histories["test"])
    assert all(torch.equal(old[:, 1:], new[:, 1:]) for old, new in zip(before, after, strict=True))
    assert not torch.allclose(before[0][:, 0], after[0][:, 0])


def test_dropout_stands_in_the_same_places(tmp_path):
    """With the same draws, on histories as long as the window, where both compute tensors of one shape."""
    pair = small_pair(tmp_path, 6, dropout=0.5)
    rows = pair.parts[0].inter_feat
    rows = rows[rows["item_length"] == 6]
    histories = histories_of(rows, pair.split.train.n_items)
    torch.manual_seed(1)
    theirs = pair.theirs(rows["item_id_list"], rows["item_length"])
    torch.manual_seed(1)
    ours = pair.ours.last_hidden(histories)
    assert_same({"hidden": ours}, {"hidden": theirs})
    assert not torch.allclose(ours, pair.ours.last_hidden(histories))
    weights = torch.linspace(-1, 1, theirs.numel(), dtype=theirs.dtype).view_as(theirs)
    found, expected = gradients(pair.ours, (ours * weights).sum()), gradients(pair.theirs, (theirs * weights).sum())
    assert_same(found, to_our_names(expected))

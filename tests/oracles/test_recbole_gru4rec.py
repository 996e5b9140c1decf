"""RecBole 1.2.1's GRU4Rec as an oracle: with its weights ours has its scores, its loss and its gradients, in float64.

The network is the same. Its cross-entropy takes padding for a class; see `test_recbole_sasrec`.

It needs an environment of its own (`make test-oracles`); elsewhere these tests are skipped.
"""

import pytest
import torch

pytest.importorskip("recbole", reason="RecBole is not in this environment; `make test-oracles` has it")

from oracles.test_recbole_sasrec import (
    Pair,
    assert_same,
    gradients,
    histories_of,
    made_rows,
    our_loss,
    our_loss_with_padding,
    recbole_config,
    sequences_in_their_numbers,
)
from seqrepro.data.splits import leave_one_out
from seqrepro.models.interfaces import build_sequential

PREFIXES = {"item_embedding": "items", "gru_layers": "units", "dense": "output"}


def to_our_names(named):
    """RecBole's weights, or their gradients, by the names of ours."""
    split = {name: name.partition(".") for name in named}
    return {f"{PREFIXES[first]}.{rest}": named[name] for name, (first, _, rest) in split.items()}


def their_network(folder, model, window, **told):
    """RecBole's network of the made data with its initial weights, its configuration, and its dataset in parts."""
    from recbole.data import create_dataset
    from recbole.utils import get_model

    (folder / "made").mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in made_rows())]
    (folder / "made/made.inter").write_text("\n".join(lines) + "\n")
    config = recbole_config(folder, "made", window, 0.0, model=model, **told)
    dataset = create_dataset(config)
    sequences, parts = sequences_in_their_numbers(dataset), dataset.build()
    return get_model(model)(config, parts[0]).double(), config, parts, sequences


def with_the_same_weights(theirs, parameters, parts, sequences, rename) -> Pair:
    """Ours beside theirs, in float64; weights are moved so far that every one of them matters."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    ours = build_sequential(parameters, sequences.n_items, torch.Generator()).double()
    ours.load_state_dict(rename(theirs.state_dict()))
    return Pair(theirs, ours, parts, leave_one_out(sequences))


def make_pair(folder, window, layers, dropout=0.0):
    theirs, _, parts, sequences = their_network(folder, "GRU4Rec", window, num_layers=layers, dropout_prob=dropout)
    parameters = {"family": "gru4rec", "layers": layers, "dropout": dropout, "max_length": window}
    return with_the_same_weights(theirs, parameters, parts, sequences, to_our_names)


@pytest.fixture(params=[(16, 1), (6, 2)], ids=["all fit, one layer", "most are cut, two layers"])
def pair(request, tmp_path):
    return make_pair(tmp_path, *request.param)


def test_scores_agree(pair):
    test = pair.parts[2].inter_feat
    test = test[torch.argsort(test["user_id"])]
    assert torch.equal(test["user_id"], pair.split.histories["test"].users)
    theirs, ours = pair.theirs.full_sort_predict(test), pair.ours.score(pair.split.histories["test"])
    assert_same({"scores": ours}, {"scores": theirs})


def test_loss_and_gradients_agree(pair):
    """With padding as a class, as RecBole has it, and without."""
    rows = pair.parts[0].inter_feat
    hidden = pair.theirs(rows["item_id_list"], rows["item_length"])
    items = pair.theirs.item_embedding.weight[1:]
    without = torch.nn.functional.cross_entropy(hidden @ items.T, rows["item_id"] - 1)
    for ours, theirs in (
        (our_loss_with_padding(pair), pair.theirs.calculate_loss(rows)),
        (our_loss(pair), without),
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)
        assert_same(gradients(pair.ours, ours), to_our_names(gradients(pair.theirs, theirs)))


def test_dropout_stands_in_the_same_place(tmp_path):
    """With the same draws, on histories as long as the window."""
    pair = make_pair(tmp_path, 6, 1, dropout=0.5)
    rows = pair.parts[0].inter_feat
    rows = rows[rows["item_length"] == 6]
    torch.manual_seed(1)
    theirs = pair.theirs(rows["item_id_list"], rows["item_length"])
    torch.manual_seed(1)
    ours = pair.ours.last_hidden(histories_of(rows, pair.split.train.n_items))
    assert_same({"hidden": ours}, {"hidden": theirs})


def test_the_defaults_are_recboles(tmp_path):
    """Shapes of all weights, and how far the initial ones spread."""
    theirs, config, _, sequences = their_network(tmp_path, "GRU4Rec", 6)
    ours = build_sequential({"family": "gru4rec"}, sequences.n_items, torch.Generator().manual_seed(1))
    assert config["dropout_prob"] == ours.dropout.p
    their_weights = to_our_names(theirs.state_dict())
    for name, weight in ours.named_parameters():
        assert weight.shape == their_weights[name].shape
        assert weight[1:].std().item() == pytest.approx(their_weights[name][1:].std().item(), rel=0.15), name

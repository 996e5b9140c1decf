"""RecBole 1.2.1's BERT4Rec as an oracle: with its weights ours has its scores, its loss and its gradients, in float64.

The network is the same. Around it RecBole differs in three ways, which are undone or shown here:

- To rank, it writes the mask behind the history and then drops the first column, also of rows that would have fitted:
  so it sees the history without its oldest item. Ours sees it whole; asked for the shorter history, both scores agree.
- Its cross-entropy takes padding for a class; see `test_recbole_sasrec`.
- A mask at the first place of a row never counts in its loss.

It needs an environment of its own (`make test-oracles`); elsewhere these tests are skipped.
"""

import pytest
import torch
from torch.nn import functional as F

from seqrepro.data.sequences import offsets_of
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.masking import Masking
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import ClozeView, make_cloze_view

pytest.importorskip("recbole", reason="RecBole is not in this environment; `make test-oracles` has it")

from oracles.test_recbole_sasrec import (
    SIZES,
    assert_same,
    gradients,
    histories_of,
    made_rows,
    recbole_config,
    sequences_in_their_numbers,
)
from oracles.test_recbole_sasrec import to_our_names as blocks_to_our_names

WINDOWS = (20, 6)  # every history fits; most are cut
HEAD = {"output_ffn": "head", "output_ln": "head_norm"}


def to_our_names(named):
    """RecBole's weights, or their gradients, by the names of ours."""
    head = {name: named[name] for name in named if name.startswith("output_")}
    found = blocks_to_our_names({name: value for name, value in named.items() if name not in head})
    for theirs, ours in HEAD.items():
        found |= {f"{ours}.{kind}": named[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    return found | {"bias": named["output_bias"]}


@pytest.fixture(params=WINDOWS)
def pair(request, tmp_path):
    """RecBole's network and ours with the same weights, moved so far that every one of them matters."""
    from recbole.data import create_dataset
    from recbole.model.sequential_recommender import BERT4Rec

    window = request.param
    (tmp_path / "made").mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in made_rows())]
    (tmp_path / "made/made.inter").write_text("\n".join(lines) + "\n")
    fields = {"MASK_ITEM_SEQ": "masked", "POS_ITEMS": "positive", "NEG_ITEMS": "negative", "MASK_INDEX": "places"}
    told = fields | {"mask_ratio": 0.4, "transform": None}
    config = recbole_config(tmp_path, "made", window, 0.0, model="BERT4Rec", **told)
    dataset = create_dataset(config)
    sequences, parts = sequences_in_their_numbers(dataset), dataset.build()
    theirs = BERT4Rec(config, parts[0]).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    parameters = {"family": "bert4rec", **SIZES, "max_length": window, "dropout": 0.0, "attention_dropout": 0.0}
    ours = build_sequential(parameters, sequences.n_items, torch.Generator()).double()
    ours.load_state_dict(to_our_names(theirs.state_dict()))
    return theirs, ours, parts, sequences


def test_scores_agree_when_ours_forgets_the_oldest_item(pair):
    theirs, ours, parts, sequences = pair
    test = parts[2].inter_feat
    histories = histories_of(test, sequences.n_items)
    assert int(histories.lengths.min()) >= 2
    expected = theirs.full_sort_predict(test)
    shorter = histories.tail(int(ours.max_length) - 1)  # of a history that fills the window the oldest is gone already
    short = histories.lengths < ours.max_length
    lengths = torch.where(short, histories.lengths - 1, shorter.lengths)
    kept = torch.cat([row[-int(n) :] for row, n in zip(_rows(histories), lengths, strict=True)])
    shown = type(histories)(histories.users, kept, offsets_of(lengths), None, histories.n_items)
    assert_same({"scores": ours.score(shown)}, {"scores": expected})
    assert not torch.allclose(ours.score(histories)[short], expected[short])


def test_loss_and_gradients_agree(pair, monkeypatch):
    theirs, ours, _, sequences = pair
    rows = sequences.tail(ours.max_length)
    view = make_cloze_view(rows, NotFirst(0.4, 0.0, torch.Generator().manual_seed(2)), ours.max_length)
    batch = view.batch(torch.arange(len(view)))
    interaction = their_interaction(view, rows, ours.max_length)
    hidden, targets = batch.representations(ours)
    with_padding = F.cross_entropy(hidden @ ours.item_table().T, targets)
    monkeypatch.setattr(theirs, "multi_hot_embed", lambda *given: type(theirs).multi_hot_embed(theirs, *given).double())
    their_loss = theirs.calculate_loss(interaction)
    torch.testing.assert_close(with_padding, their_loss, rtol=1e-10, atol=0)
    assert_same(gradients(ours, with_padding), to_our_names(gradients(theirs, their_loss)))
    loss = cross_entropy.CrossEntropy().loss(ours, batch, Randomness(0))
    their_loss = their_loss_of_items(theirs, interaction)
    torch.testing.assert_close(loss, their_loss, rtol=1e-10, atol=0)
    assert_same(gradients(ours, loss), to_our_names(gradients(theirs, their_loss)))


class NotFirst(Masking):
    """Masks that spare the first place of a row, which does not count in RecBole's loss."""

    def draw(self, lengths, max_length):
        masked = super().draw(lengths, max_length)
        masked[:, 0] = False
        masked[~masked.any(1), 1] = True
        return masked


def their_interaction(view: ClozeView, rows, window):
    """The batch that the same masks give, in RecBole's fields: padding behind the rows, and before the masked items."""
    from recbole.data.interaction import Interaction

    masking = NotFirst(0.4, 0.0, torch.Generator().manual_seed(2))
    padded, lengths = rows.last(window)
    masked = masking.draw(lengths, padded.shape[1])
    whole = F.pad(padded, (0, window - padded.shape[1]))
    hide = F.pad(masked, (0, window - padded.shape[1]))
    places, items = torch.zeros_like(whole), torch.zeros_like(whole)
    for row in range(len(whole)):
        found = hide[row].nonzero().flatten()
        places[row, window - len(found) :], items[row, window - len(found) :] = found, whole[row, found]
    masked_rows = whole.masked_fill(hide, rows.n_items + 1)
    return Interaction({"masked": masked_rows, "positive": items, "negative": items, "places": places})


def their_loss_of_items(theirs, interaction):
    """Cross-entropy of RecBole's representations without the class of padding."""
    places, rows = interaction["places"], torch.arange(len(interaction["places"]))[:, None]
    counts = places > 0
    hidden = theirs(interaction["masked"])[rows.expand_as(places)[counts], places[counts]]
    logits = hidden @ theirs.item_embedding.weight[1 : theirs.n_items].T + theirs.output_bias[1:]
    return F.cross_entropy(logits, interaction["positive"][counts] - 1)


def _rows(sequences):
    return sequences.values.split(sequences.lengths.tolist())

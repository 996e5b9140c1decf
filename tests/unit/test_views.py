"""Training views: which examples they give, when they train the same, and when they do not."""

import pytest
import torch
from torch.nn import functional as F

from made_data import GRADIENT, SASREC, random_rows, rows_of, sequences_of
from seqrepro.data.splits import leave_one_out
from seqrepro.models.interfaces import build_sequential
from seqrepro.training import machine
from seqrepro.training.checkpoint import CheckpointStore, Identity
from seqrepro.training.loop import Trainer
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch, make_view

N_ITEMS = 25
ROWS = [[1], [1, 2], [3, 4, 5, 6], [7, 8, 9]]
WITHIN = [row[:10] for row in random_rows(12, N_ITEMS, seed=8)]  # no row is longer than max_length
LONG = random_rows(12, N_ITEMS, seed=8, longest=30)
L = SASREC["max_length"]


def examples(name, rows=ROWS, last=None):
    view = make_view(name, sequences_of(rows, N_ITEMS), last)
    return rows_of(view.batch(torch.arange(len(view))).rows)


def test_all_positions_gives_a_row_that_has_a_target():
    assert examples("all_positions") == ROWS[1:]


def test_prefixes_give_an_example_a_target():
    assert examples("prefixes") == [[1, 2], [3, 4], [3, 4, 5], [3, 4, 5, 6], [7, 8], [7, 8, 9]]
    sizes = [len(row) - 1 for row in LONG]
    assert len(make_view("prefixes", sequences_of(LONG, N_ITEMS))) == sum(sizes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("all_positions", [[1, 2], [4, 5, 6], [7, 8, 9]]), ("prefixes", [[1, 2], [4, 5], [4, 5, 6], [7, 8], [7, 8, 9]])],
)
def test_last_keeps_the_newest_interactions_before_the_view(name, expected):
    assert examples(name, last=3) == expected


def test_a_prefix_shows_the_newest_items_of_its_history_and_predicts_the_next():
    model = build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(0)).eval()
    row = list(range(1, 20))
    view = make_view("prefixes", sequences_of([row], N_ITEMS))
    hidden, targets = view.batch(torch.tensor([16, 2])).representations(model)
    assert targets.tolist() == [18, 4]
    torch.testing.assert_close(hidden[0], model.hidden(torch.tensor([row[7:17]]))[0, -1])
    torch.testing.assert_close(hidden[1], model.hidden(torch.tensor([row[:3]]))[0, -1])


def test_batches_can_be_in_any_order():
    view = make_view("prefixes", sequences_of(ROWS, N_ITEMS))
    assert rows_of(view.batch(torch.tensor([5, 0, 3])).rows) == [[7, 8, 9], [1, 2], [3, 4, 5, 6]]
    assert view.batch(torch.tensor([5, 0, 3])).rows.users.tolist() == [4, 2, 3]


def network(**changes):
    """A network in float64 without dropout, away from its small initial weights."""
    model = build_sequential(SASREC | changes, N_ITEMS, torch.Generator().manual_seed(3)).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(4), dtype=weight.dtype) * 0.3)
        model.items.weight[0].zero_()
    return model


def losses(model, name, rows, last=None):
    """-log softmax of every target, one tensor an example."""
    view = make_view(name, sequences_of(rows, N_ITEMS), last)
    found = []
    for example in range(len(view)):
        hidden, targets = view.batch(torch.tensor([example])).representations(model)
        found.append(F.cross_entropy(hidden @ model.item_table()[1:].T, targets - 1, reduction="none"))
    return found


def total(parts):
    return torch.cat(parts).sum()


def mean_of_means(parts):
    return torch.stack([part.mean() for part in parts]).mean()


def gradients(model, loss):
    return torch.cat(
        [part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)]
    )


def difference(model, weighting, rows, last=None):
    """The relative difference of the gradients under the two views."""
    at_once, by_prefix = (
        gradients(model, weighting(losses(model, name, rows, last))) for name in ("all_positions", "prefixes")
    )
    return float((at_once - by_prefix).norm() / by_prefix.norm())


def test_the_sum_over_targets_has_one_gradient():
    assert difference(network(), total, WITHIN) < 1e-12


def test_positions_from_the_newest_item_break_it():
    assert difference(network(positions_from="newest"), total, WITHIN) > 0.01


def test_a_mean_of_means_over_rows_breaks_it():
    assert difference(network(), mean_of_means, WITHIN) > 0.01


def test_rows_longer_than_the_window_break_it_and_cutting_them_mends_it():
    """all_positions loses the targets before the window and shows shorter contexts to those at its beginning."""
    model = network()
    counts = [sum(map(len, losses(model, name, LONG))) for name in ("all_positions", "prefixes")]
    assert counts == [sum(min(len(row) - 1, L) for row in LONG), sum(len(row) - 1 for row in LONG)]
    assert difference(model, total, LONG) > 0.01
    assert difference(model, total, LONG, last=L + 1) < 1e-12


def test_the_same_targets_in_other_contexts_are_another_gradient():
    """Even if prefixes leave out the targets that all_positions does not predict."""
    model = network()
    kept = [part for row in LONG for part in losses(model, "prefixes", [row])[-min(len(row) - 1, L) :]]
    at_once = gradients(model, total(losses(model, "all_positions", LONG)))
    by_prefix = gradients(model, total(kept))
    assert float((at_once - by_prefix).norm() / by_prefix.norm()) > 0.01


@pytest.mark.parametrize("name", ["all_positions", "prefixes"])
def test_the_objective_is_the_mean_over_the_targets_of_the_view(name):
    model = network()
    view = make_view(name, sequences_of(WITHIN, N_ITEMS))
    batch = view.batch(torch.arange(len(view)))
    expected = torch.cat(losses(model, name, WITHIN)).mean()
    torch.testing.assert_close(cross_entropy.CrossEntropy().loss(model, batch, Randomness(0)), expected)


@pytest.mark.parametrize(
    ("changes", "n_examples", "n_targets"),
    [({}, 60, 60 * 6), ({"view": "prefixes"}, 360, 360), ({"view": "prefixes", "last": 4}, 180, 180)],
)
def test_the_trainer_sees_each_example_once_an_epoch(tmp_path, changes, n_examples, n_targets):
    rows = [[1 + (user + step) % N_ITEMS for step in range(9)] for user in range(60)]  # 7 train, 2 held out
    recipe = GRADIENT | changes
    config = {"model": SASREC, "training": recipe}
    store = CheckpointStore(tmp_path, Identity("", "", ""))
    trainer = Trainer(config, leave_one_out(sequences_of(rows, N_ITEMS)), 3, machine.prepare(recipe), store)
    seen, targets = [], []

    class Recorder:
        def loss(self, model, batch: Batch, randomness):
            hidden, found = batch.representations(model)
            seen.extend(zip(batch.rows.users.tolist(), batch.rows.lengths.tolist(), strict=True))
            targets.extend(found.tolist())
            return hidden.sum()

    trainer.objective = Recorder()
    trainer._epoch()
    assert len(set(seen)) == len(seen) == n_examples
    assert len(targets) == n_targets
    assert trainer.progress.step == -(-n_examples // GRADIENT["budget"]["batch_size"])
    assert seen != sorted(seen)  # shuffled over examples

"""BERT4Rec: what it sees, what it is trained on, and how it is ranked."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.nn import functional as F

from made_data import GRADIENT, random_rows, rows_of, sequences_of
from seqrepro.config.training import Recipe
from seqrepro.data.splits import leave_one_out
from seqrepro.models.interfaces import build_sequential
from seqrepro.training import machine
from seqrepro.training.checkpoint import CheckpointStore, Identity
from seqrepro.training.loop import Trainer
from seqrepro.training.masking import Masking
from seqrepro.training.negatives import rows_of_targets
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_cloze_view

N_ITEMS = 25
MASK = N_ITEMS + 1
SIZES = {"width": 8, "layers": 2, "heads": 2, "inner_width": 16, "dropout": 0.0, "attention_dropout": 0.0}
BERT4REC = {"family": "bert4rec", **SIZES, "max_length": 10}
RECIPE = GRADIENT | {"view": "cloze", "masking": {"ratio": 0.4, "last_share": 0.2}}
ROWS = random_rows(40, N_ITEMS, seed=3, longest=16)  # some longer than the model sees


@pytest.fixture
def model():
    """In float64, away from its small initial weights."""
    network = build_sequential(BERT4REC, N_ITEMS, torch.Generator().manual_seed(3)).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        network.items.weight[0].zero_()
    return network


def view(rows=ROWS, ratio=0.4, last_share=0.2, seed=1):
    masking = Masking(ratio, last_share, torch.Generator().manual_seed(seed))
    return make_cloze_view(sequences_of(rows, N_ITEMS), masking, 10)


def whole_batch(examples):
    return examples.batch(torch.arange(len(examples)))


def test_the_targets_are_the_items_behind_the_masks(model):
    """Recomputed row by row, from masks drawn in the same way."""
    batch = whole_batch(view())
    rows = rows_of(batch.rows)
    assert rows == [row[-10:] for row in ROWS]
    lengths = torch.tensor(list(map(len, rows)))
    masked = Masking(0.4, 0.2, torch.Generator().manual_seed(1)).draw(lengths, 10)
    expected = {}
    for row, hide in zip(rows, masked.tolist(), strict=True):
        shown = [MASK if masks else item for item, masks in zip(row, hide, strict=False)]
        states = model.hidden(torch.tensor([shown]))[0]
        expected |= {states[t]: row[t] for t in range(len(row)) if hide[t]}
    hidden, targets = batch.representations(model)
    assert sorted(targets.tolist()) == sorted(expected.values())
    found = [int((hidden - state).abs().sum(1).argmin()) for state in expected]
    assert sorted(found) == list(range(len(targets)))
    torch.testing.assert_close(hidden[found], torch.stack(list(expected)), rtol=1e-10, atol=1e-12)
    assert targets[found].tolist() == list(expected.values())


def test_a_batch_keeps_its_masks(model):
    """Asked twice it gives the same; the next batch has others."""
    examples = view()
    batch = whole_batch(examples)
    first, again = batch.representations(model), batch.representations(model)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert whole_batch(examples).representations(model)[1].tolist() != first[1].tolist()


def test_the_row_of_each_target(model):
    rows = [[1, 2, 3], [4, 5, 6, 7, 8], list(range(9, 25))]
    batch = whole_batch(view(rows))
    owners, (_, targets) = rows_of_targets(model, batch), batch.representations(model)
    assert all(target in rows[owner] for owner, target in zip(owners.tolist(), targets.tolist(), strict=True))


def test_an_epoch_has_the_expected_number_of_targets(model):
    examples = view([list(range(1, 7))] * 4000, ratio=0.5, last_share=0.25)
    assert examples.n_targets(10) == 4000 * 2.5  # 3 of 6, or in a quarter of the cases 1
    assert len(whole_batch(examples).representations(model)[1]) == pytest.approx(10_000, rel=0.03)


def test_a_masked_item_is_not_seen_and_the_others_are_on_both_sides(model):
    """The item behind the mask leaves the embedding untouched, and every other item of the row reaches it."""
    row = torch.tensor([[3, 4, MASK, 6, 7, 0, 0]])
    (gradient,) = torch.autograd.grad(model.hidden(row)[0, 2].sum(), model.items.weight)
    assert gradient.abs().sum(1).nonzero().flatten().tolist() == [3, 4, 6, 7, MASK]


@torch.no_grad()
def test_padding_and_other_rows_play_no_part(model):
    rows = sequences_of(ROWS, N_ITEMS)
    together = model.score(rows)
    alone = torch.cat([model.score(sequences_of([row], N_ITEMS)) for row in ROWS])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)
    padded = torch.tensor([[3, 4, MASK, 0, 0]])
    torch.testing.assert_close(model.hidden(padded)[:, :3], model.hidden(padded[:, :3]), rtol=1e-10, atol=1e-12)
    model.items.weight[0] += 9.0
    torch.testing.assert_close(model.score(rows)[:, 1:], together[:, 1:], rtol=1e-10, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 5, 9, 10, 16])
def test_what_is_ranked_is_the_newest_items_with_a_mask_behind_them(model, length):
    history = [1 + (7 * t) % N_ITEMS for t in range(length)]
    states = model.hidden(torch.tensor([[*history[-9:], MASK]]))[0, -1]
    scores = states[:-1] @ model.items.weight[:MASK].T + model.bias
    torch.testing.assert_close(model.score(sequences_of([history], N_ITEMS))[0], scores, rtol=1e-10, atol=1e-12)


def test_the_loss_is_the_mean_over_masked_positions_with_biases(model):
    """All weights are trained but the rows of padding; the bias and the mask too."""
    batch = whole_batch(view())
    loss = cross_entropy.CrossEntropy().loss(model, batch, Randomness(0))
    hidden, targets = batch.representations(model)
    logits = hidden[:, :-1] @ model.items.weight[1:MASK].T + model.bias[1:]
    torch.testing.assert_close(loss, F.cross_entropy(logits, targets - 1), rtol=1e-12, atol=0)
    loss.backward()
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())
    assert model.items.weight.grad[0].abs().max() == model.bias.grad[0].abs() == 0
    assert model.items.weight.grad[MASK].abs().max() > 0


@pytest.mark.parametrize(("n_items", "expected"), [(12_101, 894_278), (3_416, 329_753)])
def test_number_of_parameters(n_items, expected):
    """As RecBole's at D = 64, n = 2, L = 50: (V + 2) D + L D + 2 D + 99,968 + D^2 + 3 D + V + 1."""
    model = build_sequential({"family": "bert4rec"}, n_items, torch.Generator())
    assert sum(weight.numel() for weight in model.parameters()) == expected


def test_it_fits_the_items_behind_a_few_masks(model):
    """One batch with its masks, again and again: they are told apart by what stands around them."""
    batch, objective = whole_batch(view(ROWS[:12])), cross_entropy.CrossEntropy()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = objective.loss(model, batch, Randomness(0))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    hidden, targets = batch.representations(model)
    assert torch.equal((hidden @ model.item_table()[1:].T).argmax(1) + 1, targets)


def test_the_trainer_draws_masks_from_their_generator_alone(tmp_path):
    config, store = {"model": BERT4REC, "training": RECIPE}, CheckpointStore(tmp_path, Identity("", "", ""))
    trainer = Trainer(config, leave_one_out(sequences_of(ROWS, N_ITEMS)), 3, machine.prepare(RECIPE), store)
    trainer.model.train()
    trainer.permutation = torch.arange(len(trainer.view))
    before = trainer.randomness.state()
    trainer._step()
    after = trainer.randomness.state()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"masking"}  # dropout is 0
    assert trainer.view.n_targets(10) == trainer.view.masking.expected(trainer.split.train.lengths.clamp(max=10))


@pytest.mark.parametrize(
    "changes",
    [{"view": "cloze"}, {"masking": {}}, {"view": "cloze", "masking": {"ratio": 0}}],
    ids=["no masking", "no view", "no share"],
)
def test_recipes_that_are_refused(changes):
    with pytest.raises(ValidationError):
        TypeAdapter(Recipe).validate_python(GRADIENT | changes)

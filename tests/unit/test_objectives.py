import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.nn import functional as F

from made_data import SASREC, random_rows, sequences_of, split_of
from seqrepro.config.training import Objective
from seqrepro.errors import InputError
from seqrepro.models.interfaces import build_sequential
from seqrepro.training import softmax
from seqrepro.training.loop import _build
from seqrepro.training.negatives import make_proposal
from seqrepro.training.objectives import bce, cross_entropy, gbce, sampled_softmax
from seqrepro.training.randomness import GENERATORS, Randomness
from seqrepro.training.softmax import mean_cross_entropy
from seqrepro.training.views import Batch, all_positions

N_ITEMS = 30


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(23, 5, generator=generator, dtype=torch.float64).requires_grad_()
    table = torch.randn(N_ITEMS + 1, 5, generator=generator, dtype=torch.float64).requires_grad_()
    return hidden, table, torch.randint(1, N_ITEMS + 1, (23,), generator=generator)


@pytest.mark.parametrize("elements", [1, 4 * (N_ITEMS + 1), 10**6])
def test_cross_entropy_in_chunks_equals_the_ordinary_one(logits, elements, monkeypatch):
    monkeypatch.setitem(softmax.CHUNK_ELEMENTS, "cpu", elements)
    hidden, table, targets = logits
    ours = mean_cross_entropy(hidden, table, targets)
    theirs = F.cross_entropy(hidden @ table[1:].T, targets - 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    for mine, expected in zip(
        torch.autograd.grad(3 * ours, (hidden, table)), torch.autograd.grad(3 * theirs, (hidden, table)), strict=True
    ):
        torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-14)


def test_padding_is_no_class(logits):
    hidden, table, targets = logits
    loss = mean_cross_entropy(hidden, table, targets)
    (gradient,) = torch.autograd.grad(loss, table)
    assert gradient[0].abs().max() == 0
    assert gradient[1:].abs().min() > 0
    with torch.no_grad():
        table[0] = 1e6
    assert mean_cross_entropy(hidden, table, targets) == loss


def test_all_positions_gives_every_next_item_once():
    rows = [[1, 2, 3], [4, 5, 6, 7, 8, 9], [10, 11], list(range(12, 27))]
    model = build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(0))
    hidden, targets = all_positions(model, sequences_of(rows, N_ITEMS))
    assert sorted(targets.tolist()) == [2, 3, 5, 6, 7, 8, 9, 11, *range(17, 27)]  # the long row cut to 10 targets
    assert hidden.shape == (len(targets), 8)


def test_every_target_has_the_same_weight():
    rows = random_rows(20, N_ITEMS, seed=4)
    model = build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(0)).double().eval()
    objective = cross_entropy.CrossEntropy()

    def loss(rows):
        return objective.loss(model, Batch(sequences_of(rows, N_ITEMS), all_positions), Randomness(0))

    each = [loss([row]) for row in rows]
    sizes = [min(len(row) - 1, 10) for row in rows]
    expected = sum(loss * size for loss, size in zip(each, sizes, strict=True)) / sum(sizes)
    torch.testing.assert_close(loss(rows), expected, rtol=1e-12, atol=0)


SAMPLED = [
    {"name": "sampled_softmax", "negatives": 5},
    {"name": "sampled_softmax", "negatives": 5, "proposal": "log_uniform", "correction": "all", "shared": True},
    {"name": "sampled_softmax", "negatives": 5, "correction": "none", "temperature": 0.05, "l2_normalise": True},
    {"name": "sampled_softmax", "negatives": 5, "proposal": "popularity"},
    {"name": "bce"},
    {"name": "bce", "negatives": 3, "exclude": "history"},
    {"name": "bce", "exclude": "history_and_held_out"},
    {"name": "gbce", "negatives": 12},
    {"name": "gbce", "negatives": 3, "calibration": 1, "exclude": "history"},
]
TRAIN = sequences_of(random_rows(30, N_ITEMS, seed=4), N_ITEMS)
NAMES = [" ".join(map(str, parameters.values())) for parameters in SAMPLED]


def objective_of(parameters):
    """What a training builds from the configuration."""
    return _build("objectives", TypeAdapter(Objective).validate_python(parameters).canonical(), split_of(TRAIN))


@pytest.fixture(scope="module")
def batch():
    return Batch(TRAIN, all_positions)


@pytest.fixture
def model():
    return build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(0)).double().eval()


@pytest.mark.parametrize("parameters", SAMPLED, ids=NAMES)
def test_an_objective_draws_from_the_generator_of_negatives_alone(parameters, batch, model):
    objective, randomness = objective_of(parameters), Randomness(3)
    before = randomness.state()
    first = objective.loss(model, batch, randomness)
    after = randomness.state()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"negatives"} < set(GENERATORS)
    assert objective.loss(model, batch, randomness) != first
    randomness.load(before)
    assert objective.loss(model, batch, randomness) == first


@pytest.mark.parametrize("parameters", SAMPLED, ids=NAMES)
def test_a_few_steps_make_the_loss_smaller_and_leave_padding_alone(parameters, batch, model):
    objective, randomness = objective_of(parameters), Randomness(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    padding = model.item_table()[0].detach().clone()
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = objective.loss(model, batch, randomness)
        loss.backward()
        assert model.item_table().grad[0].abs().max() == 0
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert torch.equal(model.item_table()[0], padding)


def test_sampled_softmax_puts_its_parts_together(batch, model):
    parameters = SAMPLED[1] | {"temperature": 0.5, "l2_normalise": True}
    found = objective_of(parameters).loss(model, batch, Randomness(8))
    hidden, targets = batch.representations(model)
    hidden, table = (vectors / vectors.norm(dim=1, keepdim=True) for vectors in (hidden, model.item_table()))
    law = make_proposal("log_uniform", sequences_of([], N_ITEMS))
    negatives = law.draw((5,), Randomness(8).negatives)
    logits = torch.cat([(hidden * table[targets]).sum(1, keepdim=True), hidden @ table[negatives].T], dim=1) / 0.5
    logits -= torch.cat(
        [law.log_expected(targets, 5)[:, None], law.log_expected(negatives, 5).expand(len(targets), 5)], 1
    )
    logits[:, 1:][negatives == targets[:, None]] = -math.inf
    torch.testing.assert_close(found, F.cross_entropy(logits, torch.zeros_like(targets)), rtol=1e-12, atol=0)


def test_negatives_that_are_all_the_target_do_not_count():
    hidden, table = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.tensor([1, 2, 1, 3])
    loss = sampled_softmax.sampled_softmax(hidden, table, targets, targets[:, None].expand(4, 6))
    assert loss == 0
    gradients = torch.autograd.grad(loss, (hidden, table))
    assert all(gradient.abs().max() == 0 for gradient in gradients)


def test_bce_with_a_negative_outside_the_history(batch, model):
    """With two free items a row the law is known: the loss averages over both."""
    rows = sequences_of([[1, 2, 3, 4], [4, 5, 6, 1]], 6)
    small = build_sequential(SASREC, 6, torch.Generator().manual_seed(1)).double().eval()
    pair = Batch(rows, all_positions)
    hidden, targets = pair.representations(small)
    free = torch.tensor([[5, 6]] * 3 + [[2, 3]] * 3)
    with torch.no_grad():
        expected = bce.binary_cross_entropy(hidden, small.item_table(), targets, free)
        positive = -F.logsigmoid((hidden * small.item_table()[targets]).sum(1)).mean()
        found = objective_of({"name": "bce", "negatives": 20_000, "exclude": "history"}).loss(
            small, pair, Randomness(0)
        )
    torch.testing.assert_close((found - positive) / 20_000, (expected - positive) / 2, rtol=1e-3, atol=0)


def test_gbce_asks_for_no_more_negatives_than_items(batch, model):
    with pytest.raises(InputError, match="gbce: 30 negatives of 29 other items; expected at most as many"):
        objective_of({"name": "gbce", "negatives": 30}).loss(model, batch, Randomness(0))
    assert gbce.beta_of(29, 30, 0.75) == 1


@pytest.mark.parametrize(
    "parameters",
    [
        {"name": "sampled_softmax"},
        {"name": "sampled_softmax", "negatives": 0},
        {"name": "sampled_softmax", "negatives": 5, "temperature": 0.0},
        {"name": "sampled_softmax", "negatives": 5, "proposal": "fame"},
        {"name": "bce", "negatives": 0},
        {"name": "bce", "calibration": 0.5},
        {"name": "gbce", "calibration": 1.1},
        {"name": "gbce", "exclude": "nothing"},
        {"name": "bse"},
    ],
    ids=str,
)
def test_configurations_that_are_refused(parameters):
    with pytest.raises(ValidationError):
        TypeAdapter(Objective).validate_python(parameters)

"""CL4SRec: both parts of its loss, and what each of them teaches."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from made_data import SASREC, random_rows, rows_of, sequences_of, split_of
from seqrepro.config.training import Objective
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.contrastive import info_nce
from seqrepro.training.loop import _build
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch, all_positions, last_position

N_ITEMS = 30
TRAIN = sequences_of(random_rows(30, N_ITEMS, seed=4), N_ITEMS)
BASES = [{"name": "cross_entropy"}, {"name": "bce", "negatives": 2, "exclude": "history"}]


def objective_of(**changes):
    parameters = {"name": "cl4srec", "base": BASES[0], **changes}
    return _build("objectives", TypeAdapter(Objective).validate_python(parameters).canonical(), split_of(TRAIN))


def base_of(parameters):
    return _build("objectives", TypeAdapter(Objective).validate_python(parameters).canonical(), split_of(TRAIN))


@pytest.fixture
def model():
    parameters = SASREC | {"mask_row": True, "positions_from": "newest"}
    return build_sequential(parameters, N_ITEMS, torch.Generator().manual_seed(0)).double().eval()


@pytest.mark.parametrize("base", BASES, ids=["ce", "bce"])
@pytest.mark.parametrize("view", [all_positions, last_position])
def test_the_loss_is_the_weighted_sum(model, base, view):
    batch, objective = Batch(TRAIN, view), objective_of(base=base, weight=0.3, temperature=0.5, cosine=True)
    histories = TRAIN.head(TRAIN.lengths - 1).tail(10)
    views = objective.augmentation.two_views(histories, Randomness(3).augmentation)
    newest = [torch.stack([model.hidden(torch.tensor([row]))[0, -1] for row in rows_of(made)]) for made in views]
    contrast = info_nce(*newest, 0.5, True)
    expected = base_of(base).loss(model, batch, Randomness(3)) + 0.3 * contrast
    torch.testing.assert_close(objective.loss(model, batch, Randomness(3)), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("base", BASES, ids=["ce", "bce"])
def test_it_draws_views_and_negatives_from_their_generators_alone(model, base):
    objective, randomness = objective_of(base=base), Randomness(3)
    before = randomness.state()
    objective.loss(model, Batch(TRAIN, all_positions), randomness)
    after = randomness.state()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"augmentation"} | ({"negatives"} if base["name"] == "bce" else set())


def test_a_row_alone_has_nothing_to_be_told_from(model):
    batch = Batch(TRAIN.select(torch.tensor([3])), all_positions)
    alone = objective_of().loss(model, batch, Randomness(3))
    assert torch.equal(alone, base_of(BASES[0]).loss(model, batch, Randomness(3)))


def test_the_last_item_is_in_no_view(model):
    """It is a target; its embedding moves by the first part of the loss alone."""
    rows = sequences_of([[1, 2, 3, 9], [4, 5, 6, 8], [4, 3, 2, 7]], N_ITEMS)
    contrast = objective_of(mask=0.6).contrast(model, rows, Randomness(1))
    (gradient,) = torch.autograd.grad(contrast, model.items.weight)
    seen = gradient.abs().sum(1).nonzero().flatten().tolist()
    assert set(seen) <= {1, 2, 3, 4, 5, 6, N_ITEMS + 1}
    assert N_ITEMS + 1 in seen


def test_it_learns_and_leaves_padding_alone(model):
    objective, randomness = objective_of(weight=1.0), Randomness(3)
    optimizer, batch = torch.optim.Adam(model.parameters(), lr=1e-2), Batch(TRAIN, all_positions)
    parts = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = objective.loss(model, batch, randomness)
        loss.backward()
        assert model.items.weight.grad[0].abs().max() == 0
        optimizer.step()
        with torch.no_grad():
            parts.append((float(loss), float(objective.contrast(model, TRAIN, Randomness(9)))))
    assert parts[-1][0] < 0.8 * parts[0][0]
    assert parts[-1][1] < 0.9 * parts[0][1]


@torch.no_grad()
def test_the_mask_is_one_more_row_and_no_candidate(model):
    plain = build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(0))
    counts = [sum(weight.numel() for weight in network.parameters()) for network in (model, plain)]
    assert counts[0] - counts[1] == SASREC["width"]
    scores = model.score(TRAIN)
    assert scores.shape == (len(TRAIN), N_ITEMS + 1)
    model.items.weight[N_ITEMS + 1] += 1.0
    assert torch.equal(model.score(TRAIN), scores)


@pytest.mark.parametrize(
    "changes",
    [{"base": {"name": "gbce"}}, {"base": None}, {"crop": 0.0}, {"mask": 1.1}, {"temperature": 0.0}, {"weight": 0.0}],
    ids=str,
)
def test_configurations_that_are_refused(changes):
    with pytest.raises(ValidationError):
        TypeAdapter(Objective).validate_python({"name": "cl4srec", "base": BASES[0], **changes})

"""The penalty on norms: which weights it takes, and what it adds to loss and gradient."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from made_data import SASREC, random_rows, sequences_of, split_of
from seqrepro.config.training import Objective
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.objectives import bce, cross_entropy, penalised
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS = 25
TRAIN = sequences_of(random_rows(20, N_ITEMS, seed=3), N_ITEMS)
BASES = {"cross_entropy": {"name": "cross_entropy"}, "bce": {"name": "bce", "negatives": 1, "exclude": "target"}}


def parameters(**changes):
    made = {"name": "penalised", "base": BASES["cross_entropy"], "weight": 0.3, "of": "matrices", "squared": False}
    return made | changes


@pytest.fixture
def model():
    return build_sequential(SASREC | {"dropout": 0.0, "attention_dropout": 0.0}, N_ITEMS, torch.Generator()).double()


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("of", ["matrices", "embeddings"])
@pytest.mark.parametrize("base", BASES)
def test_it_adds_the_norms_of_the_weights_it_names(model, base, of, squared):
    view, chosen = make_view("all_positions", TRAIN), BASES[base]
    batch = view.batch(torch.arange(len(view)))
    plain = {"cross_entropy": cross_entropy, "bce": bce}[base].build(chosen, split_of(TRAIN))
    found = penalised.build(parameters(base=chosen, of=of, squared=squared), split_of(TRAIN))
    taken = [w for name, w in model.named_parameters() if w.dim() > 1 and (of == "matrices" or name in TABLES)]
    squares = [float(w.detach().square().sum()) for w in taken]
    added = 0.3 * sum(square if squared else square**0.5 for square in squares)
    losses = [objective.loss(model, batch, Randomness(1)) for objective in (found, plain)]
    assert (losses[0] - losses[1]).item() == pytest.approx(added, rel=1e-10)


TABLES = {"items.weight", "positions.weight"}


def test_unsquared_every_tensor_gets_a_gradient_of_the_same_length(model):
    objective = penalised.build(parameters(), split_of(TRAIN))
    (objective.weight * objective.penalty(model)).backward()
    for weight in model.parameters():
        if weight.dim() > 1:
            assert weight.grad.norm().item() == pytest.approx(0.3)
        else:
            assert weight.grad is None


@pytest.mark.parametrize("changes", [{"weight": 0}, {"of": "norms"}, {"base": {"name": "gbce"}}, {"squared": 1}])
def test_settings_that_are_refused(changes):
    with pytest.raises(ValidationError):
        TypeAdapter(Objective).validate_python(parameters(**changes))

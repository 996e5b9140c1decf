"""One step of SASRec on made-up rows: the loss and the gradients, on a device, in a precision and a type."""

import torch
from pydantic import TypeAdapter

from made_data import SASREC, random_rows, sequences_of, split_of
from seqrepro.config.training import Objective
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.loop import _build
from seqrepro.training.precision import add_gradients
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS = 120
STILL = SASREC | {"width": 32, "inner_width": 64, "dropout": 0.0, "attention_dropout": 0.0}
OBJECTIVES = [
    {"name": "cross_entropy"},
    {"name": "sampled_softmax", "negatives": 20},
    {"name": "sampled_softmax", "negatives": 20, "proposal": "log_uniform", "correction": "all", "shared": True},
    {"name": "sampled_softmax", "negatives": 20, "proposal": "popularity"},
    {"name": "sampled_softmax", "negatives": 20, "correction": "none", "temperature": 0.5, "l2_normalise": True},
    {"name": "bce"},
    {"name": "bce", "negatives": 3, "exclude": "history"},
    {"name": "bce", "exclude": "history_and_held_out"},
    {"name": "gbce", "negatives": 50},
]
NAMES = [" ".join(map(str, parameters.values())) for parameters in OBJECTIVES]
VIEWS = ("all_positions", "prefixes")


def made_rows():
    """The training rows of all steps."""
    return sequences_of(random_rows(40, N_ITEMS, seed=4), N_ITEMS)


def objective_of(parameters):
    """What a training builds from the configuration."""
    return _build("objectives", TypeAdapter(Objective).validate_python(parameters).canonical(), split_of(made_rows()))


def made_model(device="cpu", dtype=torch.float32, parameters=STILL):
    """The same weights on each device, larger than those that a training starts from."""
    model = build_sequential(parameters, N_ITEMS, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(5)
    return model.to(device, dtype)


def made_batch(view="all_positions", device="cpu"):
    """All examples of the training rows."""
    examples = make_view(view, made_rows().to(torch.device(device)))
    return examples.batch(torch.arange(len(examples)))


def gradients(objective, view="all_positions", device="cpu", precision="fp32", dtype=torch.float32):
    """The loss, and the gradients of all weights as one vector, on the CPU in float64."""
    model, batch, randomness = made_model(device, dtype), made_batch(view, device), Randomness(3)
    chosen = objective_of(objective)
    loss = add_gradients(lambda: chosen.loss(model, batch, randomness), precision, torch.device(device))
    assert all(weight.grad.dtype == weight.dtype == dtype for weight in model.parameters())
    return loss, torch.cat([weight.grad.flatten().cpu().double() for weight in model.parameters()])


def distance(found, expected):
    """How far a vector is from another, in units of the other's length."""
    return float((found - expected).norm() / expected.norm())

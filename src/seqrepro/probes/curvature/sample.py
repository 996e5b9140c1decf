"""The loss surface that a probe measures: a run's weights, and a sample of users that is the same for all runs.

Users are drawn once among those who have a target, whatever the model and its seed. Negatives are drawn in the order of
the targets: two models with the same view and the same window get the same ones.

The rows are those that the training saw: with the recipe's `data` the loss is that of the drawn or disturbed rows, and
the sample is the same for all models of one seed.

Memory: a batch has at most `BATCH_EXAMPLES` examples and gathers at most `BATCH_EMBEDDINGS` embeddings; differentiating
twice keeps a few tensors of that size. Full cross-entropy never holds more than a chunk of its logits.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences
from seqrepro.data.splits import Split
from seqrepro.models.interfaces import SequentialModel, restore
from seqrepro.probes.curvature.lanczos import Eigenpairs, eigenpairs
from seqrepro.probes.curvature.losses import fixed_loss, gathered
from seqrepro.probes.curvature.surface import Surface, Term
from seqrepro.request import Request
from seqrepro.training import machine
from seqrepro.training.randomness import generator_for
from seqrepro.training.rows import read_seen
from seqrepro.training.views import View, make_view

BATCH_EXAMPLES, BATCH_EMBEDDINGS = 256, 2**17
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def read_surface(request: Request) -> Surface:
    """The surface that a request asks for.

    Parameters of the request: config (of the run), users, sample_seed, dtype and, if it is not the run's own, the
    objective `loss`. Inputs: sequences.parquet, statistics.json, model.safetensors.

    Raises:
        InputError: the objective has no second derivative here.
    """
    config = request.parameters["config"]
    machine.prepare(config["training"] | {"device": "cpu"})
    split = read_seen(request)
    model = restore(config, split.train.n_items, Path(request.inputs[2]))
    assert isinstance(model, SequentialModel)
    return surface_of(model, split, request.parameters)


def surface_of(model: SequentialModel, split: Split, wanted: dict[str, Any]) -> Surface:
    """The surface of a model in evaluation mode, which it changes to the type that is asked for.

    Args:
        model: on the CPU.
        split: of the data.
        wanted: parameters as `read_surface` has them.

    Raises:
        InputError: the objective has no second derivative here.
    """
    recipe = wanted["config"]["training"]
    objective = wanted.get("loss") or recipe["objective"]
    users = sample_users(split.train, wanted["users"], wanted["sample_seed"])
    view = make_view(recipe["view"], split.train.select(users), recipe.get("last"))
    return make_surface(model.to(DTYPES[wanted["dtype"]]), view, objective, split, wanted["sample_seed"])


def sample_users(train: Sequences, count: int, seed: int) -> Tensor:
    """Row numbers of at most `count` users with a target, ascending."""
    eligible = (train.lengths >= 2).nonzero().flatten()
    order = torch.randperm(len(eligible), generator=generator_for(seed, "curvature:users"))
    return eligible[order[:count].sort().values]


def make_surface(model: SequentialModel, view: View, objective: dict[str, Any], split: Split, seed: int) -> Surface:
    """The mean loss over all targets of the view's examples.

    Args:
        model: in evaluation mode.
        view: the examples of the sample.
        objective: name and parameters, as in a training recipe.
        split: of the data.
        seed: of the negatives.
    """
    fix, generator = fixed_loss(objective, split), generator_for(seed, "curvature:negatives")
    n_targets = view.n_targets(model.max_length)
    by_example = gathered(objective) * n_targets / len(view)  # embeddings, on average
    size = max(1, min(BATCH_EXAMPLES, int(BATCH_EMBEDDINGS / by_example)))
    terms = []
    for examples in torch.split(torch.arange(len(view)), size):
        batch = view.batch(examples)
        with torch.no_grad():
            _, targets = batch.representations(model)
        terms.append(Term(batch, fix(model, batch, targets, generator), len(targets)))
    return Surface(model, terms, n_targets)


def eigenpairs_of(surface: Surface, places: list[int], wanted: dict[str, Any]) -> Eigenpairs:
    """The eigenvalues of a surface's Hessian at some places, as a probe's parameters say: sample_seed, eigenvalues."""
    settings, generator = wanted["eigenvalues"], generator_for(wanted["sample_seed"], "curvature:lanczos")
    size = len(surface.point)
    return eigenpairs(surface.hessian_times, size, places, settings["steps"], settings["tolerance"], generator)

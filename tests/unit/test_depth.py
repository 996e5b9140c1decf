"""HSTU, LLaMA and SASRec from 1 to 32 blocks and from width 16 to 256: gradients and losses of the first steps.

Two recipes: cross-entropy on inner products, and that of HSTU's authors (sampled softmax, cosines over 0.05).
"""

import dataclasses

import pytest
import torch

from made_data import random_rows, sequences_of, split_of
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.objectives import cross_entropy, sampled_softmax
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS, LENGTH, STEPS = 30, 6, 10
SPREAD = 100  # the largest gradient of a block over the smallest, at most
FAMILIES = {
    "hstu": {"family": "hstu"},
    "llama": {"family": "llama"},
    "simplified hstu": {"family": "llama", "block": "simplified_hstu"},
    "sasrec": {"family": "sasrec", "inner_width": 32, "attention_dropout": 0.0},
}
SAMPLED = {"negatives": 128, "proposal": "uniform", "correction": "none", "shared": False}
SAMPLED |= {"temperature": 1.0, "l2_normalise": False}
FULL = [(3 * row)[: LENGTH + 1] for row in random_rows(8, N_ITEMS, seed=1)]  # of one length: a step is one pass
PLAIN = sequences_of(FULL, N_ITEMS)
ROWS = dataclasses.replace(PLAIN, timestamps=torch.arange(len(PLAIN.values)) * 3600)
RECIPES = {"cross-entropy": None, "sampled softmax": 0.05}  # temperature of cosines


def network(name, **changes):
    told = {"width": 16, "layers": 32, "heads": 2, "dropout": 0.0, "max_length": LENGTH} | FAMILIES[name] | changes
    return build_sequential(told, N_ITEMS, torch.Generator().manual_seed(1))


def objective(temperature):
    return cross_entropy.CrossEntropy() if temperature is None else sampled_softmax.build(SAMPLED, split_of(ROWS))


def norms(model):
    """Of the gradient of each block, first to last."""
    return [torch.stack([weight.grad.norm() for weight in block.parameters()]).norm().item() for block in model.blocks]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", FAMILIES)
def test_32_blocks_train(name, recipe):
    """Gradients are numbers, of one order of size in all blocks at the first step and after some; the loss falls."""
    model, randomness = network(name, cosine_temperature=RECIPES[recipe]), Randomness(0)
    wanted, view = objective(RECIPES[recipe]), make_view("all_positions", ROWS)
    batch, optimizer = view.batch(torch.arange(len(view))), torch.optim.Adam(model.parameters(), 3e-3, (0.9, 0.98))
    losses, found = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = wanted.loss(model, batch, randomness)
        loss.backward()
        losses.append(loss.item())
        found.append(norms(model))
        optimizer.step()
    for of_blocks in (found[0], found[-1]):
        assert all(1e-5 < one < 1e3 for one in of_blocks)
        assert max(of_blocks) < SPREAD * min(of_blocks)
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize(
    "shape", [{"layers": 1, "width": 16}, {"layers": 1, "width": 256}, {"layers": 8, "width": 128}], ids=str
)
@pytest.mark.parametrize("name", FAMILIES)
def test_other_shapes(name, shape):
    model, view = network(name, **shape), make_view("all_positions", ROWS)
    objective(None).loss(model, view.batch(torch.arange(len(view))), Randomness(0)).backward()
    assert all(0 < norm < 1e3 for norm in norms(model))
    assert model.score(ROWS).isfinite().all()

"""What GRU4Rec, Caser, LRURec and TiSASRec have in common: they train, come back from a file, and have a curvature."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from made_data import GRADIENT, random_rows, sequences_of
from seqrepro.data.splits import leave_one_out
from seqrepro.models.interfaces import build_sequential, restore
from seqrepro.training import machine
from seqrepro.training.loop import Trainer

N_ITEMS = 25
SIZES = {"width": 8, "dropout": 0.2, "max_length": 6}
MODELS = {
    "gru4rec": {"family": "gru4rec", **SIZES, "hidden_width": 12},
    "caser": {"family": "caser", **SIZES, "users": 30},
    "lrurec": {"family": "lrurec", **SIZES},
    "tisasrec": {"family": "tisasrec", **SIZES, "time_span": 10, "heads": 2},
    "tisasrec, as in a table": {"family": "tisasrec", **SIZES, "intervals": "raw", "positions_in": "input"},
}
RECIPE = GRADIENT | {"view": "prefixes"}


def rows():
    plain = sequences_of(random_rows(30, N_ITEMS, seed=3), N_ITEMS)
    return dataclasses.replace(plain, timestamps=7 * torch.arange(len(plain.values)) ** 2)


def trained(name, seed=1):
    config, device = {"model": MODELS[name], "training": RECIPE}, machine.prepare(RECIPE)
    trainer = Trainer(config, leave_one_out(rows()), seed, device, store=None)
    trainer.take_steps(12)
    return config, trainer.model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_gives_the_same_weights_and_they_come_back_from_a_file(tmp_path, name):
    (config, model), (_, again) = trained(name), trained(name)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))
    fresh = build_sequential(config["model"], N_ITEMS, torch.Generator().manual_seed(5))
    assert not any(
        torch.equal(a, b) for a, b in zip(fresh.parameters(), model.parameters(), strict=True) if a.dim() > 1
    )
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    restored = restore(config, N_ITEMS, tmp_path / "model.safetensors")
    with torch.no_grad():
        scores = model.score(rows())
        assert scores.shape == (30, N_ITEMS + 1) and scores.isfinite().all()
        assert torch.equal(restored.score(rows()), scores)


@pytest.mark.parametrize("name", MODELS)
def test_histories_of_one_item_and_of_more_than_the_model_sees(name):
    model = trained(name)[1]
    one, long = torch.tensor([[4]]), torch.arange(1, 16)[None]
    with torch.no_grad():
        for items in (one, long):
            history = sequences_of(items.tolist(), N_ITEMS)
            history = dataclasses.replace(history, timestamps=history.values * 3)
            shown = history.tail(6)
            torch.testing.assert_close(model.score(history), model.score(shown), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_second_derivatives_are_those_of_differences(name):
    """H v, as probes of sharpness compute it, against gradients at both sides."""
    model, histories = trained(name)[1].double(), rows()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    generator = torch.Generator().manual_seed(2)
    direction = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    step = 1e-6

    def gradient(**more):
        loss = model.score(histories)[:, 1:].log_softmax(1)[:, 3].mean()
        return torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True, **more)

    def moved(by):
        with torch.no_grad():
            for weight, along in zip(weights, direction, strict=True):
                weight.add_(along, alpha=by)

    inner = sum((one * v).sum() for one, v in zip(gradient(create_graph=True), direction, strict=True))
    product = torch.autograd.grad(inner, weights, allow_unused=True, materialize_grads=True)
    moved(step)
    after = gradient()
    moved(-2 * step)
    before = gradient()
    for found, high, low in zip(product, after, before, strict=True):
        expected = (high - low) / (2 * step)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * (1 + float(expected.abs().max())))

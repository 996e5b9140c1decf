"""Sharpness-aware optimizers against pytorch_optimizer: the same steps of a small network, in float64.

Where its definitions are ours: its ASAM has no eta and scales all tensors, which is ours with eta 0 for tensors named
weight; its LookSAM projects tensor by tensor, which is ours for a single tensor. It rounds norms to float32, so the
paths, in which a step of Adam has a size of 0.02, agree to 1e-6 and not to all digits.
"""

import pytest
import torch
from torch import nn

from made_data import sharp
from seqrepro.training.loop import _build
from seqrepro.training.randomness import Randomness

theirs = pytest.importorskip("pytorch_optimizer", reason="pytorch_optimizer is in the environment of the oracles alone")

STEPS, RATE = 12, 0.02
ADAM = {"name": "adam", "learning_rate": RATE, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


class Network(nn.Module):
    """tanh(x A) b; b is trained if there are two tensors."""

    def __init__(self, tensors):
        super().__init__()
        draw = torch.Generator().manual_seed(7)
        self.inner_weight, self.outer_weight = (
            nn.Parameter(torch.randn(size, generator=draw, dtype=torch.float64)) for size in ((5, 6), (6,))
        )
        if tensors == 1:
            self.fixed = self.outer_weight.detach()
            self.outer_weight = None
        self.inputs, self.targets = (
            torch.randn(size, generator=draw, dtype=torch.float64) for size in ((20, 5), (20,))
        )

    def loss(self):
        outer = self.fixed if self.outer_weight is None else self.outer_weight
        return ((torch.tanh(self.inputs @ self.inner_weight) @ outer - self.targets) ** 2).mean()

    def gradients(self):
        self.zero_grad()
        loss = self.loss()
        loss.backward()
        return loss

    def forward(self, inputs):
        return self.loss()


def our_path(tensors, name, **changes):
    model = Network(tensors)
    optimizer = _build("optimizers", sharp(name, base=ADAM, **changes), model, Randomness(0))
    path = []
    for _ in range(STEPS):
        optimizer.step(lambda: {"loss": model.gradients().item()})
        path.append(weights_of(model))
    return torch.stack(path)


def their_path(tensors, make):
    """With the two passes that their protocol wants."""
    model, path = Network(tensors), []
    optimizer = make(model)
    for _ in range(STEPS):
        model.gradients()
        optimizer.step(model.gradients)
        path.append(weights_of(model))
    return torch.stack(path)


def weights_of(model):
    return torch.cat([weight.detach().flatten().clone() for weight in model.parameters()])


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def assert_other(found, expected):
    assert (found - expected).abs().max() > 1e-4


@pytest.mark.parametrize("tensors", [1, 2])
@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_sam(tensors, rho):
    expected = their_path(tensors, lambda model: theirs.SAM(model.parameters(), torch.optim.Adam, rho, lr=RATE))
    assert_same(our_path(tensors, "sam", rho=rho), expected)
    assert_other(our_path(tensors, "sam", rho=rho / 2), expected)


@pytest.mark.parametrize("tensors", [1, 2])
def test_asam_without_eta(tensors):
    make = lambda model: theirs.SAM(model.parameters(), torch.optim.Adam, 0.5, adaptive=True, lr=RATE)  # noqa: E731
    expected = their_path(tensors, make)
    assert_same(our_path(tensors, "asam", rho=0.5, eta=0.0), expected)
    assert_other(our_path(tensors, "asam", rho=0.5, eta=0.01), expected)


@pytest.mark.parametrize("tensors", [1, 2])
@pytest.mark.parametrize("alpha", [0.1, 0.7])
def test_gsam(tensors, alpha):
    """Their rho follows a learning rate that does not change: it stays at its maximum."""

    def make(model):
        base = torch.optim.Adam(model.parameters(), lr=RATE)
        constant = torch.optim.lr_scheduler.ConstantLR(base, factor=1.0)
        schedule = theirs.ProportionScheduler(constant, max_lr=RATE, min_lr=RATE, max_value=0.3, min_value=0.1)
        optimizer = theirs.GSAM(model.parameters(), base, model, schedule, alpha=alpha)
        optimizer.set_closure(lambda found, targets: found, model.inputs, model.targets)
        take_step = optimizer.step
        optimizer.step = lambda closure: take_step()
        return optimizer

    expected = their_path(tensors, make)
    assert_same(our_path(tensors, "gsam", rho=0.3, alpha=alpha), expected)
    assert_other(our_path(tensors, "gsam", rho=0.3, alpha=0.0), expected)


def test_looksam_of_one_tensor():
    make = lambda model: theirs.LookSAM(model.parameters(), torch.optim.Adam, 0.1, k=4, alpha=0.7, lr=RATE)  # noqa: E731
    settings = {"rho": 0.1, "alpha": 0.7, "period": 4}
    assert_same(our_path(1, "looksam", **settings), their_path(1, make))
    assert_other(our_path(2, "looksam", **settings), their_path(2, make))

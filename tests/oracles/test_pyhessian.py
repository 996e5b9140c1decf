"""PyHessian 0.1 as an oracle: its largest eigenvalues by power iteration, and its trace by Hutchinson, are ours.

It needs an environment of its own (`make test-oracles`); elsewhere these tests are skipped.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from made_data import SASREC, random_rows, sequences_of, split_of
from seqrepro.models.interfaces import build_sequential
from seqrepro.probes.curvature.lanczos import eigenpairs
from seqrepro.probes.curvature.sample import make_surface
from seqrepro.probes.curvature.trace import traces
from seqrepro.training.views import all_positions, make_view

pytest.importorskip("pyhessian", reason="PyHessian is not in this environment; `make test-oracles` has it")

N_ITEMS = 15
ROWS = random_rows(20, N_ITEMS, seed=8, longest=6)
TRAIN = sequences_of(ROWS, N_ITEMS)
MODEL = SASREC | {"width": 4, "layers": 1, "inner_width": 4, "max_length": 6}


class Logits(nn.Module):
    """The logits of all targets of the rows, as PyHessian wants a model: a function of one input."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, _):
        hidden, _ = all_positions(self.model, TRAIN)
        return hidden @ self.model.item_table()[1:].T


def network():
    model = build_sequential(MODEL, N_ITEMS, torch.Generator().manual_seed(2)).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    return model


@pytest.fixture(scope="module")
def both():
    """PyHessian's Hessian and our surface, of the same network; each has its own, as weights are written to."""
    from pyhessian import hessian

    surface = make_surface(network(), make_view("all_positions", TRAIN), {"name": "cross_entropy"}, split_of(TRAIN), 1)
    _, targets = all_positions(surface.model, TRAIN)
    with sdpa_kernel(SDPBackend.MATH):
        theirs = hessian(Logits(network()), F.cross_entropy, data=(torch.zeros(1), targets - 1), cuda=False)
    return theirs, surface


def test_the_ends_of_the_spectrum(both):
    """PyHessian's first eigenvalue is the one of the largest size, which is our smallest here."""
    theirs, surface = both
    found = eigenpairs(surface.hessian_times, len(surface.point), [0, -1], 80, 1e-10, torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    values, vectors = theirs.eigenvalues(maxIter=1000, tol=1e-8, top_n=2)
    assert values[0] < 0 < values[1]
    assert found.values.tolist() == pytest.approx(values, rel=1e-4)
    vector = torch.cat([part.flatten() for part in vectors[0]])
    assert abs(float(vector @ found.vectors[0])) == pytest.approx(1, abs=1e-3)


def test_the_trace(both):
    theirs, surface = both
    everything = torch.ones(len(surface.point), dtype=torch.bool)
    (ours,) = traces(surface.hessian_times, [everything], 120, torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    values = theirs.trace(maxIter=200, tol=-np.inf)  # its rule to stop does not expect a negative mean
    error = np.std(values, ddof=1) / len(values) ** 0.5
    assert abs(np.mean(values) - ours.value) < 4 * (error**2 + ours.error**2) ** 0.5

"""A GPU for all tests of this folder; without one they are skipped. `make test-gpu` runs them."""

import pytest
import torch

from made_data import GRADIENT
from seqrepro.training import machine


@pytest.fixture(scope="session", autouse=True)
def gpu():
    """The GPU, set up as a training sets it up: an operation without a deterministic form is an error."""
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    return machine.prepare(GRADIENT | {"device": "cuda"})

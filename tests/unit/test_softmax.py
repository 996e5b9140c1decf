"""Chunked cross-entropy: every chunk size gives the same, and the full matrix of logits never exists."""

import pytest
import torch
from torch.nn import functional as F

from seqrepro.training import softmax
from seqrepro.training.softmax import mean_cross_entropy
from tensor_sizes import LargestTensor

T, V, D = 37, 60, 4


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(6)
    hidden = torch.randn(T, D, generator=generator, dtype=torch.float64).requires_grad_()
    table = torch.randn(V + 1, D, generator=generator, dtype=torch.float64).requires_grad_()
    return hidden, table, torch.randint(1, V + 1, (T,), generator=generator)


def ordinary(hidden, table, targets):
    return F.cross_entropy(hidden @ table[1:].T, targets - 1)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 18, 36, 37, 38, 1000])
def test_value_and_gradients_do_not_depend_on_the_chunks(case, rows, monkeypatch):
    monkeypatch.setitem(softmax.CHUNK_ELEMENTS, "cpu", rows * (V + 1))
    found, expected = mean_cross_entropy(*case), ordinary(*case)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    for mine, theirs in zip(torch.autograd.grad(found, case[:2]), torch.autograd.grad(expected, case[:2]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-15)


def test_the_gradients_are_those_of_finite_differences(case):
    assert torch.autograd.gradcheck(mean_cross_entropy, case)


def largest(loss, case):
    with LargestTensor() as seen:
        loss(*case).backward()
    return seen.elements


def test_all_logits_never_exist_at_once(case, monkeypatch):
    monkeypatch.setitem(softmax.CHUNK_ELEMENTS, "cpu", 5 * (V + 1))
    assert largest(ordinary, case) >= T * V  # the measurement sees them where they exist
    assert largest(mean_cross_entropy, case) == 5 * V  # and neither [T, V] nor anything between


def test_only_the_gradients_that_are_asked_for(case):
    hidden, table, targets = case
    (of_hidden,) = torch.autograd.grad(mean_cross_entropy(hidden, table.detach(), targets), hidden)
    (expected,) = torch.autograd.grad(ordinary(hidden, table, targets), hidden)
    torch.testing.assert_close(of_hidden, expected, rtol=1e-11, atol=1e-15)
    with torch.no_grad():
        torch.testing.assert_close(mean_cross_entropy(*case), ordinary(*case), rtol=1e-13, atol=0)

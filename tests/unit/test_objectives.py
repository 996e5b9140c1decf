import pytest
import torch
from torch.nn import functional as F

from made_data import SASREC, random_rows, sequences_of
from seqrepro.models.interfaces import build_sequential
from seqrepro.training import softmax
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.softmax import mean_cross_entropy
from seqrepro.training.views import Batch, all_positions

N_ITEMS = 30


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(23, 5, generator=generator, dtype=torch.float64).requires_grad_()
    table = torch.randn(N_ITEMS + 1, 5, generator=generator, dtype=torch.float64).requires_grad_()
    return hidden, table, torch.randint(1, N_ITEMS + 1, (23,), generator=generator)


@pytest.mark.parametrize("elements", [1, 4 * (N_ITEMS + 1), 10**6])
def test_cross_entropy_in_chunks_equals_the_ordinary_one(logits, elements, monkeypatch):
    monkeypatch.setitem(softmax.CHUNK_ELEMENTS, "cpu", elements)
    hidden, table, targets = logits
    ours = mean_cross_entropy(hidden, table, targets)
    theirs = F.cross_entropy(hidden @ table[1:].T, targets - 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    for mine, expected in zip(
        torch.autograd.grad(3 * ours, (hidden, table)), torch.autograd.grad(3 * theirs, (hidden, table)), strict=True
    ):
        torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-14)


def test_padding_is_no_class(logits):
    hidden, table, targets = logits
    loss = mean_cross_entropy(hidden, table, targets)
    (gradient,) = torch.autograd.grad(loss, table)
    assert gradient[0].abs().max() == 0
    assert gradient[1:].abs().min() > 0
    with torch.no_grad():
        table[0] = 1e6
    assert mean_cross_entropy(hidden, table, targets) == loss


def test_all_positions_gives_every_next_item_once():
    rows = [[1, 2, 3], [4, 5, 6, 7, 8, 9], [10, 11], list(range(12, 27))]
    model = build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(0))
    hidden, targets = all_positions(model, sequences_of(rows, N_ITEMS))
    assert sorted(targets.tolist()) == [2, 3, 5, 6, 7, 8, 9, 11, *range(17, 27)]  # the long row cut to 10 targets
    assert hidden.shape == (len(targets), 8)


def test_every_target_has_the_same_weight():
    rows = random_rows(20, N_ITEMS, seed=4)
    model = build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(0)).double().eval()
    objective = cross_entropy.build({"name": "cross_entropy"})

    def loss(rows):
        return objective.loss(model, Batch(sequences_of(rows, N_ITEMS), all_positions), Randomness(0))

    each = [loss([row]) for row in rows]
    sizes = [min(len(row) - 1, 10) for row in rows]
    expected = sum(loss * size for loss, size in zip(each, sizes, strict=True)) / sum(sizes)
    torch.testing.assert_close(loss(rows), expected, rtol=1e-12, atol=0)

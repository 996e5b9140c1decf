import itertools

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from seqrepro.errors import InputError
from seqrepro.training.masking import draw_mask, masked_item_loss

SMALLEST_P = 1e-4  # of a seeded goodness-of-fit test


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("ratio", [0.01, 0.2, 0.6, 0.99])
def test_as_many_as_the_rule_says(ratio):
    lengths = torch.arange(2, 60)
    masked = draw_mask(lengths, 64, ratio, 0.0, generator())
    assert masked.sum(1).tolist() == [min(max(round(ratio * n), 1), n - 1) for n in lengths.tolist()]
    assert not masked[torch.arange(64) >= lengths[:, None]].any()


def test_all_sets_of_positions_are_equally_likely():
    masked = draw_mask(torch.full((6000,), 5), 7, 0.4, 0.0, generator(1))
    sets = [tuple(row.nonzero().flatten().tolist()) for row in masked]
    counts = [sets.count(pair) for pair in itertools.combinations(range(5), 2)]
    assert sum(counts) == len(sets)
    assert stats.chisquare(counts).pvalue > SMALLEST_P


def test_the_share_of_rows_with_only_the_last_masked():
    lengths = torch.full((5000,), 40)
    masked = draw_mask(lengths, 40, 0.5, 0.3, generator(2))
    alone = masked.sum(1) == 1
    assert masked[alone][:, 39].all()
    assert (masked[~alone].sum(1) == 20).all()
    assert stats.binomtest(int(alone.sum()), 5000, 0.3).pvalue > SMALLEST_P


def test_the_last_alone():
    lengths = torch.tensor([2, 5, 3])
    masked = draw_mask(lengths, 5, 0.9, 1.0, generator())
    assert masked.nonzero().tolist() == [[0, 1], [1, 4], [2, 2]]


def test_masks_come_from_the_generator_alone():
    lengths, before = torch.randint(2, 30, (50,), generator=generator(5)), torch.get_rng_state()
    one, other = generator(3), generator(3)
    first = draw_mask(lengths, 30, 0.3, 0.1, one)
    assert torch.equal(first, draw_mask(lengths, 30, 0.3, 0.1, other))
    assert not torch.equal(first, draw_mask(lengths, 30, 0.3, 0.1, one))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_row_of_one_item_cannot_be_masked():
    with pytest.raises(InputError, match="masking: a row of 1 items; expected at least 2"):
        draw_mask(torch.tensor([3, 1]), 3, 0.2, 0.0, generator())


def test_the_loss_is_the_mean_over_masked_positions():
    lengths = torch.tensor([4, 2, 6])
    padded = torch.randint(1, 10, (3, 6), generator=generator(1)) * (torch.arange(6) < lengths[:, None])
    masked = draw_mask(lengths, 6, 0.4, 0.0, generator(2))
    hidden = torch.randn(3, 6, 4, generator=generator(3), dtype=torch.float64).requires_grad_()
    table = torch.randn(10, 4, generator=generator(4), dtype=torch.float64).requires_grad_()
    found = masked_item_loss(hidden, table, padded, masked)
    labels = torch.where(masked, padded - 1, -100)  # torch's own sign for 'not this one'
    expected = F.cross_entropy((hidden @ table[1:].T).flatten(0, 1), labels.flatten())
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    for mine, theirs in zip(
        torch.autograd.grad(found, (hidden, table)), torch.autograd.grad(expected, (hidden, table)), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-14)
    (gradient,) = torch.autograd.grad(masked_item_loss(hidden, table, padded, masked), hidden)
    assert torch.equal(gradient.abs().sum(2) > 0, masked)

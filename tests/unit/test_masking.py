import itertools

import pytest
import torch
from scipy import stats

from seqrepro.errors import InputError
from seqrepro.training.masking import Masking

SMALLEST_P = 1e-4  # of a seeded goodness-of-fit test


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("ratio", [0.01, 0.2, 0.6, 0.99])
def test_as_many_as_the_rule_says(ratio):
    lengths = torch.arange(2, 60)
    masked = Masking(ratio, 0.0, generator()).draw(lengths, 64)
    assert masked.sum(1).tolist() == [min(max(round(ratio * n), 1), n - 1) for n in lengths.tolist()]
    assert not masked[torch.arange(64) >= lengths[:, None]].any()


def test_all_sets_of_positions_are_equally_likely():
    masked = Masking(0.4, 0.0, generator(1)).draw(torch.full((6000,), 5), 7)
    sets = [tuple(row.nonzero().flatten().tolist()) for row in masked]
    counts = [sets.count(pair) for pair in itertools.combinations(range(5), 2)]
    assert sum(counts) == len(sets)
    assert stats.chisquare(counts).pvalue > SMALLEST_P


def test_the_share_of_rows_with_only_the_last_masked():
    lengths = torch.full((5000,), 40)
    masked = Masking(0.5, 0.3, generator(2)).draw(lengths, 40)
    alone = masked.sum(1) == 1
    assert masked[alone][:, 39].all()
    assert (masked[~alone].sum(1) == 20).all()
    assert stats.binomtest(int(alone.sum()), 5000, 0.3).pvalue > SMALLEST_P


def test_the_last_alone():
    lengths = torch.tensor([2, 5, 3])
    masked = Masking(0.9, 1.0, generator()).draw(lengths, 5)
    assert masked.nonzero().tolist() == [[0, 1], [1, 4], [2, 2]]


def test_masks_come_from_the_generator_alone():
    lengths, before = torch.randint(2, 30, (50,), generator=generator(5)), torch.get_rng_state()
    one, other = Masking(0.3, 0.1, generator(3)), Masking(0.3, 0.1, generator(3))
    first = one.draw(lengths, 30)
    assert torch.equal(first, other.draw(lengths, 30))
    assert not torch.equal(first, one.draw(lengths, 30))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_row_of_one_item_cannot_be_masked():
    with pytest.raises(InputError, match="masking: a row of 1 items; expected at least 2"):
        Masking(0.2, 0.0, generator()).draw(torch.tensor([3, 1]), 3)

"""The two views of CL4SRec: what each operation does to a row, and how often."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch
from scipy import stats

from made_data import random_rows, rows_of, sequences_of
from seqrepro.training.augmentation import Augmentation, reordered

V = 90
ROW = list(range(1, 11))  # ten different items
SMALLEST_P = 1e-4  # of a seeded goodness-of-fit test
ALL = Augmentation(crop=0.6, mask=0.3, reorder=0.6)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def kind(view, row=ROW, ratios=ALL):
    """Which operation made a view of a row of different items, and what it did: kept, masked or moved places."""
    n = len(row)
    if len(view) < n:
        assert len(view) == math.floor(ratios.crop * n)
        start = row.index(view[0])
        assert view == row[start : start + len(view)]
        return "crop", start
    if V + 1 in view:
        places = tuple(i for i, item in enumerate(view) if item == V + 1)
        assert len(places) == math.floor(ratios.mask * n)
        assert all(view[i] == row[i] for i in range(n) if i not in places)
        return "mask", places
    assert sorted(view) == row
    moved = tuple(i for i in range(n) if view[i] != row[i])
    assert not moved or moved[-1] - moved[0] < math.floor(ratios.reorder * n)
    return "reorder", moved


@pytest.fixture(scope="module")
def many():
    """What was done to both views of 3000 equal rows."""
    views = ALL.two_views(sequences_of([ROW] * 3000, V), generator(1))
    return [tuple(map(kind, pair)) for pair in zip(*map(rows_of, views), strict=True)]


def even(counts, n):
    return len(counts) == n and stats.chisquare(list(counts.values())).pvalue > SMALLEST_P


def test_two_different_operations_in_every_order(many):
    assert all(one != other for (one, _), (other, _) in many)
    assert even(Counter((one, other) for (one, _), (other, _) in many), 6)


def test_windows_and_sets_are_uniform(many):
    done = [made for pair in many for made in pair]
    assert even(Counter(start for name, start in done if name == "crop"), 5)
    assert even(Counter(places for name, places in done if name == "mask"), 120)
    assert {place for name, places in done if name == "reorder" for place in places} == set(range(10))


def test_a_window_is_shuffled_into_all_orders():
    n, shuffled = torch.full((5000, 1), 4), torch.full((5000, 1), 3)
    orders = Counter(map(tuple, reordered(n, shuffled, torch.arange(5), generator(2)).tolist()))
    assert all(order[4] == 4 for order in orders)  # padding stays
    assert all(order[0] == 0 or order[3] == 3 for order in orders)
    expected = Counter({order: 1 + (order[0] == 0 and order[3] == 3) for order in orders})
    assert len(orders) == 10  # of the six orders in each of two windows, two leave both ends
    shares = [5000 * expected[order] / 12 for order in orders]
    assert stats.chisquare(list(orders.values()), shares).pvalue > SMALLEST_P


def test_rows_keep_their_users_and_lengths():
    rows = sequences_of(random_rows(200, V, seed=3, longest=30), V)
    for view in ALL.two_views(rows, generator()):
        assert torch.equal(view.users, rows.users)
        assert all(a < b for a, b in pairwise(view.offsets.tolist()))
        for made, row in zip(rows_of(view), rows_of(rows), strict=True):
            assert len(made) in (len(row), max(1, math.floor(0.6 * len(row))))
            assert set(made) <= {*row, V + 1}


@pytest.mark.parametrize("row", [[7], [7, 8]])
def test_short_rows(row):
    """Of one item nothing is left to do; of two only a crop does something, as floor(0.3 * 2) = 0."""
    views = ALL.two_views(sequences_of([row] * 50, V), generator())
    expected = {(7,)} if len(row) == 1 else {(7, 8), (7,), (8,)}
    assert {tuple(made) for view in views for made in rows_of(view)} == expected


def test_views_come_from_the_generator_alone():
    rows, before = sequences_of(random_rows(30, V, seed=3), V), torch.get_rng_state()
    one, other = generator(4), generator(4)
    first = ALL.two_views(rows, one)
    again, later = ALL.two_views(rows, other), ALL.two_views(rows, one)
    assert [rows_of(view) for view in first] == [rows_of(view) for view in again]
    assert [rows_of(view) for view in first] != [rows_of(view) for view in later]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(rows.values, sequences_of(random_rows(30, V, seed=3), V).values)  # copies, not the rows

"""Approximate entropy against the share of repeats: what is generated, the intervals, and groups of real users."""

import math
from itertools import pairwise

import numpy as np
import pytest

from seqrepro.laws.duplication import DRAWS, FEW, MANY, SHARES, WINDOW, generated_rows, real_rows, sequences


def rows(kind, order):
    return [row for row in generated_rows() if (row["kind"], row["apen_order"]) == (kind, order)]


@pytest.mark.parametrize("order", [1, 2])
def test_with_more_items_than_the_window_it_rises_at_every_step(order):
    found = rows("generated with many items", order)
    assert [(row["items_from"], row["items_to"]) for row in found] == list(pairwise(MANY))
    assert all(row["repeats_from"] < row["repeats_to"] for row in found)
    assert all(0 < row["change_low"] < row["change"] < row["change_high"] for row in found)


@pytest.mark.parametrize(("order", "falls"), [(1, 4), (2, 2)])
def test_with_fewer_items_it_falls_in_the_end(order, falls):
    """At one item there is nothing left to tell."""
    found = rows("generated with few items", order)
    assert [row["change_high"] < 0 for row in found] == [False] * (len(FEW) - 1 - falls) + [True] * falls
    assert found[-1]["apen_to"] == 0 and found[-1]["repeats_to"] == pytest.approx(1 - 1 / WINDOW)


@pytest.mark.parametrize(
    ("order", "items", "expected"),
    [
        (1, 5, 1.3593),
        (1, 10, 1.3887),
        (1, 20, 1.0341),
        (2, 5, 0.6924),
        (2, 20, 0.0557),
        (2, 2, 0.6456),
    ],
)
def test_the_means_are_those_of_independent_draws_elsewhere(order, items, expected):
    """Means over 200 draws of 50 items, as another program computed them; ours are over 2,000."""
    [row] = [row for row in rows("generated with few items", order) if row["items_to"] == items]
    assert row["apen_to"] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("order", [1, 2])
def test_planted_repeats_raise_it_at_first_and_lower_it_in_the_end(order):
    found = rows("many items, repeats planted", order)
    assert len(found) == len(SHARES) - 1
    assert found[0]["change_low"] > 0 > found[-1]["change_high"]


def test_repeats_are_planted_among_the_items_before():
    plain, planted = (sequences((500, share), draw=3, users=200) for share in (0.0, 0.4))
    more = sequences((500, 0.6), draw=3, users=200)
    changed = plain != planted
    assert not changed[:, 0].any() and np.all(changed.sum(axis=1) <= 0.4 * WINDOW)
    assert changed.sum() > 0.38 * changed.size
    for row, places in zip(planted, changed, strict=True):
        assert all(row[place] in row[:place] for place in places.nonzero()[0])
    assert (plain != more)[changed].mean() > 0.98  # the places of a smaller share are places of a larger one


def test_draws_differ_and_repeat_themselves():
    first, again, other = (sequences((100, 0.2), draw, users=5) for draw in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert DRAWS > 2


def described(groups):
    names = ("up_to", "users", "mean", "sd")
    measured = {"by_repeats": [dict(zip(names, group, strict=True)) for group in groups]}
    return {"windows": [{"last": 25, "entropy": {"approximate_entropy": {"1": measured}}}]}


def test_groups_of_real_users_are_compared_by_welch():
    [row] = real_rows("shop", described([(0.0, 40, -0.04, 0.0), (0.1, 50, 0.02, 0.05), (0.3, 7, 0.3, 0.1)]))
    half = 2.0095752 * 0.05 / math.sqrt(50)  # 97.5 % of Student's t with 49 degrees of freedom: one group has no spread
    assert row["change"] == pytest.approx(0.06)
    assert (row["change_low"], row["change_high"]) == pytest.approx((0.06 - half, 0.06 + half), abs=1e-7)
    assert (row["repeats_from"], row["repeats_to"], row["window"], row["users_to"]) == (0.0, 0.1, 25, 50)


def test_two_groups_without_spread_have_no_width():
    [row] = real_rows("shop", described([(0.0, 40, -0.04, 0.0), (0.1, 50, -0.04, 0.0)]))
    assert row["change_low"] == row["change"] == row["change_high"] == 0


def test_data_without_repeats_have_no_row():
    assert list(real_rows("ratings", described([(0.0, 900, -0.04, 0.0)]))) == []

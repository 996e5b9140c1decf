"""The k-core on any interactions: what it promises, and a slow form that removes one user or item at a time."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqrepro.data.filters import k_core

pairs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=60)
ks = st.integers(1, 5)


def fast(rows: list[tuple[int, int]], k: int) -> list[tuple[int, int]]:
    users, items = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return [row for row, kept in zip(rows, k_core(users, items, k), strict=True) if kept]


def slow(rows: list[tuple[int, int]], k: int) -> list[tuple[int, int]]:
    for column in (1, 0):
        for name, count in Counter(row[column] for row in rows).items():
            if count < k:
                return slow([row for row in rows if row[column] != name], k)
    return rows


@given(pairs, ks)
def test_equals_removing_one_at_a_time(rows, k):
    assert fast(rows, k) == slow(rows, k)


@given(pairs, ks)
def test_everybody_left_has_k(rows, k):
    kept = fast(rows, k)
    for column in (0, 1):
        assert all(count >= k for count in Counter(row[column] for row in kept).values())


@given(pairs, ks)
def test_idempotent_and_monotone(rows, k):
    kept = fast(rows, k)
    assert fast(kept, k) == kept
    assert fast(kept, k + 1) == fast(rows, k + 1)


@given(pairs, ks, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, k, random):
    shuffled = rows.copy()
    random.shuffle(shuffled)
    assert Counter(fast(shuffled, k)) == Counter(fast(rows, k))


@given(pairs, ks)
def test_maximal_and_equal_to_counting_everything_again(rows, k):
    """The simple form keeps all rows in place and counts anew each time; nothing that it drops could stay."""
    users, items = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    keep, before = np.ones(len(rows), dtype=bool), -1
    while np.count_nonzero(keep) != before:
        before = np.count_nonzero(keep)
        for ids in (users, items):
            keep &= np.bincount(ids[keep], minlength=8)[ids] >= k
    assert k_core(users, items, k).tolist() == keep.tolist()

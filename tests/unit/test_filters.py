"""The k-core on cases that can be checked by hand."""

import numpy as np
import pytest

from seqrepro.data.filters import k_core
from seqrepro.data.interactions import Interactions
from seqrepro.data.prepare import filtered
from seqrepro.errors import InputError


def keep(pairs: list[tuple[int, int]], k: int) -> list[bool]:
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return k_core(users, items, k).tolist()


SQUARE = [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_square_is_its_own_2_core():
    assert keep(SQUARE, 2) == [True] * 4
    assert keep(SQUARE, 3) == [False] * 4


def test_removal_cascades():
    # item 2 has one interaction; without it user 2 has one, and without that item 3 has one
    assert keep([*SQUARE, (2, 2), (2, 3), (3, 3), (3, 1)], 2) == [True] * 4 + [False] * 4


def test_one_keeps_everything_and_nothing_stays_nothing():
    assert keep([(0, 0), (1, 5)], 1) == [True, True]
    assert keep([], 5) == []


def test_a_repeated_pair_counts_each_time():
    assert keep([(0, 0), (0, 0)], 2) == [True, True]


def test_a_filter_must_be_known_and_leave_something():
    import pyarrow as pa

    interactions = Interactions(pa.array([1, 2]), pa.array([1, 1]), np.array([1, 2]))
    assert len(filtered(interactions, {})) == 2
    with pytest.raises(InputError, match="found 'min_rating', expected k_core"):
        filtered(interactions, {"min_rating": 4})
    with pytest.raises(InputError, match="leaves none of the 2 interactions"):
        filtered(interactions, {"k_core": 2})

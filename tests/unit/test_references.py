"""Comparing two datasets user by user: under the same names, and under names found from the structure."""

import numpy as np
import pytest

from seqrepro.data.references import Sequences, compare, compare_structure
from seqrepro.data.registry import Agreement


def sequences(rows: dict[object, str], times: dict[object, list[int]] | None = None) -> Sequences:
    """User -> its items, one letter each."""
    users = np.array(list(rows), dtype=object)
    offsets = np.concatenate([[0], np.cumsum([len(items) for items in rows.values()])])
    items = np.array([item for row in rows.values() for item in row], dtype=object)
    stamps = None if times is None else np.array([time for user in rows for time in times[user]], dtype=np.int64)
    return Sequences(users, offsets, items, stamps)


def made(n_users: int, n_items: int, seed: int) -> tuple[Sequences, Sequences]:
    """Random sequences with times, and the same ones under other ids and with the users in another order."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(3, 12, n_users)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = draw.integers(1, n_items + 1, offsets[-1])
    days = np.concatenate([np.sort(draw.integers(0, 4, length)) for length in lengths])
    renamed, users = draw.permutation(n_items) + 1, draw.permutation(n_users)
    rows = np.concatenate([np.arange(offsets[user], offsets[user + 1]) for user in users])
    moved = np.concatenate([[0], np.cumsum(lengths[users])])
    ours = Sequences(np.arange(1, n_users + 1), offsets, items, days)
    return ours, Sequences(np.arange(1, n_users + 1), moved, renamed[items[rows] - 1], days[rows])


def test_the_same():
    ours = sequences({1: "abc", 2: "cb"})
    assert compare(ours, sequences({2: "cb", 1: "abc"})) == Agreement(users=2, equal=2)


def test_ties_are_told_from_other_differences():
    times = {1: [1, 2, 2], 2: [1, 1, 3], 3: [1, 2, 3], 4: [5, 5, 5]}
    ours = sequences({1: "abc", 2: "abc", 3: "abc", 4: "aab"}, times)
    theirs = sequences({1: "acb", 2: "cab", 3: "acb", 4: "baa"})
    found = compare(ours, theirs)
    assert found == Agreement(users=4, equal=0, ties=2, other=2, test_targets=4, validation_targets=3)
    assert compare(theirs, ours) == found


def test_other_items_are_no_ties():
    ours = sequences({1: "ab", 2: "ab", 3: "aab"}, {1: [1, 1], 2: [1, 1], 3: [1, 1, 1]})
    assert compare(ours, sequences({1: "ac", 2: "abb", 3: "abb"})).other == 3


def test_without_any_timestamps_nothing_is_a_tie():
    assert compare(sequences({1: "ab"}), sequences({1: "ba"})) == Agreement(
        users=1, equal=0, other=1, test_targets=1, validation_targets=1
    )


def test_timestamps_that_differ_are_counted():
    ours, theirs = (sequences({1: "ab", 2: "ab"}, {1: [1, 2], 2: last}) for last in ([1, 3], [1, 4]))
    assert compare(ours, theirs) == Agreement(users=2, equal=2, times=1)


def test_users_that_only_one_has():
    found = compare(sequences({1: "ab", 2: "ab"}), sequences({2: "ab", 3: "cd", 4: "cd"}))
    assert found == Agreement(users=1, equal=1, other=3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_structure_finds_a_renumbering(seed):
    ours, theirs = made(200, 60, seed)
    assert compare(ours, theirs).equal < 20
    assert compare_structure(ours, theirs) == Agreement(users=200, equal=200)
    assert compare_structure(theirs, ours) == Agreement(users=200, equal=200)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_structure_sees_another_order_of_ties(seed):
    ours, theirs = made(200, 60, seed)
    shuffled = np.lexsort((-theirs.items, theirs.timestamps, np.repeat(theirs.users, np.diff(theirs.offsets))))
    theirs = Sequences(theirs.users, theirs.offsets, theirs.items[shuffled], theirs.timestamps)
    found = compare_structure(ours, theirs)
    assert found.users == found.equal + found.ties == 200
    assert found.ties > 50
    assert found.other == found.times == 0


def test_structure_sees_one_swap_in_time():
    ours, theirs = made(200, 60, 4)
    row = next(row for row in range(len(theirs.items) - 1) if theirs.timestamps[row] < theirs.timestamps[row + 1])
    assert theirs.items[row] != theirs.items[row + 1]
    theirs.items[[row, row + 1]] = theirs.items[[row + 1, row]]
    found = compare_structure(ours, theirs)
    assert (found.equal, found.ties, found.other) == (199, 0, 1)


def test_structure_sees_another_item():
    ours, theirs = made(200, 60, 5)
    theirs.items[7] = theirs.items[7] % 60 + 1
    found = compare_structure(ours, theirs)
    assert found.other > 0
    assert found.equal < 200


def test_nodes_that_structure_does_not_tell_apart():
    """Users 1 and 2 took the same items; a and b were taken by the same users."""
    ours = sequences({1: "ab", 2: "ba", 3: "cd", 4: "cde"}, {1: [1, 2], 2: [3, 4], 3: [5, 5], 4: [7, 8, 9]})
    theirs = sequences({9: "zy", 8: "xw", 7: "yz", 6: "xwv"}, {9: [3, 4], 8: [5, 5], 7: [1, 2], 6: [7, 8, 9]})
    assert compare_structure(ours, theirs) == Agreement(users=4, equal=4, untold=6)

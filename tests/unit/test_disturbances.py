"""Disturbances of sequences: what each kind does to every row, and that it stays what it was."""

import hashlib
import math
from collections import Counter
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from made_data import random_rows, rows_of, sequences_of
from seqrepro.config.disturbances import (
    Delete,
    Duplicate,
    InsertRandom,
    Interactions,
    RepeatRecent,
    RepeatUsers,
    ReplaceRandom,
    Swap,
    Users,
)
from seqrepro.data.disturbances import disturb, share_of_items, share_of_rows
from seqrepro.data.sequences import Sequences
from seqrepro.probes.robustness import perturb

N_ITEMS = 9
ROWS = st.lists(st.lists(st.integers(1, N_ITEMS), min_size=1, max_size=30), min_size=1, max_size=6)
RATIOS = st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
SEEDS = st.integers(0, 1000)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def always(item):
    return lambda owners, _: torch.full_like(owners, item)


def disturbed(rows, seed, **wanted):
    result = disturb(sequences_of(rows, N_ITEMS), wanted, generator(seed), always(N_ITEMS + 1))
    assert result.users.tolist() == list(range(1, len(rows) + 1))
    return rows_of(result)


def part(length, ratio):
    return math.ceil(Fraction(str(ratio)) * length)


@given(ROWS, RATIOS, SEEDS)
def test_swaps_are_disjoint_pairs_of_neighbours(rows, ratio, seed):
    numbered = [list(range(len(row))) for row in rows]  # places in place of items: which one went where
    for row, moved in zip(rows, disturbed(numbered, seed, kind="swap", ratio=ratio), strict=True):
        pairs = [place for place in range(len(row)) if moved[place] > place]
        assert len(pairs) == min(math.ceil(Fraction(str(ratio)) * len(row) / 2), len(row) // 2)
        expected = list(range(len(row)))
        for place in pairs:
            expected[place], expected[place + 1] = place + 1, place
        assert moved == expected


def test_all_sets_of_pairs_are_equally_likely():
    found = Counter(map(tuple, disturbed([list(range(5))] * 6000, 1, kind="swap", ratio=0.8)))  # two of five places
    assert len(found) == 3
    assert all(count == pytest.approx(2000, abs=150) for count in found.values())


@given(ROWS, RATIOS, SEEDS)
def test_deletion_keeps_the_order_and_at_least_one_item(rows, ratio, seed):
    for row, left in zip(rows, disturbed(rows, seed, kind="delete", ratio=ratio), strict=True):
        assert len(left) == max(1, len(row) - part(len(row), ratio))
        rest = iter(row)
        assert all(item in rest for item in left)


@given(ROWS, RATIOS, SEEDS)
def test_duplicates_stand_behind_what_they_double(rows, ratio, seed):
    numbered = [list(range(len(row))) for row in rows]
    for row, longer in zip(numbered, disturbed(numbered, seed, kind="duplicate", ratio=ratio), strict=True):
        assert len(longer) == len(row) + part(len(row), ratio)
        assert longer == sorted(longer) and set(longer) == set(row)
        assert max(Counter(longer).values()) <= 2


@given(ROWS, RATIOS, SEEDS)
def test_inserted_items_come_from_the_draw_and_the_others_keep_their_order(rows, ratio, seed):
    for row, longer in zip(rows, disturbed(rows, seed, kind="insert_random", ratio=ratio), strict=True):
        assert [item for item in longer if item <= N_ITEMS] == row
        assert abs(len(longer) - len(row) - len(row) * ratio) <= 1.001


SAME_TOKENS = st.sampled_from(["replace_random", "repeat_recent", "repeat_users"])


@given(ROWS, SAME_TOKENS, RATIOS, SEEDS, st.integers(1, 40))
def test_through_any_window_there_are_as_many_tokens(rows, kind, share, seed, window):
    strength = "ratio" if kind == "replace_random" else "share"
    made = disturbed(rows, seed, kind=kind, **{strength: share})
    assert [len(row[-window:]) for row in made] == [len(row[-window:]) for row in rows]
    assert {item for row in made for item in row} <= {item for row in rows for item in row} | {N_ITEMS + 1}


@given(ROWS, RATIOS, SEEDS)
def test_as_many_places_as_asked_for_get_a_drawn_item(rows, ratio, seed):
    for row, other in zip(rows, disturbed(rows, seed, kind="replace_random", ratio=ratio), strict=True):
        changed = [place for place in range(len(row)) if other[place] != row[place]]
        assert len(changed) == part(len(row), ratio)
        assert all(other[place] == N_ITEMS + 1 for place in changed)


@given(ROWS, RATIOS, SEEDS)
def test_a_history_repeats_its_most_recent_items(rows, share, seed):
    for row, other in zip(rows, disturbed(rows, seed, kind="repeat_recent", share=share), strict=True):
        block = row[-part(len(row), share) :]
        assert other == (len(row) * block)[-len(row) :]
    assert disturbed(rows, seed, kind="repeat_recent", share=1.0) == rows


@given(ROWS, RATIOS, SEEDS)
def test_some_users_stand_in_the_place_of_the_others(rows, share, seed):
    """Every item names its user and its place, so that it is seen whose sequence a row shows."""
    named = [[100 * user + place for place in range(len(row))] for user, row in enumerate(rows)]
    made = disturbed(named, seed, kind="repeat_users", share=share)
    sources = [row[0] // 100 for row in made]
    assert made == [named[of][-len(row) :] for of, row in zip(sources, named, strict=True)]
    stay = set(share_of_rows(sequences_of(rows, N_ITEMS), share, generator(seed)).tolist())
    assert stay <= set(sources) and len(set(sources) - stay) <= 1
    assert all(sources[user] == user for user in set(sources))
    lengths = sorted(len(named[of]) for of in set(sources))
    for row, of in zip(named, sources, strict=True):
        longer = [length for length in lengths if length > len(row)]
        assert len(named[of]) in (len(row), *longer[:1])
    assert disturbed(named, seed, kind="repeat_users", share=1.0) == named


def test_with_fewer_users_the_same_sequences_come_again():
    rows = [[user, user + 1, user + 2] for user in range(1, 101)]
    counts = [len(set(map(tuple, disturbed(rows, 1, kind="repeat_users", share=share)))) for share in (0.1, 0.5, 1.0)]
    assert counts[0] in (10, 11) and counts[1] in (50, 51) and counts[2] == 100


@given(ROWS, SEEDS)
def test_a_larger_share_has_all_that_a_smaller_one_has(rows, seed):
    sequences = sequences_of(rows, N_ITEMS)
    numbered = Sequences(sequences.users, torch.arange(len(sequences.values)), sequences.offsets, None, N_ITEMS)
    users, items = set(), set()
    for share in (0.1, 0.2, 0.4, 1.0):
        chosen = share_of_rows(sequences, share, generator(seed)).tolist()
        kept = share_of_items(numbered, share, generator(seed))
        assert chosen == sorted(set(chosen)) and len(chosen) == part(len(rows), share) and users <= set(chosen)
        assert kept.lengths.tolist() == [part(len(row), share) for row in rows]
        assert kept.values.tolist() == sorted(kept.values.tolist()) and items <= set(kept.values.tolist())
        users, items = set(chosen), set(kept.values.tolist())
    assert len(users) == len(rows) and len(items) == len(sequences.values)


def test_what_is_drawn_keeps_its_timestamps():
    rows = sequences_of([[5, 6, 7, 8]], N_ITEMS)
    timed = Sequences(rows.users, rows.values, rows.offsets, 10 * rows.values, N_ITEMS)
    kept = share_of_items(timed, 0.5, generator(1))
    assert kept.timestamps.tolist() == [10 * item for item in kept.values.tolist()]


def test_shares_are_the_decimal_numbers_that_are_written():
    """In floating-point numbers 0.07 of 100 is more than 7."""
    assert [len(row) for row in disturbed([[1] * 100], 1, kind="delete", ratio=0.07)] == [93]
    assert share_of_items(sequences_of([[1] * 100], N_ITEMS), 0.07, generator(1)).lengths.tolist() == [7]


BEFORE = {  # sha256 of the rows that the robustness probe made before these kinds had a room of their own
    ("drop_last", "count", 1): "283c7b4823cd61d3db23c84e6d44e90f45dc2f2dd0a9678a143e611dd9aa3aff",
    ("shuffle", None, None): "27a217ff6cdfcf87ff78b56b2b9bc8a7e0f55b3aa9ffc13b328343184ba4907b",
    ("insert_random", "ratio", 0.2): "ee8c50c242d07166020390ab41bf7f13253842b332902a4a0142ce6e084d720b",
    ("insert_random", "ratio", 0.5): "28a17df5e152daf433704104cf45b4dea9f4f5c7ce78d5460709084fa7df4b37",
}


@pytest.mark.parametrize("wanted", BEFORE)
def test_old_kinds_are_what_they_were(wanted):
    rows = random_rows(50, 20, seed=3)
    targets, histories = torch.tensor([row[-1] for row in rows]), sequences_of([row[:-1] for row in rows], 20)
    kind, strength, value = wanted
    perturbation = {"kind": kind} | ({strength: value} if strength else {})
    shown = perturb(histories, targets, perturbation, generator(1))
    assert hashlib.sha256(str(rows_of(shown)).encode()).hexdigest() == BEFORE[wanted]


def test_each_setting_has_words():
    found = [Users(kind="users", share=0.2), Interactions(kind="interactions", share=0.05)]
    found += [InsertRandom(kind="insert_random", ratio=0.2), Swap(kind="swap", ratio=0.1)]
    found += [Delete(kind="delete", ratio=0.07), Duplicate(kind="duplicate", ratio=1.0)]
    found += [ReplaceRandom(kind="replace_random", ratio=0.3), RepeatRecent(kind="repeat_recent", share=0.25)]
    found += [RepeatUsers(kind="repeat_users", share=0.5)]
    assert [one.text() for one in found] == [
        *("20 % of the users", "5 % of the interactions", "noise 20 %"),
        *("swaps 10 %", "deletions 7 %", "duplicates 100 %", "replacements 30 %"),
        *("the last 25 % of each history, repeated", "50 % of the users, repeated"),
    ]

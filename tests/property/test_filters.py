"""Filters on any interactions, against slow forms; and what the order of the steps does and does not change."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from seqrepro.data.filters import STEPS, apply
from seqrepro.data.interactions import Interactions, combined

Row = tuple[int, int, int, int, int]  # user, item, second, fraction, rating
rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3), st.integers(0, 1), st.integers(1, 5)), min_size=1
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "rating_at_least": st.integers(1, 5).map(float),
        "duplicates": st.sampled_from(["drop_exact", "keep_first", "keep_last"]),
        "minimum": st.fixed_dictionaries({"user": st.integers(1, 3), "item": st.integers(1, 3)}),
        "k_core": st.integers(1, 3),
        "order": st.permutations(STEPS),
    },
)


def fast(data: list[Row], wanted: dict) -> list[int]:
    """Which rows stay. An interaction that no filter touches is added, since to keep nothing is an error."""
    safe = [(100 + user, 100 + item, 0, 0, 5) for user in range(3) for item in range(3)]
    users, items, times, fractions, ratings = (np.array(column) for column in zip(*data, *safe, strict=True))
    source = Interactions(
        users=pa.array(users),
        items=pa.array(items),
        timestamps=times,
        ratings=ratings.astype(np.float32),
        ranks=np.arange(len(users)),
        fractions=fractions,
    )
    kept, steps = apply(source, wanted, "timestamp")
    assert len(source) - sum(step["removed"] for step in steps) == len(kept)
    assert [step["step"] for step in steps] == [step for step in wanted.get("order", STEPS) if step in wanted]
    return [row for row in kept.ranks.tolist() if row < len(data)]


def slow(data: list[Row], wanted: dict) -> list[int]:
    left = list(range(len(data)))
    for step in wanted.get("order", STEPS):
        if step in wanted:
            left = SLOW[step](data, left, wanted[step])
    return left


def slow_duplicates(data: list[Row], left: list[int], policy: str) -> list[int]:
    if policy == "drop_exact":
        return [row for place, row in enumerate(left) if data[row][:4] not in [data[r][:4] for r in left[:place]]]
    best: dict[tuple[int, int], int] = {}
    for row in sorted(left, key=lambda row: (data[row][2:4], row), reverse=policy == "keep_first"):
        best[data[row][:2]] = row
    return sorted(best.values())


def slow_minimum(data: list[Row], left: list[int], least: dict) -> list[int]:
    users, items = (Counter(data[row][column] for row in left) for column in (0, 1))
    return [row for row in left if users[data[row][0]] >= least["user"] and items[data[row][1]] >= least["item"]]


def slow_k_core(data: list[Row], left: list[int], k: int) -> list[int]:
    while (fewer := slow_minimum(data, left, {"user": k, "item": k})) != left:
        left = fewer
    return left


SLOW = {
    "rating_at_least": lambda data, left, least: [row for row in left if data[row][4] >= least],
    "duplicates": slow_duplicates,
    "minimum": slow_minimum,
    "k_core": slow_k_core,
}


@given(rows, filters)
def test_equals_the_slow_form_step_by_step(data, wanted):
    assert fast(data, wanted) == slow(data, wanted)


@given(rows, filters)
def test_what_is_last_in_the_order_holds_of_the_result(data, wanted):
    kept = [data[row] for row in fast(data, wanted)]
    last = [step for step in wanted.get("order", STEPS) if step in wanted][-1:]
    if last == ["k_core"]:
        assert all(n >= wanted["k_core"] for column in (0, 1) for n in Counter(row[column] for row in kept).values())
    if last == ["duplicates"] and wanted["duplicates"] != "drop_exact":
        assert len({row[:2] for row in kept}) == len(kept)
    if "rating_at_least" in wanted:  # no other step brings a row back
        assert all(row[4] >= wanted["rating_at_least"] for row in kept)


@given(rows, st.integers(1, 5), st.sampled_from(["drop_exact", "keep_first", "keep_last"]))
def test_a_step_taken_twice_changes_nothing_more(data, least, policy):
    for wanted in ({"rating_at_least": float(least)}, {"duplicates": policy}, {"k_core": least % 3 + 1}):
        once = fast(data, wanted)
        assert fast([data[row] for row in once], wanted) == list(range(len(once))) if once else True


wide = st.lists(st.tuples(*[st.integers(-(2**62), 2**62) | st.integers(0, 2)] * 3), max_size=30)


@given(wide)
def test_one_number_for_several_keys_keeps_their_order(data):
    keys = [np.array(column, dtype=np.int64) for column in zip(*data, strict=True)] or [np.zeros(0, np.int64)]
    code = combined(*keys)
    assert np.argsort(code, kind="stable").tolist() == np.lexsort(keys).tolist()
    assert len(set(code.tolist())) == len(set(data))

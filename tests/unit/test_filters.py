"""The filters on cases that can be checked by hand."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from seqrepro.config.datasets import FILTER_ORDER, Filter
from seqrepro.data.filters import STEPS, apply, k_core
from seqrepro.data.interactions import Interactions
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


ROWS = [  # user, item, timestamp, rating
    (1, 7, 30, 5.0),
    (1, 7, 10, 2.0),
    (1, 7, 10, 4.0),
    (1, 8, 20, 4.0),
    (2, 7, 10, 1.0),
]


def interactions(rows=ROWS, timed=True, rated=True, **more) -> Interactions:
    users, items, times, ratings = zip(*rows, strict=True)
    return Interactions(
        pa.array(users),
        pa.array(items),
        np.array(times) if timed else None,
        ratings=np.array(ratings, np.float32) if rated else None,
        **more,
    )


def kept(filters: dict, order_source="timestamp", source=None) -> list[int]:
    """Which rows of ROWS a filter keeps."""
    source = interactions() if source is None else source
    marked = replace(source, ranks=np.arange(len(source)))
    return apply(marked, filters, order_source)[0].ranks.tolist()


def test_ratings_of_at_least():
    assert kept({"rating_at_least": 4.0}) == [0, 2, 3]
    assert kept({"rating_at_least": 4.1}) == [0]
    assert kept({"rating_at_least": 0.0}) == [0, 1, 2, 3, 4]


def test_exact_duplicates_agree_in_user_item_and_time():
    assert kept({"duplicates": "drop_exact"}) == [0, 1, 3, 4]
    finer = replace(interactions(), fractions=np.array([0, 0, 5, 0, 0]))
    assert kept({"duplicates": "drop_exact"}, source=finer) == [0, 1, 2, 3, 4]


def test_the_first_and_the_last_of_a_pair_go_by_time_and_then_by_row():
    assert kept({"duplicates": "keep_first"}) == [1, 3, 4]
    assert kept({"duplicates": "keep_last"}) == [0, 3, 4]
    finer = replace(interactions(), fractions=np.array([0, 5, 4, 0, 0]))
    assert kept({"duplicates": "keep_first"}, source=finer) == [2, 3, 4]


def test_without_an_order_of_time_the_rows_stand_in_order():
    assert kept({"duplicates": "keep_first"}, "source") == [0, 3, 4]
    assert kept({"duplicates": "keep_last"}, "source") == [2, 3, 4]


def test_the_single_pass_counts_users_and_items_before_it_removes_any():
    assert kept({"minimum": {"user": 2, "item": 1}}) == [0, 1, 2, 3]
    assert kept({"minimum": {"user": 1, "item": 2}}) == [0, 1, 2, 4]
    path = interactions([(1, 1, 0, 0), (2, 1, 0, 0), (2, 2, 0, 0), (3, 2, 0, 0)])
    assert kept({"minimum": {"user": 2, "item": 2}}, source=path) == [1, 2]  # not a 2-core: each item has one left
    with pytest.raises(InputError, match="leaves none"):
        kept({"k_core": 2}, source=path)


def test_the_order_of_the_steps_matters_and_is_reported():
    first = {"rating_at_least": 4.0, "minimum": {"user": 3, "item": 1}}
    kept_interactions, steps = apply(interactions(), first)
    assert len(kept_interactions) == 3
    assert steps == [{"step": "rating_at_least", "removed": 2}, {"step": "minimum", "removed": 0}]
    other = first | {"order": ["minimum", "k_core", "duplicates", "rating_at_least"]}
    assert apply(interactions(), other)[1] == [
        {"step": "minimum", "removed": 1},
        {"step": "rating_at_least", "removed": 1},
    ]


def test_a_filter_must_be_known_and_leave_something():
    assert len(apply(interactions(), {})[0]) == 5
    with pytest.raises(InputError, match="found 'min_rating', expected one of rating_at_least, duplicates"):
        apply(interactions(), {"min_rating": 4})
    with pytest.raises(InputError, match="leaves none of the 5 interactions"):
        apply(interactions(), {"k_core": 4})


def test_a_step_needs_what_it_looks_at():
    with pytest.raises(InputError, match=r"^filter: found rating_at_least: 4\.0, but this dataset has no ratings$"):
        apply(interactions(rated=False), {"rating_at_least": 4.0})
    with pytest.raises(InputError, match=r"^filter: found duplicates: drop_exact, but this dataset has no timestamps"):
        apply(interactions(timed=False), {"duplicates": "drop_exact"})
    with pytest.raises(InputError, match="found 'timestamp', expected 'source'"):
        apply(interactions(timed=False), {"duplicates": "keep_last"}, "timestamp")


def test_params_name_the_steps_and_their_order():
    told = {"minimum": {"user": 5}, "k_core": 5, "order": ["k_core", "minimum", "duplicates", "rating_at_least"]}
    parsed = Filter.model_validate(told)
    assert parsed.canonical() == told | {"minimum": {"user": 5, "item": 1}}
    assert parsed.text() == "5-core, at least 5 a user and 1 an item (one pass)"
    assert Filter().text() == "" and Filter(k_core=5).text() == "5-core"
    assert Filter(duplicates="drop_exact", rating_at_least=4).text() == (
        "ratings of at least 4, exact repetitions dropped"
    )
    with pytest.raises(ValidationError, match="expected each of rating_at_least, duplicates, minimum, k_core once"):
        Filter.model_validate({"order": ["k_core"]})
    assert STEPS == FILTER_ORDER

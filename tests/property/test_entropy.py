"""Entropy of any sequences: what it promises, and slow forms that follow the definitions word by word."""

import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from seqrepro.data.approximate_entropy import (
    approximate_entropy,
    approximate_entropy_direct,
    at_order,
    authors_mean,
    concatenated,
    phi,
    repeated_items,
    token_weighted,
    user_mean,
    without_repeats,
)
from seqrepro.data.compression import dictionary_entropy, kontoyiannis_entropy, shannon_bits
from seqrepro.data.entropy import last_items, measures

items = st.integers(1, 4) | st.integers(1, 1000)
sequences = st.lists(items, max_size=30)
users = st.lists(sequences, min_size=1, max_size=6)
orders = st.integers(0, 4)


def jagged(rows):
    values = np.array([item for row in rows for item in row], dtype=np.int64)
    return values, np.cumsum([0, *map(len, rows)])


def apen(rows, order, **options):
    return approximate_entropy(*jagged(rows), order, **options).tolist()


def same(values):
    return approx(values, abs=1e-12, nan_ok=True)


def slow_phi(rows, k):
    """Phi_k of the k-grams of all rows, as the sum over distinct grams."""
    grams = Counter(tuple(row[i : i + k]) for row in rows for i in range(len(row) - k + 1))
    total = grams.total()
    return math.fsum(c / total * math.log(c / total) for c in grams.values()) if total else math.nan


def slow_apen(rows, order):
    return (slow_phi(rows, order) if order else 0.0) - slow_phi(rows, order + 1)


@given(users, orders, st.sampled_from([0, 0.1, 0.5, 0.999]))
def test_group_by_is_the_definition_for_every_tolerance_below_one(rows, order, tolerance):
    direct = [approximate_entropy_direct(row, order, tolerance) for row in rows]
    assert apen(rows, order, tolerance=tolerance) == same(direct)
    assert apen(rows, order) == same([slow_apen([row], order) for row in rows])


@given(users, orders)
def test_pooled_and_concatenated_are_counts_of_grams(rows, order):
    values, offsets = jagged(rows)
    assert at_order(phi(values, offsets, order + 1, pooled=True), order) == same([slow_apen(rows, order)])
    together = [[item for row in rows for item in row]]
    assert approximate_entropy(values, concatenated(offsets), order) == same([slow_apen(together, order)])


@given(users, orders)
def test_the_circular_variant_wraps_around_and_is_never_negative(rows, order):
    found = apen(rows, order, circular=True)
    for row, value in zip(rows, found, strict=True):
        wrapped = row + [row[i % len(row)] for i in range(order)] if row else []
        phi_m = slow_phi([wrapped[: len(wrapped) - 1]], order) if order else 0.0
        assert value == same(phi_m - slow_phi([wrapped], order + 1)) or not row
        assert not value < -1e-12


@given(users, orders, st.integers(0, 2**32), st.sampled_from([1, 2**40]))
def test_the_names_of_items_do_not_matter(rows, order, seed, scale):
    names = np.random.default_rng(seed).permutation(1001) - 500
    renamed = [[scale * names[item] for item in row] for row in rows]
    (values, offsets), (others, _) = jagged(rows), jagged(renamed)
    assert np.array_equal(apen(renamed, order), apen(rows, order), equal_nan=True)
    for longest in (1, 3):
        expected = phi(values, offsets, longest, pooled=True)
        assert phi(others, offsets, longest, pooled=True) == same(expected)
    for measure in (kontoyiannis_entropy, dictionary_entropy, shannon_bits):
        assert measure(others) == same(measure(values))


@given(users, orders, st.randoms(use_true_random=False))
def test_the_order_of_users_does_not_matter(rows, order, random):
    shuffled = random.sample(rows, len(rows))
    (values, offsets), (others, borders) = jagged(rows), jagged(shuffled)
    first, second = approximate_entropy(values, offsets, order), approximate_entropy(others, borders, order)
    assert sorted(map(str, first)) == sorted(map(str, second))
    for mean in (user_mean, authors_mean):
        assert mean(first) == same(mean(second))
    assert token_weighted(first, np.diff(offsets)) == same(token_weighted(second, np.diff(borders)))
    assert phi(values, offsets, order, pooled=True) == same(phi(others, borders, order, pooled=True))


@given(users)
def test_order_zero_is_the_shannon_entropy(rows):
    expected = [shannon_bits(np.array(row)) * math.log(2) for row in rows]
    assert apen(rows, 0) == same(expected)
    assert apen(rows, 0, circular=True) == same(expected)


@given(users, orders)
def test_undefined_exactly_where_the_sequence_is_too_short(rows, order):
    assert np.isnan(apen(rows, order)).tolist() == [len(row) < order + 1 for row in rows]


@given(users, st.integers(1, 4))
def test_a_user_without_repeats_tells_its_length_alone(rows, order):
    repeats = repeated_items(*jagged(rows)) > 0
    assert repeats.tolist() == [len(set(row)) < len(row) for row in rows]
    for row, value, repeated in zip(rows, apen(rows, order), repeats, strict=True):
        if not repeated and len(row) > order:
            assert value == same(-math.log((len(row) - order + 1) / (len(row) - order)))


@given(users, st.integers(1, 12))
def test_truncation_keeps_the_newest(rows, window):
    values, offsets = last_items(*jagged(rows), window)
    expected, borders = jagged([row[-window:] for row in rows])
    assert (values.tolist(), offsets.tolist()) == (expected.tolist(), borders.tolist())
    assert len(values) == sum(min(len(row), window) for row in rows)
    assert last_items(values, offsets, None)[0] is values


@given(sequences, orders)
def test_the_authors_direct_form_is_the_absolute_value_and_zero_where_undefined(row, order):
    signed = approximate_entropy_direct(row, order, 0.2)
    expected = 0.0 if math.isnan(signed) else abs(signed)
    assert approximate_entropy_direct(row, order, 0.2, authors=True) == same(expected)
    assert authors_mean(approximate_entropy(*jagged([row]), order)) == same(expected)
    if len(row) > order > 0:
        assert approximate_entropy_direct(row, order, -1, authors=True) == same(0.0)


def slow_dictionary(row):
    phrases, total = set(), 0
    for start in range(len(row)):
        lengths = range(1, len(row) - start + 1)
        new = next((n for n in lengths if tuple(row[start : start + n]) not in phrases), None)
        phrases.add(tuple(row[start : start + (new or 0)]))
        total += len(row) - start + 1 if new is None else new
    return len(row) * math.log(len(row)) / total if row else math.nan


def slow_kontoyiannis(row):
    def seen(start, n):
        return any(row[i : i + n] == row[start : start + n] for i in range(start - n + 1))

    total = 0
    for start in range(len(row)):
        total += next((n for n in range(1, len(row) - start + 1) if not seen(start, n)), len(row) - start + 1)
    return len(row) * math.log(len(row)) / total if row else math.nan


repetitive = st.lists(st.integers(1, 3), max_size=60) | st.builds(
    lambda block, times: block * times, st.lists(st.integers(1, 3), max_size=6), st.integers(0, 10)
)


@given(sequences | repetitive)
def test_lempel_ziv_equals_searching_word_by_word(row):
    values = np.array(row, dtype=np.int64)
    assert dictionary_entropy(values) == same(slow_dictionary(row))
    assert kontoyiannis_entropy(values) == same(slow_kontoyiannis(row))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), orders)
def test_without_repeats_the_length_is_all(lengths, order):
    rows = [list(range(length)) for length in lengths]
    assert without_repeats(np.array(lengths), order).tolist() == same(apen(rows, order))


@given(users)
def test_repeats_are_counted_user_by_user(rows):
    found = measures(*jagged(rows), orders=[1], lempel_ziv_tokens=None)["repeats"]
    assert repeated_items(*jagged(rows)).tolist() == [len(row) - len(set(row)) for row in rows]
    again = [len(row) - len(set(row)) for row in rows]
    assert found["users"] == sum(map(bool, again))
    assert found["share"] == (approx(sum(again) / sum(map(len, rows))) if any(rows) else None)


@given(users, st.sets(orders, min_size=1), st.integers(1, 60))
def test_measures_are_the_functions_of_this_package(rows, wanted, limit):
    values, offsets = jagged(rows)
    found = measures(values, offsets, orders=sorted(wanted), lempel_ziv_tokens=limit)
    assert set(found["approximate_entropy"]) == set(map(str, wanted))
    for order in wanted:
        of_order, entropies = found["approximate_entropy"][str(order)], approximate_entropy(values, offsets, order)
        assert of_order["undefined_users"] == np.isnan(entropies).sum()
        for name, weights in (("user_mean", np.ones(len(rows))), ("token_weighted", np.diff(offsets))):
            signed, absolute = (token_weighted(each, weights) for each in (entropies, np.abs(entropies)))
            expected = {"signed": signed, "absolute": absolute}
            nothing = np.isnan(entropies).all()
            assert of_order[name] == (dict.fromkeys(expected) if nothing else approx(expected))
    read = found["lempel_ziv"]
    assert read["tokens"] == offsets[read["users"]]
    assert read["tokens"] <= limit or read["users"] == 1
    assert read["cut"] == (read["tokens"] < found["tokens"])

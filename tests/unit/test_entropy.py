"""Entropy measures: the known values of the literature and of the closed forms, edge rules, and one real dataset."""

import json
import lzma
import os
from pathlib import Path

import numpy as np
import pytest

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
)
from seqrepro.data.compression import (
    chunk_mean,
    dictionary_entropy,
    kontoyiannis_entropy,
    shannon_bits,
    zlib_ratio,
)
from seqrepro.data.entropy import last_items, measures
from seqrepro.errors import InputError

NIST = [int(bit) for bit in "0100110101"]
README = [1, 2, 1, 2, 3]  # the example input of the authors' package


def jagged(rows):
    values = np.array([item for row in rows for item in row], dtype=np.int64)
    return values, np.cumsum([0, *map(len, rows)])


def of_one(series, order, **options):
    return float(approximate_entropy(*jagged([series]), order, **options)[0])


def no_repeats(n, m):
    return -np.log((n - m + 1) / (n - m))


def entropy_rate(flip):
    return -flip * np.log(flip) - (1 - flip) * np.log(1 - flip)


@pytest.mark.parametrize(
    ("series", "order", "expected"),
    [
        ([1, 2] * 25, 2, 0.0002082610),
        ([1, 2] * 25, 1, -0.0002082610),
        ([1, 2, 3] * 20, 2, -0.0000066614),
        (README, 2, 0.0588915178),
        (README * 4, 2, 0.2882547622),
        (NIST, 3, 0.2130421977),
    ],
)
def test_known_values_of_symbols(series, order, expected):
    assert of_one(series, order) == pytest.approx(expected, abs=6e-11)
    assert approximate_entropy_direct(series, order, 0.2) == pytest.approx(expected, abs=6e-11)


@pytest.mark.parametrize("n", [2, 3, 10, 77])
@pytest.mark.parametrize("order", [0, 1])
def test_a_constant_sequence_has_none_exactly(n, order):
    assert of_one([5] * n, order) == 0.0
    assert approximate_entropy_direct([5] * n, order, 3.5) == 0.0


@pytest.mark.parametrize(
    ("n", "order", "printed"),
    [
        (25, 1, -0.040822),
        (25, 2, -0.042560),
        (25, 4, -0.046520),
        (25, 8, -0.057158),
        (50, 2, -0.020619),
        (100, 2, -0.010152),
        (150, 2, -0.006734),
        (200, 2, -0.005038),
    ],
)
def test_without_a_repeated_item_it_is_a_function_of_the_length(n, order, printed):
    series = np.random.default_rng(n).permutation(n) + 1
    assert of_one(series, order) == pytest.approx(no_repeats(n, order), abs=1e-13)
    assert of_one(series, order) == pytest.approx(printed, abs=5.1e-7)


def test_known_values_of_numbers():
    assert approximate_entropy_direct([85, 80, 89] * 17, 2, 3) == pytest.approx(-1.09965e-05, abs=6e-11)
    assert approximate_entropy_direct([85, 80, 89] * 17, 2, 3, authors=True) == pytest.approx(1.09965e-05, abs=6e-11)
    ramp = np.arange(1000)
    assert approximate_entropy_direct(ramp, 2, 0.2 * ramp.std()) == pytest.approx(-0.0009661, abs=5.1e-8)
    noise = np.random.default_rng(42).random(1000)
    assert approximate_entropy_direct(noise, 2, 0.2 * noise.std()) == pytest.approx(1.8177169675974412, abs=1e-12)


@pytest.mark.parametrize(
    ("rate", "printed"),
    [(3.5, (0.0, 0.0, 0.0)), (3.6, (0.2296, 0.2265, 0.2285)), (3.8, (0.3695, 0.4207, 0.4425))],
    ids=str,
)
def test_the_logistic_map(rate, printed):
    series = [0.1]
    for _ in range(3999):
        series.append(rate * series[-1] * (1 - series[-1]))
    found = [approximate_entropy_direct(series[1000 : 1000 + n], 2, 0.025) for n in (300, 1000, 3000)]
    assert found == pytest.approx(printed, abs=5.1e-5)


def test_the_circular_variant_of_nist():
    phis = phi(*jagged([NIST]), 4, circular=True)[:, 0]
    assert phis[[3, 4]] == pytest.approx([-1.6434177198, -1.8343719703], abs=6e-11)
    assert of_one(NIST, 3, circular=True) == pytest.approx(0.1909542505, abs=6e-11)


@pytest.mark.parametrize(
    ("flip", "printed"), [(0.1, (0.32658, 0.32658)), (0.3, (0.61088, 0.61088)), (0.5, (0.69309, 0.69303))]
)
def test_a_markov_chain_of_two_states_tends_to_its_entropy_rate(flip, printed):
    """The standard deviation of the mean surprise of 20,000 steps is sqrt(p (1-p) / 20000) |ln(p / (1-p))|."""
    flips = np.random.default_rng(3).random((20, 20_000)) < flip
    phis = phi(*jagged(np.cumsum(flips, axis=1) % 2), 3)
    spread = np.sqrt(flip * (1 - flip) / 20_000) * abs(np.log(flip / (1 - flip)))
    bias = 2 / 20_000  # the plug-in entropy is low by (free parameters) / 2n, here 2 and 4 of them
    for order, other in zip((1, 2), printed, strict=True):
        found = at_order(phis, order)
        assert found.mean() == pytest.approx(entropy_rate(flip), abs=bias + 4 * spread / np.sqrt(20))
        assert other == pytest.approx(found.mean(), abs=4 * max(spread, found.std(ddof=1)))


@pytest.mark.parametrize(
    ("k", "printed"),
    [
        (2, {100: 0.6804, 1000: 0.6918, 5000: 0.6919}),
        (4, {100: 1.1912, 1000: 1.3690, 5000: 1.3811}),
        (10, {100: 0.5357, 1000: 1.7559, 5000: 2.2160}),
    ],
)
def test_independent_uniform_items_tend_to_the_logarithm_of_their_number(k, printed):
    """The printed values are one draw each: they lie where 40 of ours do."""
    means = []
    for n, other in printed.items():
        found = approximate_entropy(*jagged(np.random.default_rng(k * n).integers(0, k, (40, n))), 2)
        assert other == pytest.approx(found.mean(), abs=4 * found.std(ddof=1))
        means.append(found.mean())
    assert sorted(means) == means
    assert means[-1] < np.log(k)


SYMBOLS = (1, 2, 3, 5, 10, 20, 50, 200, 1000, 100_000)
COLLAPSE = {
    1: (0, 0.6719, 1.0362, 1.3593, 1.3887, 1.0341, 0.5462, 0.1403, 0.0153, -0.0199),
    2: (0, 0.6456, 0.8661, 0.6924, 0.2460, 0.0557, -0.0082, -0.0199, -0.0206, -0.0206),
}


@pytest.mark.parametrize("order", COLLAPSE)
def test_short_windows_are_not_monotone_in_randomness(order):
    """Both means are over 200 draws of 50 items: their difference has twice the variance of one."""
    generator = np.random.default_rng(6)
    found = np.array([approximate_entropy(*jagged(generator.integers(0, k, (200, 50))), order) for k in SYMBOLS])
    allowed = 4 * np.sqrt(2 / 200) * found.std(axis=1, ddof=1) + 5.1e-5
    assert (np.abs(found.mean(axis=1) - COLLAPSE[order]) <= allowed).all()
    assert 0 < found.mean(axis=1).argmax() < 5


def test_users_too_short_are_undefined_and_left_out():
    values, offsets = jagged([[1], [1, 2], [], README])
    entropies = approximate_entropy(values, offsets, 2)
    assert np.isnan(entropies).tolist() == [True, True, True, False]
    assert np.isnan(approximate_entropy(values, offsets, 0)).tolist() == [False, False, True, False]
    assert user_mean(entropies) == pytest.approx(0.0588915178, abs=6e-11)
    assert authors_mean(entropies) == pytest.approx(0.0588915178 / 4, abs=6e-11)
    assert np.isnan(user_mean(entropies[:3]))


def test_aggregations_by_hand():
    rows = [[1, 1, 2], [2, 1, 1, 1]]
    values, offsets = jagged(rows)
    # 2-grams 11 12 | 21 11 11: L_1 = 7 with counts 5 and 2, L_2 = 5 with counts 3, 1 and 1
    pooled = -(0.6 * np.log(0.6) + 0.4 * np.log(0.2)) + 5 / 7 * np.log(5 / 7) + 2 / 7 * np.log(2 / 7)
    assert at_order(phi(values, offsets, 2, pooled=True), 1) == pytest.approx([pooled], abs=1e-14)
    # and 22 at the border: L_2 = 6
    concat = -(np.log(1 / 2) / 2 + np.log(1 / 6) / 2) + 5 / 7 * np.log(5 / 7) + 2 / 7 * np.log(2 / 7)
    assert approximate_entropy(values, concatenated(offsets), 1) == pytest.approx([concat], abs=1e-14)
    entropies = approximate_entropy(values, offsets, 1)
    assert token_weighted(entropies, np.diff(offsets)) == pytest.approx((3 * entropies[0] + 4 * entropies[1]) / 7)
    assert repeated_items(*jagged([[1, 2, 1], [1, 2, 3], [], [2, 2, 2]])).tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize("tolerance", [1, 2.0, -1, float("nan")])
def test_names_are_not_numbers(tolerance):
    with pytest.raises(InputError, match="expected 0 <= r < 1"):
        of_one(README, 2, tolerance=tolerance)


@pytest.mark.parametrize("order", [-1, -2])
def test_a_negative_order_is_refused(order):
    with pytest.raises(InputError, match=f"order: found {order}"):
        of_one(README, order)
    with pytest.raises(InputError, match=f"found {order}"):
        approximate_entropy_direct(README, order, 0)
    with pytest.raises(InputError, match=f"order: found {order}"):
        measures(*jagged([README]), orders=[order], lempel_ziv_tokens=None)


def test_a_negative_tolerance_is_the_authors_alone():
    with pytest.raises(InputError, match="found 2, -1"):
        approximate_entropy_direct(README, 2, -1)
    assert approximate_entropy_direct(README, 2, -1, authors=True) == pytest.approx(0, abs=1e-14)
    assert approximate_entropy_direct([1, 2], 2, -1, authors=True) == pytest.approx(10 * np.log(10))
    assert approximate_entropy_direct([1], 2, -1, authors=True) == 0


def test_last_items():
    values, offsets = last_items(*jagged([[1, 2, 3], [], [4], [5, 6]]), 2)
    assert (values.tolist(), offsets.tolist()) == ([2, 3, 4, 5, 6], [0, 2, 2, 3, 5])
    with pytest.raises(InputError, match="window: found 0"):
        last_items(values, offsets, 0)


@pytest.mark.parametrize(
    ("series", "expected", "digits"),
    [([7] * 50, 0.28978, 5), (range(50), np.log(50), 12), (README, 1.149599, 6)],
    ids=["constant", "distinct", "readme"],
)
def test_known_values_of_the_authors_real_entropy(series, expected, digits):
    assert dictionary_entropy(np.array(series)) == pytest.approx(expected, abs=0.51 * 10**-digits)


def test_the_kontoyiannis_estimator_by_hand():
    # 1 2 1 2 3: new, new, 12 known and 123 not, 2 known and 23 not, new
    assert kontoyiannis_entropy(np.array(README)) == pytest.approx(5 * np.log(5) / (1 + 1 + 3 + 2 + 1))
    # 1 1 1 1: new; 11 is not in 1; 1 1 is in 1 1 and the end is reached: 2 + 1; 1 + 1
    assert kontoyiannis_entropy(np.array([1, 1, 1, 1])) == pytest.approx(4 * np.log(4) / (1 + 2 + 3 + 2))
    assert kontoyiannis_entropy(np.arange(50)) == pytest.approx(np.log(50))


def test_on_random_bits_the_estimator_comes_near_their_entropy_and_the_dictionary_does_not():
    bits = np.random.default_rng(1).integers(0, 2, 40_000)
    errors = [abs(kontoyiannis_entropy(bits[:n]) / np.log(2) - 1) for n in (400, 40_000)]
    assert errors[1] < min(0.01, errors[0])
    assert dictionary_entropy(bits) / np.log(2) > 1.1


@pytest.mark.parametrize("measure", [dictionary_entropy, kontoyiannis_entropy])
def test_repetition_costs_linear_time(measure):
    """Half a million equal items: looking at each Lambda_i in full would be ten billion steps."""
    assert measure(np.ones(500_000, dtype=np.int64)) < 1e-3


def test_shannon_and_zlib_over_whole_chunks():
    assert shannon_bits(np.array([1, 1, 2, 3])) == 1.5
    values = np.array([1, 2, 1, 1, 3])
    assert chunk_mean(values, shannon_bits, chunk=2) == 0.5
    assert np.isnan(chunk_mean(values, shannon_bits, chunk=6))
    random = np.random.default_rng(1).integers(0, 2**32, 20_000)
    assert zlib_ratio(random) == pytest.approx(1, abs=0.01)
    assert zlib_ratio(random % 2**16) < 0.8 < zlib_ratio(random % 2**28) < 1
    assert zlib_ratio(np.ones(10_000, dtype=np.int64)) < 0.01
    assert np.isnan(zlib_ratio(values[:0]))
    with pytest.raises(InputError, match="expected numbers of 4 bytes"):
        zlib_ratio(np.array([2**32]))


def test_measures_are_json_and_complete():
    rows = [README, [4, 5], [6]]
    values, offsets = jagged(rows)
    found = measures(values, offsets, orders=[0, 1, 2], lempel_ziv_tokens=6)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["users"], found["tokens"]) == (3, 8)
    by_order = found["approximate_entropy"]
    assert [by_order[m]["undefined_users"] for m in "012"] == [0, 1, 2]
    assert [by_order[m]["users_without_repeats"] for m in "012"] == [2, 1, 0]
    second = approximate_entropy(values, offsets, 1)
    assert by_order["1"]["user_mean"] == {
        "signed": pytest.approx(second[:2].mean()),
        "absolute": pytest.approx(np.abs(second[:2]).mean()),
    }
    assert by_order["1"]["authors"] == pytest.approx(np.abs(second[:2]).sum() / 3)
    assert by_order["0"]["pooled"] == by_order["0"]["concat"]
    assert by_order["0"]["pooled"]["signed"] == pytest.approx(found["shannon_bits"]["pooled"] * np.log(2))
    assert found["shannon_bits"]["chunk_mean"] is None
    lempel_ziv = found["lempel_ziv"]
    assert (lempel_ziv["users"], lempel_ziv["tokens"], lempel_ziv["cut"]) == (1, 5, True)
    assert lempel_ziv["authors"]["entropy"] == pytest.approx(1.149599, abs=5.1e-7)
    assert lempel_ziv["authors"]["reciprocal"] == pytest.approx(1 / 1.149599, abs=1e-6)


@pytest.mark.parametrize(("limit", "users"), [(None, 3), (8, 3), (7, 2), (5, 1), (4, 1)])
def test_lempel_ziv_reads_whole_users_and_at_least_one(limit, users):
    found = measures(*jagged([README, [4, 5], [6]]), orders=[1], lempel_ziv_tokens=limit)["lempel_ziv"]
    assert (found["users"], found["cut"]) == (users, users < 3)


def test_users_who_fill_the_window_by_their_share_of_repeats():
    """Five items each: none, a fifth and three fifths of them were there before; the last user is too short."""
    rows = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 1], [1, 2, 3, 4, 1], [1, 1, 1, 1, 2], [1, 1]]
    values, offsets = jagged(rows)
    found = measures(values, offsets, orders=[1], lempel_ziv_tokens=None)["approximate_entropy"]["1"]["by_repeats"]
    entropies = approximate_entropy(values, offsets, 1)
    assert found == [
        {"up_to": 0.0, "users": 2, "mean": pytest.approx(np.log(4 / 5)), "sd": pytest.approx(0, abs=1e-12)},
        {"up_to": 0.2, "users": 1, "mean": pytest.approx(entropies[2]), "sd": None},
        {"up_to": 0.6, "users": 1, "mean": pytest.approx(entropies[3]), "sd": None},
    ]


def test_nobody_gives_nulls():
    found = measures(*jagged([]), orders=[1], lempel_ziv_tokens=None)
    assert found["approximate_entropy"]["1"]["user_mean"] == {"signed": None, "absolute": None}
    assert found["lempel_ziv"]["authors"] == {"entropy": None, "reciprocal": None}
    assert found["zlib_ratio"]["pooled"] is None and found["repeats"] == {"users": 0, "share": None}


def test_borders_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="to the number of items, 5"):
        measures(np.array(README), np.array([0, 4]), orders=[1], lempel_ziv_tokens=None)


@pytest.mark.real_data
@pytest.mark.skipif("SEQREPRO_MIRROR" not in os.environ, reason="SEQREPRO_MIRROR is not set")
def test_ml_100k_last_50():
    """`concat` depends on how ties in time are broken, and on the order of users: here by item, and as they appear."""
    with lzma.open(Path(os.environ["SEQREPRO_MIRROR"]) / "ml-100k" / "u.data.xz", "rt") as lines:
        users, items, _, times = np.loadtxt(lines, dtype=np.int64, unpack=True)
    _, first, inverse, lengths = np.unique(users, return_index=True, return_inverse=True, return_counts=True)
    rows = np.lexsort((items, times, first[inverse]))
    lengths = lengths[np.argsort(first)]
    values, offsets = last_items(items[rows], np.concatenate([[0], np.cumsum(lengths)]), 50)
    found = measures(values, offsets, orders=[1, 2], lempel_ziv_tokens=None)["approximate_entropy"]
    shown = np.minimum(lengths, 50)
    for order, mean, concat in ((1, 0.026384, 3.5441), (2, 0.027203, 0.3192)):
        of_order = found[str(order)]
        assert of_order["users_without_repeats"] == 943
        assert of_order["user_mean"]["absolute"] == pytest.approx(mean, abs=5.1e-7)
        assert of_order["authors"] == pytest.approx(mean, abs=5.1e-7)
        assert of_order["user_mean"]["signed"] == pytest.approx(no_repeats(shown, order).mean(), abs=1e-13)
        assert of_order["without_repeats"] == pytest.approx(of_order["user_mean"], abs=1e-13)
        assert of_order["concat"]["signed"] == pytest.approx(concat, abs=5.1e-5)

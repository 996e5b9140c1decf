"""Approximate Entropy by two libraries: antropy (KD-tree) and EntropyHub. Both are absent from a plain installation."""

import numpy as np
import pytest

from seqrepro.data.approximate_entropy import approximate_entropy, approximate_entropy_direct

LENGTHS = (11, 12, 20, 50, 200)  # EntropyHub wants more than 10


def by_antropy(series, order, tolerance):
    antropy = pytest.importorskip("antropy", reason="antropy is not installed")
    return antropy.app_entropy(np.asarray(series, dtype=float), order=order, tolerance=tolerance)


def by_entropy_hub(series, order, tolerance):
    hub = pytest.importorskip("EntropyHub", reason="EntropyHub is not installed")
    return hub.ApEn(np.asarray(series, dtype=float), m=order, tau=1, r=tolerance)[0][-1]


# antropy has no order below 2
ORACLES = [(by_antropy, 2), (by_antropy, 3), (by_antropy, 4), *((by_entropy_hub, order) for order in (1, 2, 3, 4))]
oracles = pytest.mark.parametrize(("oracle", "order"), ORACLES)


@oracles
@pytest.mark.parametrize("symbols", [2, 5, 1000])
def test_symbols(oracle, order, symbols):
    generator = np.random.default_rng(order)
    rows = [generator.integers(1, symbols + 1, n) for n in LENGTHS]
    ours = approximate_entropy(np.concatenate(rows), np.cumsum([0, *LENGTHS]), order)
    assert ours == pytest.approx([oracle(row, order, 0.2) for row in rows], abs=1e-10)


@oracles
def test_a_sequence_without_repeats_has_the_same_negative_value(oracle, order):
    series = np.random.default_rng(1).permutation(50)
    ours = approximate_entropy(series, np.array([0, 50]), order)[0]
    assert ours < 0
    assert ours == pytest.approx(oracle(series, order, 0.2), abs=1e-10)


@oracles
@pytest.mark.parametrize("share", [0.1, 0.2, 1.0])
def test_numbers(oracle, order, share):
    series = np.cumsum(np.random.default_rng(order).normal(size=300))
    tolerance = share * series.std()
    ours = approximate_entropy_direct(series, order, tolerance)
    assert ours == pytest.approx(oracle(series, order, tolerance), abs=1e-10)


@oracles
def test_known_values(oracle, order):
    for series, tolerance in (([85, 80, 89] * 17, 3), (np.arange(200), 11.5), ([1, 2, 1, 2, 3] * 4, 0.2)):
        ours = approximate_entropy_direct(series, order, tolerance)
        assert ours == pytest.approx(oracle(series, order, tolerance), abs=1e-10)

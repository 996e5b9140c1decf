"""Data of the kind `multiset`: the order carries nothing, and the best predictor reaches the stated truth.

Means are compared within four standard errors of the sample, frequencies by a chi-square test; the seed is fixed.
"""

import numpy as np
import pytest
from scipy import stats

from seqrepro.data.synthetic import markov_order_k, multiset
from seqrepro.data.synthetic.truth import best
from seqrepro.errors import InputError

LAW = {"items": 60, "affinity": 0.7, "exponent": 0.8}
SETTING = {"users": 8000, "types": 3, "mean_length": 8.0, "seed": 21, **LAW}
LEAST_P = 1e-3


@pytest.fixture(scope="module")
def generated():
    return multiset.generate(**SETTING)


@pytest.fixture(scope="module")
def queries(generated):
    """Counts of the blocks in each history, its length, and the target, which is the user's last item."""
    items, lengths = generated.items.to_numpy(), np.bincount(generated.users.to_numpy())[1:]
    ends = np.cumsum(lengths) - 1
    return multiset.block_counts(np.delete(items, ends), lengths - 1, 3), lengths - 1, items[ends]


def agrees(sample, expected):
    return abs(sample.mean() - expected) <= 4 * sample.std() / np.sqrt(len(sample))


def asymmetry_p(first, second):
    """Bowker's test that (first, second) has the same law as (second, first)."""
    table = np.zeros((first.max() + 1, first.max() + 1))
    np.add.at(table, (first, second), 1)
    above = np.triu_indices(len(table), 1)
    total, difference = (table + table.T)[above], (table - table.T)[above]
    filled = total > 0
    return stats.chi2.sf((difference[filled] ** 2 / total[filled]).sum(), filled.sum())


def test_the_best_predictor_reaches_the_truth(queries):
    counts, lengths, targets = queries
    law = multiset.predictive(counts, 60, 0.7, 0.8)
    chance = law[np.arange(len(targets)), targets - 1]
    rank = 1 + (law > chance[:, None]).sum(axis=1)  # ties: blocks of the same count, broken towards the target
    tied = (law == chance[:, None]).sum(axis=1)
    hits = np.clip((11 - rank) / tied, 0, 1)
    truths = {n: multiset.truth(60, 3, 0.7, 0.8, n) for n in np.unique(lengths).tolist()}
    nll_truth = np.array([truths[n].nll for n in lengths.tolist()])
    hit_truth = np.array([truths[n].hit_rate for n in lengths.tolist()])
    assert agrees(-np.log(chance) - nll_truth, 0.0)
    assert agrees(hits - hit_truth, 0.0)


def test_the_exact_truth_is_the_mean_over_simulated_histories():
    random = np.random.default_rng(4)
    blocks = np.where(random.random((20_000, 6)) < 0.7, 0, random.integers(1, 3, (20_000, 6)))
    counts = np.stack([(blocks == k).sum(axis=1) for k in range(3)], axis=1)
    law = multiset.predictive(counts, 60, 0.7, 0.8)
    each = [best(row) for row in law[:4000]]
    truth = multiset.truth(60, 3, 0.7, 0.8, 6)
    for name in ("nll", "hit_rate", "ndcg"):
        assert agrees(np.array([getattr(one, name) for one in each]), getattr(truth, name))


def test_the_predictor_is_bayes_rule_over_the_types():
    history = np.array([4, 5, 1, 4])
    places = multiset.place_law(60, 3, 0.8)
    items = np.arange(60)
    given = np.stack([places[items // 3] * np.where(items % 3 == z, 0.7, 0.15) for z in range(3)])
    posterior = given[:, history - 1].prod(axis=1)
    expected = posterior / posterior.sum() @ given
    counts = multiset.block_counts(history, np.array([4]), 3)
    assert counts.tolist() == [[3, 1, 0]]
    assert np.allclose(multiset.predictive(counts, 60, 0.7, 0.8)[0], expected, atol=1e-14)


def test_all_orders_are_equally_likely(generated):
    items, lengths = generated.items.to_numpy() - 1, np.bincount(generated.users.to_numpy())[1:]
    ends = np.cumsum(lengths)
    for first, second in ((ends - lengths, ends - 1), (ends - 2, ends - 1), (ends - lengths, ends - lengths + 1)):
        assert asymmetry_p(items[first] % 3, items[second] % 3) > LEAST_P
        assert asymmetry_p(items[first], items[second]) > LEAST_P


def test_a_chain_would_fail_that_test():
    made = markov_order_k.generate(8000, 60, 1, 3, 0.5, 0.1, 8.0, 21)
    ends = np.flatnonzero(np.diff(made.users.to_numpy(), append=0))
    items = made.items.to_numpy() - 1
    assert asymmetry_p(items[ends - 1], items[ends]) < 1e-100


def test_items_have_the_popularity_of_the_law(generated):
    first = generated.items.to_numpy()[np.flatnonzero(np.diff(generated.users.to_numpy(), prepend=0))]
    expected = multiset.predictive(np.zeros((1, 3), dtype=np.int64), 60, 0.7, 0.8)[0]
    assert stats.chisquare(np.bincount(first, minlength=61)[1:], expected * len(first)).pvalue > LEAST_P


def test_longer_histories_are_worth_more_up_to_the_known_type():
    truths = [multiset.truth(60, 3, 0.7, 0.8, n) for n in (0, 1, 3, 10, 60)]
    known = multiset.truth_of_known_type(60, 3, 0.7, 0.8)
    nll = [truth.nll for truth in truths]
    assert nll == sorted(nll, reverse=True)
    assert nll[0] > nll[-1] > known.nll
    assert np.isclose(nll[-1], known.nll, atol=1e-3)
    assert np.isclose(truths[-1].hit_rate, known.hit_rate, atol=1e-3)
    popularity = multiset.predictive(np.zeros((1, 3), dtype=np.int64), 60, 0.7, 0.8)
    assert np.isclose(truths[0].nll, best(popularity).nll)
    assert np.isclose(truths[0].hit_rate, best(popularity).hit_rate)


def test_lengths_are_independent_of_type_and_target(generated, queries):
    _, lengths, targets = queries
    long = (lengths > np.median(lengths)).astype(int)
    table = np.zeros((2, 60))
    np.add.at(table, (long, targets - 1), 1)
    assert stats.chi2_contingency(table).pvalue > LEAST_P
    assert lengths.min() == 2
    assert agrees(lengths + 1, 8.0)


def test_more_counts_than_can_be_summed_over():
    with pytest.raises(InputError, match=r"history: found \d.* counts of 200 items, expected at most 200,000"):
        multiset.truth(60, 6, 0.7, 0.8, 200)

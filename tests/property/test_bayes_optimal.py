"""The Bayes-optimal predictor on generated data of every kind: its laws, its ranking, and the truth that is stated."""

from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.data.synthetic import gap_dependent, look_alike, markov, markov_order_k, multiset, noisy
from seqrepro.data.synthetic.law import Seen, generate, next_item, rows
from seqrepro.data.synthetic.truth import best
from seqrepro.evaluation.metrics import user_values
from seqrepro.evaluation.ranking import rank_all
from seqrepro.models.bayes_optimal import build

CHAIN = {"items": 30, "successors": 4, "decay": 0.6, "smoothing": 0.1}
KINDS = {
    "markov": {"items": 30, "concentration": 0.3, "mean_length": 8},
    "markov_order_k": {**CHAIN, "order": 3, "memory": "oldest", "mean_length": 8},
    "gap_dependent": {**CHAIN, "classes": 3, "gaps": "informative", "mean_length": 8},
    "multiset": {"items": 30, "types": 3, "affinity": 0.8, "exponent": 1, "mean_length": 8},
    "noisy": {**CHAIN, "noise": 0.2, "mean_length": 8},
    "look_alike": {"items": 30, "like": "yelp", "popularity": {"exponent": 1, "shift": 0.1}},
}


def told(kind, seed=1, users=4000, **changes):
    return {"kind": kind, "users": users, "seed": seed, **KINDS[kind], **changes}


def last_targets(generator):
    """Histories without the last item of each user, and those items."""
    made = generate(generator)
    lengths = torch.bincount(torch.from_numpy(made.users.to_numpy().copy()))[1:]
    users, items = torch.arange(1, len(lengths) + 1), torch.from_numpy(made.items.to_numpy().copy())
    whole = Sequences(users, items, offsets_of(lengths), torch.from_numpy(made.timestamps), made.n_items)
    return whole.head(lengths - 1), items[offsets_of(lengths)[1:] - 1]


def measured(generator):
    """hit_rate@10 and ndcg@10 of each user, [U] each, history not masked."""
    histories, targets = last_targets(generator)
    model = build({"family": "bayes_optimal", "generator": generator}, generator["items"])
    ranks = rank_all(model, histories, targets, likelihood=False)
    assert torch.equal(ranks.unmasked_best, ranks.unmasked_worst)  # no ties
    return [
        user_values(f"{name}@10", ranks.unmasked_worst, generator["items"]).numpy() for name in ("hit_rate", "ndcg")
    ]


def stated(kind, generator):
    """What the module states for the last item of each user: exact."""
    law = {key: generator.get(key) for key in ("items", "successors", "decay", "smoothing")}
    match kind:
        case "markov":
            transitions = markov.markov_transitions(generator["items"], generator["concentration"], generator["seed"])
            return best(transitions, markov.stationary(transitions))
        case "markov_order_k":
            return markov_order_k.truth(**law)
        case "gap_dependent":
            return gap_dependent.truth(**law, classes=3, gaps="informative")["with_gap"]
        case "look_alike":
            return look_alike.truth(generator["items"], generator["popularity"])
    raise AssertionError(kind)


def assert_within_error(values, expected, standard_errors=4):
    assert abs(values.mean() - expected) < standard_errors * values.std() / sqrt(len(values))


@pytest.mark.parametrize("kind", ["markov", "markov_order_k", "gap_dependent", "look_alike"])
def test_it_reaches_the_stated_truth(kind):
    generator = told(kind)
    hits, gains = measured(generator)
    truth = stated(kind, generator)
    assert_within_error(hits, truth.hit_rate)
    assert_within_error(gains, truth.ndcg)


def test_it_reaches_the_truth_of_each_length_of_a_multiset():
    generator = told("multiset")
    lengths = last_targets(generator)[0].lengths.numpy()
    truths = {n: multiset.truth(30, 3, 0.8, 1, n) for n in np.unique(lengths).tolist()}
    for values, name in zip(measured(generator), ("hit_rate", "ndcg"), strict=True):
        assert_within_error(values - [getattr(truths[n], name) for n in lengths.tolist()], 0)


def test_it_lies_between_the_bounds_of_noisy_data():
    truth = noisy.truth(**CHAIN, noise=0.2)
    for values, name in zip(measured(told("noisy")), ("hit_rate", "ndcg"), strict=True):
        error = values.std() / sqrt(len(values))
        assert getattr(truth["last_item"], name) - 4 * error < values.mean() < getattr(truth["bound"], name) + 4 * error


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_laws_are_laws_and_the_ranking_follows_them(kind, seed):
    generator = told(kind, seed, users=40)
    histories, _ = last_targets(generator)
    seen = Seen(histories.values.numpy(), histories.lengths.numpy(), histories.timestamps.numpy())
    laws = next_item(generator, seen)
    assert laws.shape == (40, 30)
    assert np.all(laws >= 0)
    assert np.allclose(laws.sum(axis=1), 1)
    scores = build({"family": "bayes_optimal", "generator": generator}, 30).score(histories)[:, 1:]
    assert all(len(set(row)) == 30 for row in scores.tolist())
    by_score = np.take_along_axis(laws, scores.argsort(dim=1, descending=True).numpy(), axis=1)
    assert np.all(np.diff(by_score, axis=1) <= 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_history_gives_the_law_of_popularity(kind):
    generator = told(kind, users=20_000)
    law = next_item(generator, rows(np.zeros((1, 0), dtype=np.int64)))[0]
    assert np.isclose(law.sum(), 1)
    targets = last_targets(generator)[1].numpy()
    found = np.bincount(targets, minlength=31)[1:] / len(targets)
    assert np.all(np.abs(found - law) < 5 * np.sqrt(law / len(targets)) + 1e-4)


def test_one_item_tells_what_a_row_of_one_item_tells():
    generator = told("multiset", users=20_000)
    histories, targets = last_targets(generator)
    last = Seen(histories.values.numpy(), histories.lengths.numpy()).last(1)
    law = next_item(generator, rows(last))
    block = (last[:, 0] - 1) % 3 == 0
    found = np.bincount(targets.numpy()[block], minlength=31)[1:] / block.sum()
    assert np.all(np.abs(found - law[block].mean(axis=0)) < 5 * np.sqrt(found / block.sum()) + 1e-3)


def test_what_is_last():
    seen = Seen(np.array([5, 6, 7, 8]), np.array([3, 0, 1]), np.array([10, 20, 50, 9]))
    assert seen.last(2).tolist() == [[6, 7], [0, 0], [0, 8]]
    assert seen.gaps()[0] == 30
    assert Seen(seen.items, seen.lengths).gaps() is None

"""Properties of all generated data, and of the truth computed from a law."""

import importlib
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrepro.data.synthetic import truth
from seqrepro.data.synthetic.look_alike import _first_different
from seqrepro.data.synthetic.multiset import _chances, _compositions

SEEDS = st.integers(0, 2**32)
SIZES = {"users": st.integers(1, 30), "items": st.integers(12, 40), "seed": SEEDS}
CHAINS = {
    **SIZES,
    "successors": st.integers(1, 3),
    "decay": st.floats(0.1, 1),
    "smoothing": st.floats(0, 1),
    "mean_length": st.floats(6, 20),
}
KINDS = {
    "markov": {**SIZES, "concentration": st.floats(0.1, 5), "mean_length": st.floats(5, 20)},
    "markov_order_k": {**CHAINS, "order": st.integers(1, 4), "memory": st.sampled_from(["joint", "oldest"])},
    "gap_dependent": {**CHAINS, "classes": st.integers(2, 4), "gaps": st.sampled_from(["informative", "noise"])},
    "multiset": {
        **SIZES,
        "items": st.integers(4, 12).map(lambda n: 3 * n),
        "types": st.just(3),
        "affinity": st.floats(0.4, 0.99),
        "exponent": st.floats(0, 2),
        "mean_length": st.floats(5, 20),
    },
    "noisy": {**CHAINS, "noise": st.floats(0, 0.9), "clean_targets": st.booleans()},
    "look_alike": {**SIZES, "like": st.sampled_from(["beauty", "yelp"]), "repeats": st.sampled_from([None, True])},
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_rows_are_well_formed_and_the_same_seed_gives_the_same_bytes(kind, data):
    generate = importlib.import_module(f"seqrepro.data.synthetic.{kind}").generate
    parameters = {name: data.draw(strategy, label=name) for name, strategy in KINDS[kind].items()}
    made, again = generate(**parameters), generate(**parameters)
    assert made.users.equals(again.users)
    assert made.items.equals(again.items)
    assert made.timestamps.tobytes() == again.timestamps.tobytes()
    users, items = made.users.to_numpy(), made.items.to_numpy()
    assert users.dtype == items.dtype == made.timestamps.dtype == np.int64
    assert np.array_equal(np.unique(users), np.arange(1, parameters["users"] + 1))
    assert np.all(np.diff(users) >= 0)
    assert items.min() >= 1
    assert items.max() <= made.n_items == parameters["items"]
    assert np.all(np.diff(made.timestamps)[np.diff(users) == 0] >= 1)
    assert np.bincount(users)[1:].min() >= 3


@given(st.lists(st.integers(0, 9), min_size=2, max_size=6).filter(any))
def test_the_best_ranking_is_the_best_of_all_orders(weights):
    law = np.array(weights) / sum(weights)
    found = truth.best(law)
    discounts = 1 / np.log2(np.arange(len(law)) + 2)
    assert np.isclose(found.ndcg, max(law[list(order)] @ discounts for order in permutations(range(len(law)))))
    assert np.isclose(found.hit_rate, 1.0)
    assert np.isclose(found.nll, -sum(p * np.log(p) for p in law.tolist() if p))


@given(st.integers(11, 60), SEEDS)
def test_no_other_ten_items_are_as_likely(items, seed):
    random = np.random.default_rng(seed)
    law = random.dirichlet(np.full(items, 0.5))
    other = law[random.choice(items, size=10, replace=False)].sum()
    assert truth.best(law).hit_rate >= other - 1e-12  # summed in another order
    assert np.isclose(truth.best(law).hit_rate, sorted(law, reverse=True)[9] + sum(sorted(law, reverse=True)[:9]))


@given(st.integers(0, 12), st.integers(2, 4), st.floats(0.55, 0.95))
def test_compositions_are_all_there_once_and_their_chances_sum_to_one(total, parts, affinity):
    found = _compositions(total, parts)
    assert np.all(found >= 0)
    assert np.all(found.sum(axis=1) == total)
    assert len(np.unique(found, axis=0)) == len(found)
    assert np.isclose(_chances(found, affinity).sum(), 1)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=8), SEEDS)
def test_first_different_items(lengths, seed):
    law = np.random.default_rng(seed).dirichlet(np.full(8, 2.0)) * 0.9 + 0.0125
    sizes = np.array(lengths)
    found = np.split(_first_different(law, sizes, np.random.default_rng(seed)), np.cumsum(sizes)[:-1])
    assert [len(set(row.tolist())) for row in found] == lengths
    assert all(set(row.tolist()) <= set(range(8)) for row in found)

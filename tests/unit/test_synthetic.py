"""Data of the kind `markov`: the same seed gives the same bytes, and the rows follow the stated law."""

import hashlib

import numpy as np
import pytest

from seqrepro.data.synthetic.markov import entropy_rate, generate, markov_transitions, stationary
from seqrepro.errors import InputError

SETTING = {"users": 4000, "items": 8, "mean_length": 25.0, "concentration": 0.5, "seed": 3}


@pytest.fixture(scope="module")
def generated():
    return generate(**SETTING)


@pytest.fixture(scope="module")
def truth():
    return markov_transitions(8, 0.5, 3)


def pairs(generated):
    users, items = generated.users.to_numpy(), generated.items.to_numpy() - 1
    same = users[1:] == users[:-1]
    return items[:-1][same], items[1:][same]


def lengths(generated):
    return np.bincount(generated.users.to_numpy())[1:]


def test_the_same_seed_gives_the_same_bytes(generated):
    again = generate(**SETTING)
    assert again.users.equals(generated.users)
    assert again.items.equals(generated.items)
    assert again.timestamps.tobytes() == generated.timestamps.tobytes()


def test_the_bytes_that_committed_results_were_computed_on():
    """The dataset `generated-markov` of params.yaml."""
    made = generate(users=600, items=100, mean_length=14, concentration=0.05, seed=20261122)
    digest = hashlib.sha256()
    for column in (made.users.to_numpy(), made.items.to_numpy(), made.timestamps):
        digest.update(column.dtype.str.encode() + column.tobytes())
    assert digest.hexdigest() == "0131f634dc109ab70ec9577724006cec7107e9ebe3bb6e0c0d5979836761578a"


def test_another_seed_gives_another_chain_and_other_rows(generated, truth):
    assert not generate(**SETTING | {"seed": 4}).items.equals(generated.items)
    assert not np.allclose(markov_transitions(8, 0.5, 4), truth)


def test_transition_frequencies_are_the_truth(generated, truth):
    last, following = pairs(generated)
    counts = np.zeros((8, 8))
    np.add.at(counts, (last, following), 1)
    n = counts.sum(axis=1, keepdims=True)
    standard_error = np.sqrt(truth * (1 - truth) / n)
    assert n.min() > 500
    assert np.all(np.abs(counts / n - truth) <= 4.5 * standard_error + 1e-9)


def test_the_first_item_and_the_last_have_the_stationary_law(generated, truth):
    ends = np.cumsum(lengths(generated))
    items = generated.items.to_numpy() - 1
    pi = stationary(truth)
    for rows in (ends - lengths(generated), ends - 1):
        shares = np.bincount(items[rows], minlength=8) / len(rows)
        assert np.all(np.abs(shares - pi) <= 4.5 * np.sqrt(pi * (1 - pi) / len(rows)) + 1e-9)


def test_the_best_predictor_reaches_the_entropy_rate(generated, truth):
    last, following = pairs(generated)
    nll = -np.log(truth[last, following])
    assert abs(nll.mean() - entropy_rate(truth)) < 0.02


def test_stationary_law_and_entropy_rate_in_closed_form():
    p, q = 0.3, 0.1
    transitions = np.array([[1 - p, p], [q, 1 - q]])
    assert np.allclose(stationary(transitions), [q / (p + q), p / (p + q)], atol=1e-12)
    binary = [-(x * np.log(x) + (1 - x) * np.log(1 - x)) for x in (p, q)]
    assert np.isclose(entropy_rate(transitions), (q * binary[0] + p * binary[1]) / (p + q))
    assert np.isclose(entropy_rate(np.full((5, 5), 0.2)), np.log(5))
    assert entropy_rate(np.roll(np.eye(4), 1, axis=1)) == 0.0


def test_a_chain_that_falls_apart_has_no_single_stationary_law():
    with pytest.raises(InputError, match="over 2 items falls apart"):
        stationary(np.eye(2))


def test_a_small_concentration_makes_few_likely_successors():
    sparse, flat = (markov_transitions(100, a, 0) for a in (0.02, 50.0))
    assert np.allclose(sparse.sum(axis=1), 1)
    assert np.median(sparse.max(axis=1)) > 0.3
    assert flat.max() < 0.03


def test_lengths_start_at_three_and_have_the_mean_that_was_asked_for(generated):
    found = lengths(generated)
    assert found.min() == 3
    assert abs(found.mean() - 25.0) < 4 * found.std() / np.sqrt(len(found))
    assert lengths(generate(50, 5, 3.0, 1.0, 0)).tolist() == [3] * 50


def test_timestamps_are_integers_that_increase(generated):
    users, times = generated.users.to_numpy(), generated.timestamps
    assert times.dtype == np.int64
    steps = np.diff(times)[users[1:] == users[:-1]]
    assert steps.min() >= 1
    assert abs(steps.mean() - 86_400) < 4 * 86_400 / np.sqrt(len(steps))


def test_the_chain_does_not_depend_on_the_number_of_users(truth):
    last, following = pairs(generate(**SETTING | {"users": 2, "mean_length": 2000.0}))
    assert np.all(truth[last, following] > 0)
    nll = -np.log(truth[last, following])
    assert nll.mean() < entropy_rate(truth) + 0.2


def test_every_item_is_in_the_catalogue_even_if_nobody_chose_it():
    assert generate(2, 500, 3.0, 0.1, 0).n_items == 500

"""Data of the kind `look_alike`: the stated laws, and the real datasets that they were fitted to."""

from itertools import permutations
from typing import get_args

import numpy as np
import pytest
from scipy import stats

from seqrepro.config.generators import LookAlikeGenerator
from seqrepro.data.synthetic.look_alike import LIKE, generate, item_law, length_law, predictive, rank_law, truth
from seqrepro.errors import InputError

LEAST_P = 1e-3
STEEP = {"exponent": 1.0, "shift": 0.1}
THREE = {"shortest": 3, "longest": 3, "mu": 0.0, "sigma": 1.0}
# of the real 5-cores: mean and median length, Gini coefficient of item popularity, share of the top tenth of items
REAL = {
    "beauty": (22_363, 12_101, 8.88, 6, 0.499, 0.428),
    "ml-1m": (6_040, 3_416, 165.5, 96, 0.603, 0.422),
    "ml-100k": (943, 1_349, 105.3, 64, 0.550, 0.370),
    "yelp": (30_431, 20_033, 10.40, 7, 0.457, 0.375),
}


def lengths_of(generated):
    return np.bincount(generated.users.to_numpy())[1:]


def test_the_names_are_those_of_the_configuration():
    assert set(get_args(LookAlikeGenerator.model_fields["like"].annotation)) == set(LIKE) == set(REAL)


@pytest.mark.parametrize("name", LIKE)
def test_the_law_of_lengths_is_that_of_the_real_dataset(name):
    _, items, mean, median, *_ = REAL[name]
    law = length_law(LIKE[name]["lengths"], items, repeats=True)
    assert abs(np.arange(len(law)) @ law / mean - 1) < 0.002
    assert abs(np.searchsorted(np.cumsum(law), 0.5) / median - 1) < 0.11


@pytest.mark.parametrize("name", LIKE)
def test_popularity_is_near_that_of_the_real_dataset(name):
    users, items, *_, gini, top_tenth = REAL[name]
    made = generate(users, items, seed=1, like=name)
    counts = np.sort(np.bincount(made.items.to_numpy(), minlength=items + 1)[1:])
    shares = counts / counts.sum()
    assert abs((2 * np.arange(items) + 1 - items) @ shares / items - gini) < 0.03
    assert abs(shares[-(items // 10) :].sum() - top_tenth) < 0.03


@pytest.mark.parametrize("name", LIKE)
def test_lengths_follow_the_stated_law(name):
    lengths = lengths_of(generate(20_000, 6000, seed=3, like=name, repeats=True))
    law = length_law(LIKE[name]["lengths"], 6000, repeats=True)
    assert lengths.min() == LIKE[name]["lengths"]["shortest"]
    seen, expected = np.bincount(lengths, minlength=len(law)), law * len(lengths)
    frequent = expected >= 5
    seen, expected = (np.append(x[frequent], x[~frequent].sum()) for x in (seen, expected))
    assert stats.chisquare(seen, expected).pvalue > LEAST_P


def test_with_repeats_items_are_independent_draws_whatever_the_length():
    made = generate(20_000, 200, seed=5, like="yelp", popularity=STEEP)
    law, items = item_law(200, 5, STEEP), made.items.to_numpy()
    assert stats.chisquare(np.bincount(items, minlength=201)[1:], law * len(items)).pvalue > LEAST_P
    nll = -np.log(law[items - 1])
    best = np.isin(items - 1, np.argsort(-law)[:10])
    reached = truth(200, STEEP)
    for sample, expected in ((nll, reached.nll), (best, reached.hit_rate)):
        assert abs(sample.mean() - expected) <= 4 * sample.std() / np.sqrt(len(sample))
    lengths = lengths_of(made)
    table = np.zeros((2, 200))
    np.add.at(table, ((lengths > 7).astype(int), items[np.cumsum(lengths) - 1] - 1), 1)
    assert stats.chi2_contingency(table).pvalue > LEAST_P


def test_without_repeats_the_next_item_is_drawn_from_what_is_left():
    made = generate(60_000, 6, seed=2, like="beauty", popularity=STEEP, lengths=THREE)
    triples = made.items.to_numpy().reshape(-1, 3)
    law = item_law(6, 2, STEEP)
    expected = {
        (a, b, c): law[a] * law[b] / (1 - law[a]) * law[c] / (1 - law[a] - law[b])
        for a, b, c in permutations(range(6), 3)
    }
    found = np.array([np.count_nonzero((triples == np.array(triple) + 1).all(axis=1)) for triple in expected])
    assert found.sum() == 60_000
    assert stats.chisquare(found, np.array(list(expected.values())) * 60_000).pvalue > LEAST_P


def test_the_law_of_what_is_left():
    law = np.array([0.5, 0.3, 0.2])
    seen = np.array([[False, False, False], [True, False, False], [True, True, False]])
    assert np.allclose(predictive(law, seen), [[0.5, 0.3, 0.2], [0, 0.6, 0.4], [0, 0, 1]])


@pytest.mark.parametrize("name", ["beauty", "ml-1m", "ml-100k"])
def test_nobody_repeats_an_item_and_no_sequence_exceeds_half_the_catalogue(name):
    made = generate(500, 300, seed=0, like=name)
    users, items = made.users.to_numpy(), made.items.to_numpy()
    assert len(np.unique(users * 301 + items)) == len(items)
    assert lengths_of(made).max() <= 150


def test_repeats_can_be_had_or_forbidden():
    again = generate(500, 60, seed=0, like="beauty", repeats=True)
    never = generate(500, 60, seed=0, like="yelp", repeats=False)
    distinct = [len(np.unique(made.users.to_numpy() * 61 + made.items.to_numpy())) for made in (again, never)]
    assert distinct[0] < len(again)
    assert distinct[1] == len(never)


def test_the_rank_of_an_item_does_not_follow_from_its_number():
    law = item_law(1000, 3, STEEP)
    assert np.array_equal(np.sort(law)[::-1], rank_law(1000, STEEP))
    assert stats.spearmanr(np.arange(1000), law).pvalue > LEAST_P


def test_a_catalogue_that_is_too_small():
    with pytest.raises(InputError, match=r"generator.items: found 30, expected 36 or more"):
        generate(10, 30, seed=0, like="ml-1m")


def test_a_law_that_is_too_steep():
    with pytest.raises(InputError, match=r"generator.popularity: 5 users still lack items"):
        generate(5, 400, seed=0, like="ml-1m", popularity={"exponent": 30.0, "shift": 0.0})

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from made_data import sequences_of
from seqrepro.evaluation.exposure import HEAD_SHARE, MEASURES, exposure, popularity_percentile, tail_membership
from seqrepro.evaluation.topk import top_all, top_items
from seqrepro.models.popularity import Popularity

FEW_VALUES = st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5, 2.0])  # many ties


@st.composite
def cases(draw):
    """Scores [U, V+1] and histories; a history may hold every item."""
    n_items, n_users = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    row = st.lists(FEW_VALUES, min_size=n_items + 1, max_size=n_items + 1)
    scores = draw(st.lists(row, min_size=n_users, max_size=n_users))
    history = st.lists(st.integers(1, n_items), min_size=1, max_size=10)
    return scores, draw(st.lists(history, min_size=n_users, max_size=n_users)), n_items


@st.composite
def some_lists(draw):
    """Lists [U, K] of different items, the first one not empty, and the popularity [V] of all items."""
    n_items, n_users = draw(st.integers(1, 9)), draw(st.integers(1, 8))
    width = draw(st.integers(1, n_items))
    shown = st.lists(st.integers(1, n_items), max_size=width, unique=True)
    rows = draw(st.lists(shown, min_size=n_users, max_size=n_users))
    rows[0] = rows[0] or [1]
    padded = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return padded, torch.tensor(draw(st.lists(st.integers(0, 5), min_size=n_items, max_size=n_items)))


class Lookup:
    """Scores that were drawn beforehand, looked up by user."""

    def __init__(self, scores):
        self.scores = torch.tensor(scores)

    def score(self, histories):
        return self.scores[histories.users - 1]


def slow_list(scores, history, k):
    """Candidates sorted one by one, and zeros up to the common width."""
    candidates = [item for item in range(1, len(scores)) if item not in history]
    best = sorted(candidates, key=lambda item: (-scores[item], item))[:k]
    return best + [0] * (min(k, len(scores) - 1) - len(best))


@given(cases(), st.integers(1, 10))
def test_lists_equal_sorting_one_by_one(case, k):
    scores, rows, n_items = case
    found = top_items(torch.tensor(scores), sequences_of(rows, n_items), k).tolist()
    assert found == [slow_list(own, set(row), k) for own, row in zip(scores, rows, strict=True)]


@given(cases(), st.integers(1, 10), st.integers(1, 4))
def test_lists_do_not_depend_on_the_block_size(case, k, block):
    scores, rows, n_items = case
    histories = sequences_of(rows, n_items)
    assert torch.equal(top_all(Lookup(scores), histories, k), top_all(Lookup(scores), histories, k, block))


@given(cases(), st.integers(1, 10), st.integers(1, 10))
def test_a_short_list_is_the_beginning_of_a_long_one(case, k, more):
    scores, rows, n_items = case
    short, long = (top_all(Lookup(scores), sequences_of(rows, n_items), width) for width in (k, k + more))
    assert torch.equal(short, long[:, :k])


@given(some_lists())
def test_bounds(case):
    lists, popularity = case
    values, n_items = exposure(lists, popularity), len(popularity)
    assert list(values) == list(MEASURES)
    assert 1 / n_items <= values["coverage"] <= 1
    assert 0 <= values["gini"] <= 1 - 1 / n_items
    assert 0 <= values["shannon_entropy"] <= math.log2(n_items) + 1e-9
    assert popularity.min() <= values["average_popularity"] <= popularity.max()
    assert 0 < values["popularity_percentile"] < 1
    assert 0 <= values["tail_share"] <= 1


@given(some_lists())
def test_coverage_grows_with_the_cutoff(case):
    lists, popularity = case
    found = [exposure(lists[:, :k], popularity)["coverage"] for k in range(1, lists.shape[1] + 1)]
    assert found == sorted(found)


@given(some_lists(), st.randoms())
def test_neither_the_order_of_users_nor_the_numbers_of_items_matter(case, random):
    lists, popularity = case
    users, items = list(range(len(lists))), list(range(1, len(popularity) + 1))
    random.shuffle(users)
    random.shuffle(items)
    renamed = torch.tensor([0, *items])
    known = torch.empty_like(popularity)
    known[renamed[1:] - 1] = popularity
    assert exposure(renamed[lists[users]], known) == approx(exposure(lists, popularity))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_all_items_together_have_the_middle_percentile_and_the_share_of_the_tail(counts):
    """So items that are recommended at random have one half, and one minus the share of the head."""
    popularity = torch.tensor(counts)
    assert float(popularity_percentile(popularity).mean()) == approx(0.5)
    assert float(tail_membership(popularity).sum()) == approx(len(counts) - math.ceil(HEAD_SHARE * len(counts)))


@given(cases(), st.integers(1, 10))
def test_no_model_recommends_more_popular_items_than_popularity(case, k):
    scores, rows, n_items = case
    histories = sequences_of(rows, n_items)
    model = Popularity(n_items)
    model.fit(histories)
    counts = model.counts[1:].long()
    lists = top_all(model, histories, k)
    if not lists.any():  # every history holds every item
        return
    most, others = (exposure(found, counts) for found in (lists, top_all(Lookup(scores), histories, k)))
    for measure in ("average_popularity", "popularity_percentile"):
        assert most[measure] >= others[measure] - 1e-9
    assert most["tail_share"] <= others["tail_share"] + 1e-9

"""The generated chains (`markov_order_k`, `gap_dependent`, `noisy`) follow the law that they state.

Means are compared within four standard errors of the sample, frequencies by a chi-square test; the seeds are fixed.
"""

from itertools import pairwise, product

import numpy as np
import pytest
from scipy import stats

from seqrepro.data.synthetic import gap_dependent, markov_order_k, noisy
from seqrepro.data.synthetic.chain import offset_law
from seqrepro.data.synthetic.truth import best

DISCOUNTS = np.concatenate([1 / np.log2(np.arange(10) + 2), [0.0]])
LEAST_P = 1e-3
LAW = {"items": 40, "successors": 6, "decay": 0.7, "smoothing": 0.1}
ORDER_K = {"users": 6000, "order": 2, "mean_length": 9.0, "seed": 11, **LAW}
GAPS = {"users": 8000, "classes": 3, "mean_length": 9.0, "seed": 5, **LAW}
NOISY = {"users": 4000, "noise": 0.2, "mean_length": 12.0, "seed": 8, **LAW}
BASE = {name: LAW[name] for name in ("items", "successors", "decay", "smoothing")}
GAP_LAW = {**BASE, "classes": 3}
NOISY_LAW = {**BASE, "noise": 0.2}


def agrees(sample, expected):
    return abs(sample.mean() - expected) <= 4 * sample.std() / np.sqrt(len(sample))


def judged(laws, targets):
    """Negative log-likelihood, hit_rate@10 and ndcg@10 of each target (from 1), in expectation over ties."""
    chance = laws[np.arange(len(targets)), targets - 1][:, None]
    better, tied = (laws > chance).sum(axis=1), (laws == chance).sum(axis=1)
    gains = np.concatenate([[0.0], np.cumsum(DISCOUNTS)])
    last, first = np.minimum(better + tied, 10), np.minimum(better, 10)
    return -np.log(chance[:, 0]), (last - first) / tied, (gains[last] - gains[first]) / tied


def assert_reaches(laws, targets, truth):
    nll, hits, ndcg = judged(laws, targets)
    assert agrees(nll, truth.nll)
    assert agrees(hits, truth.hit_rate)
    assert agrees(ndcg, truth.ndcg)


def lengths_of(generated):
    return np.bincount(generated.users.to_numpy())[1:]


def last_rows(generated):
    """The row of each user's last interaction: independent of one another."""
    return np.cumsum(lengths_of(generated)) - 1


def chi_square_p(*columns):
    """The p-value of independence of two columns of small integers."""
    table = np.zeros([column.max() + 1 for column in columns])
    np.add.at(table, columns, 1)
    return stats.chi2_contingency(table[np.ix_(table.any(axis=1), table.any(axis=0))]).pvalue


def is_long(generated):
    return (lengths_of(generated) > np.median(lengths_of(generated))).astype(int)


@pytest.fixture(scope="module", params=["joint", "oldest"])
def memory(request):
    return request.param


@pytest.fixture(scope="module")
def order_two(memory):
    return markov_order_k.generate(**ORDER_K, memory=memory)


class TestMarkovOrderK:
    def test_the_best_predictor_reaches_the_truth_wherever_the_context_is_known(self, order_two, memory):
        items, ends = order_two.items.to_numpy(), last_rows(order_two)
        for ahead in (0, 1):  # the test target, the validation target
            contexts = items[ends[:, None] - ahead + np.array([-2, -1])]
            laws = markov_order_k.predictive(contexts, **BASE, seed=11, memory=memory)
            assert np.allclose(laws.sum(axis=1), 1)
            assert_reaches(laws, items[ends - ahead], markov_order_k.truth(**BASE))

    def test_one_item_less_of_context_tells_nothing(self, order_two):
        items, ends = order_two.items.to_numpy(), last_rows(order_two)
        for back in (0, 1):  # the target itself, and together with the item before it
            column = items[ends - back]
            assert stats.chisquare(np.bincount(column, minlength=41)[1:]).pvalue > LEAST_P
        pairs = (items[ends - 1] - 1) * 40 + items[ends] - 1
        assert stats.chisquare(np.bincount(pairs, minlength=1600)).pvalue > LEAST_P

    def test_a_chain_of_order_one_would_fail_that_test(self):
        made = markov_order_k.generate(**ORDER_K | {"order": 1})
        items, ends = made.items.to_numpy(), last_rows(made)
        pairs = (items[ends - 1] - 1) * 40 + items[ends] - 1
        assert stats.chisquare(np.bincount(pairs, minlength=1600)).pvalue < 1e-100

    def test_only_the_oldest_item_decides_or_both_do(self, memory):
        laws = [
            markov_order_k.predictive(np.array([context]), **BASE, seed=11, memory=memory)
            for context in ([3, 9], [3, 10], [4, 9])
        ]
        assert np.array_equal(laws[0], laws[1]) == (memory == "oldest")
        assert not np.array_equal(laws[0], laws[2])

    def test_targets_are_independent_of_the_length(self, order_two):
        targets = order_two.items.to_numpy()[last_rows(order_two)]
        assert chi_square_p(is_long(order_two), targets) > LEAST_P

    def test_frequencies_of_a_small_chain_are_the_law(self, memory):
        law = {"items": 5, "successors": 2, "decay": 0.5, "smoothing": 0.2}
        made = markov_order_k.generate(users=500, order=2, mean_length=60.0, seed=1, memory=memory, **law)
        items, users = made.items.to_numpy(), made.users.to_numpy()
        rows = np.flatnonzero(users[2:] == users[:-2])
        contexts = np.array(list(product(range(1, 6), repeat=2)))
        counts = np.zeros((25, 5))
        np.add.at(counts, ((items[rows] - 1) * 5 + items[rows + 1] - 1, items[rows + 2] - 1), 1)
        expected = markov_order_k.predictive(contexts, **law, seed=1, memory=memory)
        p = [stats.chisquare(seen, chances * seen.sum()).pvalue for seen, chances in zip(counts, expected, strict=True)]
        assert min(p) > LEAST_P / 25

    @pytest.mark.parametrize(("order", "shortest"), [(1, 3), (2, 4), (5, 7)])
    def test_both_targets_have_a_whole_context(self, order, shortest):
        made = markov_order_k.generate(**ORDER_K | {"order": order})
        assert lengths_of(made).min() == shortest
        assert agrees(lengths_of(made), 9.0)

    def test_a_large_catalogue_needs_no_table_of_contexts(self):
        made = markov_order_k.generate(**ORDER_K | {"items": 50_000, "order": 4, "users": 200})
        assert made.n_items == 50_000
        assert np.isclose(markov_order_k.truth(50_000, 1, 1.0, 0.0).nll, 0)
        assert np.isclose(markov_order_k.truth(50_000, 8, 1.0, 0.0).nll, np.log(8))
        assert np.isclose(markov_order_k.truth(50_000, 8, 1.0, 1.0).hit_rate, 10 / 50_000)


@pytest.fixture(scope="module", params=["informative", "noise"])
def gaps(request):
    return request.param


@pytest.fixture(scope="module")
def both_gaps():
    return {kind: gap_dependent.generate(**GAPS, gaps=kind) for kind in ("informative", "noise")}


def gap_queries(made):
    """Last known item, gap before it, gap from it to the target, and target: of each user's last item."""
    ends, items, times = last_rows(made), made.items.to_numpy(), made.timestamps
    return items[ends - 1], times[ends - 1] - times[ends - 2], times[ends] - times[ends - 1], items[ends]


def offsets_of_targets(made):
    last, *_, target = gap_queries(made)
    return (target - 1 - gap_dependent.table(40, 5)[last - 1]) % 40


class TestGapDependent:
    def test_the_best_predictors_reach_the_truth(self, both_gaps, gaps):
        last, before, _, target = gap_queries(both_gaps[gaps])
        truth = gap_dependent.truth(**GAP_LAW, gaps=gaps)
        assert_reaches(gap_dependent.predictive(last, None, **GAP_LAW, seed=5), target, truth["without_gap"])
        known = before if gaps == "informative" else None
        assert_reaches(gap_dependent.predictive(last, known, **GAP_LAW, seed=5), target, truth["with_gap"])

    def test_informative_gaps_are_worth_something_and_noise_nothing(self):
        worth = gap_dependent.truth(**GAP_LAW, gaps="informative")
        assert worth["with_gap"].nll < worth["without_gap"].nll - 0.5
        assert worth["with_gap"].hit_rate > worth["without_gap"].hit_rate + 0.1
        nothing = gap_dependent.truth(**GAP_LAW, gaps="noise")
        assert nothing["with_gap"] == nothing["without_gap"] == worth["without_gap"]

    def test_to_believe_in_noise_costs(self, both_gaps):
        last, before, _, target = gap_queries(both_gaps["noise"])
        believing, *_ = judged(gap_dependent.predictive(last, before, **GAP_LAW, seed=5), target)
        sober, *_ = judged(gap_dependent.predictive(last, None, **GAP_LAW, seed=5), target)
        difference = believing - sober
        assert difference.mean() > 4 * difference.std() / np.sqrt(len(difference))

    def test_the_gap_before_the_last_item_tells_the_transition_only_where_it_should(self, both_gaps):
        for kind, made in both_gaps.items():
            classes = gap_dependent.class_of(gap_queries(made)[1], 3)
            p = chi_square_p(classes, offsets_of_targets(made))
            assert (p < 1e-100) if kind == "informative" else (p > LEAST_P)

    def test_the_gap_to_the_target_tells_nothing(self, both_gaps, gaps):
        made = both_gaps[gaps]
        assert chi_square_p(gap_dependent.class_of(gap_queries(made)[2], 3), offsets_of_targets(made)) > LEAST_P

    def test_both_kinds_have_the_same_items_and_the_same_law_of_gaps(self, both_gaps):
        informative, noise = both_gaps["informative"], both_gaps["noise"]
        assert informative.items.equals(noise.items)
        assert informative.users.equals(noise.users)
        before, other = (gap_queries(made)[1] for made in (informative, noise))
        assert not np.array_equal(before, other)
        assert stats.ks_2samp(before, other).pvalue > LEAST_P
        for made in (before, other):
            assert stats.chisquare(np.bincount(gap_dependent.class_of(made, 3), minlength=3)).pvalue > LEAST_P

    def test_gaps_are_in_the_bounds_of_their_class(self):
        classes = np.repeat(np.arange(4), 5000)
        made = gap_dependent.seconds(classes, np.random.default_rng(0))
        assert np.array_equal(gap_dependent.class_of(made, 4), classes)
        shortest = [made[classes == c].min() for c in range(4)]
        assert np.all(np.isclose(shortest, [60, 1200, 24_000, 480_000], rtol=0.02))
        assert np.all(made < 10 * 60 * 20**classes)

    def test_targets_and_gaps_are_independent_of_the_length(self, both_gaps, gaps):
        made = both_gaps[gaps]
        assert lengths_of(made).min() == 4
        assert chi_square_p(is_long(made), made.items.to_numpy()[last_rows(made)]) > LEAST_P
        assert chi_square_p(is_long(made), gap_dependent.class_of(gap_queries(made)[1], 3)) > LEAST_P


@pytest.fixture(scope="module")
def planted():
    return noisy.generate(**NOISY), noisy.noise_mask(4000, 0.2, 12.0, 8), noisy.generate(**NOISY | {"noise": 0.0})


class TestNoisy:
    def test_the_mask_says_which_rows_were_replaced(self, planted):
        made, mask, clean = planted
        seen, under = made.items.to_numpy(), clean.items.to_numpy()
        assert np.array_equal(seen[~mask], under[~mask])
        assert agrees((seen != under)[mask].astype(float), 1 - 1 / 40)
        assert stats.chisquare(np.bincount(seen[mask], minlength=41)[1:]).pvalue > LEAST_P

    def test_the_share_of_noise(self, planted):
        assert agrees(planted[1].astype(float), 0.2)
        assert not noisy.noise_mask(4000, 0.0, 12.0, 8).any()

    def test_clean_targets_leave_the_noise_to_the_training_part(self, planted):
        made = noisy.generate(**NOISY, clean_targets=True)
        mask = noisy.noise_mask(4000, 0.2, 12.0, 8, clean_targets=True)
        ends = last_rows(made)
        assert not mask[ends].any()
        assert not mask[ends - 1].any()
        others = np.setdiff1d(np.arange(len(mask)), [ends, ends - 1])
        assert np.array_equal(mask[others], planted[1][others])
        assert np.array_equal(made.items.to_numpy()[~mask], planted[2].items.to_numpy()[~mask])

    @pytest.mark.parametrize("clean_targets", [False, True])
    def test_what_the_last_item_and_the_clean_state_are_worth(self, planted, clean_targets):
        made = noisy.generate(**NOISY, clean_targets=clean_targets)
        truth = noisy.truth(**NOISY_LAW, clean_targets=clean_targets)
        ends = last_rows(made)
        seen, under = made.items.to_numpy(), planted[2].items.to_numpy()
        kept = {"bound": 0.8, "last_item": 0.8**2}
        for name, before in (("bound", under[ends - 1]), ("last_item", seen[ends - 1])):
            share = 1.0 if clean_targets else kept[name]
            law = share * offset_law(**BASE) + (1 - share) / 40
            anchors = noisy.table(40, 8)[before - 1]
            laws = law[(np.arange(40) - anchors[:, None]) % 40]
            assert_reaches(laws, seen[ends], truth[name])

    def test_the_filter_lies_between_the_bounds_and_beats_the_last_item(self, planted):
        made = planted[0]
        lengths, ends, seen = lengths_of(made), last_rows(made), made.items.to_numpy()
        history = np.delete(seen, ends)
        laws = noisy.predictive(history, lengths - 1, **NOISY_LAW, seed=8)
        nll, hits, _ = judged(laws, seen[ends])
        truth = noisy.truth(**NOISY_LAW)
        expected = best(laws)  # exact for these histories
        assert agrees(nll - best_nll(laws), 0.0)
        assert agrees(hits, expected.hit_rate)
        assert truth["bound"].nll < expected.nll < truth["last_item"].nll
        assert truth["bound"].hit_rate > expected.hit_rate > truth["last_item"].hit_rate

    def test_the_filter_equals_the_sum_over_all_clean_sequences(self):
        law = {"items": 3, "successors": 2, "decay": 0.4, "smoothing": 0.1}
        table, chances = noisy.table(3, 2), offset_law(**law)
        for seen in ([2], [1, 3], [3, 3, 1, 2]):
            joint = np.zeros(3)
            for clean in product(range(3), repeat=len(seen) + 1):
                path = np.prod([chances[(b - table[a]) % 3] for a, b in pairwise(clean)])
                emitted = np.prod([0.7 * (c + 1 == y) + 0.1 for c, y in zip(clean[:-1], seen, strict=True)])
                joint += path * emitted * (0.7 * np.eye(3)[clean[-1]] + 0.1)
            found = noisy.predictive(np.array(seen), np.array([len(seen)]), **law, noise=0.3, seed=2)
            assert np.allclose(found[0], joint / joint.sum(), atol=1e-12)

    def test_targets_and_noise_are_independent_of_the_length(self, planted):
        made, mask, _ = planted
        ends = last_rows(made)
        assert chi_square_p(is_long(made), made.items.to_numpy()[ends]) > LEAST_P
        assert chi_square_p(is_long(made), mask[ends].astype(int)) > LEAST_P


def best_nll(laws):
    return -(laws * np.log(laws)).sum(axis=1)

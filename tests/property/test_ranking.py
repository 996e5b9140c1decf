import torch
from hypothesis import given
from hypothesis import strategies as st

from made_data import sequences_of
from seqrepro.evaluation.ranking import rank_all, rank_scores

FIELDS = ("masked_best", "masked_worst", "unmasked_best", "unmasked_worst")


@st.composite
def cases(draw):
    n_items = draw(st.integers(2, 8))
    items = st.integers(1, n_items)
    n_users = draw(st.integers(1, 9))
    few_values = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0])  # many ties
    scores = draw(
        st.lists(st.lists(few_values, min_size=n_items + 1, max_size=n_items + 1), min_size=n_users, max_size=n_users)
    )
    rows = draw(st.lists(st.lists(items, min_size=1, max_size=6), min_size=n_users, max_size=n_users))
    targets = draw(st.lists(items, min_size=n_users, max_size=n_users))
    return scores, rows, targets, n_items


class Lookup:
    """Scores that were drawn beforehand, looked up by user."""

    def __init__(self, scores):
        self.scores = torch.tensor(scores)

    def score(self, histories):
        return self.scores[histories.users - 1]


def slow_ranks(scores, history, target):
    """Best and worst rank by counting candidates one by one."""
    result = []
    for hidden in (set(history), set()):
        others = [item for item in range(1, len(scores)) if item not in hidden and item != target]
        best = 1 + sum(scores[item] > scores[target] for item in others)
        worst = best + sum(scores[item] == scores[target] for item in others)
        result += [len(scores)] * 2 if target in hidden else [best, worst]
    return result


@given(cases())
def test_ranks_equal_counting_one_by_one(case):
    scores, rows, targets, n_items = case
    ranks = rank_scores(torch.tensor(scores), torch.tensor(targets), sequences_of(rows, n_items), likelihood=False)
    found = torch.stack([getattr(ranks, name) for name in FIELDS], dim=1).tolist()
    assert found == [slow_ranks(*one) for one in zip(scores, rows, targets, strict=True)]


@given(cases(), st.integers(1, 4))
def test_ranks_do_not_depend_on_the_block_size(case, block):
    scores, rows, targets, n_items = case
    arguments = Lookup(scores), sequences_of(rows, n_items), torch.tensor(targets)
    whole = rank_all(*arguments, likelihood=True)
    blocks = rank_all(*arguments, likelihood=True, block=block)
    assert all(torch.equal(getattr(whole, name), getattr(blocks, name)) for name in (*FIELDS, "target_in_history"))

import math

import pytest
import torch

from seqrepro.errors import InputError
from seqrepro.evaluation.metrics import NAMES, all_means, mean, user_values

RANKS = torch.tensor([1, 2, 10, 11, 101])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hit_rate@1", 1 / 5),
        ("hit_rate@10", 3 / 5),
        ("ndcg@10", (1 + 1 / math.log2(3) + 1 / math.log2(11)) / 5),
        ("mrr@10", (1 + 1 / 2 + 1 / 10) / 5),
        ("mrr@20", (1 + 1 / 2 + 1 / 10 + 1 / 11) / 5),
    ],
)
def test_means_by_hand(name, expected):
    assert mean(name, RANKS, 100) == pytest.approx(expected, rel=1e-15)


def test_values_of_users_are_zero_beyond_the_cutoff():
    assert user_values("mrr@10", RANKS, 100).tolist() == [1.0, 0.5, 0.1, 0.0, 0.0]


def test_a_rank_beyond_the_catalogue_is_a_miss_at_every_cutoff():
    assert mean("hit_rate@50", torch.tensor([31]), 30) == 0.0
    assert mean("hit_rate@50", torch.tensor([30]), 30) == 1.0


def test_all_means_has_every_metric_at_every_cutoff():
    assert tuple(all_means(RANKS, 100)) == NAMES
    assert len(NAMES) == 15


def test_no_users_give_zero():
    assert mean("ndcg@10", torch.tensor([], dtype=torch.int64), 100) == 0.0


@pytest.mark.parametrize("name", ["recall@10", "ndcg", "ndcg@", "ndcg@0", "ndcg@ten"])
def test_unknown_names_are_refused(name):
    with pytest.raises(InputError, match="expected one of hit_rate, ndcg, mrr"):
        mean(name, RANKS, 100)

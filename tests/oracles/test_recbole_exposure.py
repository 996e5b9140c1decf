"""RecBole 1.2.1 as an oracle: its coverage, popularity, Gini index, entropy and share of the tail are ours.

Three of its conventions differ, and are undone here: its number of items counts the padding item; its entropy is in
nats and divided by the number of different items shown; its tail is a share of the items that occur in training.
It needs an environment of its own (`make test-oracles`); elsewhere these tests are skipped.
"""

import math
from collections import Counter

import pytest
import torch

from made_data import sequences_of
from seqrepro.evaluation.exposure import exposure
from seqrepro.evaluation.topk import top_items

pytest.importorskip("recbole", reason="RecBole is not in this environment; `make test-oracles` has it")

CUTOFFS = [1, 5, 10]
N_USERS, N_ITEMS = 60, 50


def made(seed):
    """Scores [U, V+1] that favour popular items, histories, and a different popularity for each item, at least 1."""
    generator = torch.Generator().manual_seed(seed)
    popularity = torch.randperm(3 * N_ITEMS, generator=generator)[:N_ITEMS] + 1
    scores = torch.randn(N_USERS, N_ITEMS + 1, generator=generator)
    scores[:, 1:] += popularity / N_ITEMS
    rows = torch.randint(1, N_ITEMS + 1, (N_USERS, 8), generator=generator).tolist()
    return scores, rows, popularity


def recbole(lists, popularity, n_items):
    """What RecBole's metrics say of lists [U, K], as `name@k`."""
    from recbole.evaluator import metrics
    from recbole.evaluator.collector import DataStruct

    told = DataStruct()
    told.set("rec.items", lists)
    told.set("data.num_items", n_items)
    told.set("data.count_items", Counter(dict(enumerate(popularity.tolist(), start=1))))
    settings = {"topk": CUTOFFS, "metric_decimal_place": 12, "tail_ratio": 0.8}
    names = ("ItemCoverage", "AveragePopularity", "GiniIndex", "ShannonEntropy", "TailPercentage")
    found = {}
    for name in names:
        found |= getattr(metrics, name)(settings).calculate_metric(told)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_all_measures_are_recboles(seed):
    scores, rows, popularity = made(seed)
    lists = top_items(scores, sequences_of(rows, N_ITEMS), max(CUTOFFS))
    theirs = recbole(lists, popularity, N_ITEMS)
    for k in CUTOFFS:
        ours = exposure(lists[:, :k], popularity)
        shown = lists[:, :k].unique().numel()
        assert ours["coverage"] == pytest.approx(theirs[f"itemcoverage@{k}"], abs=1e-9)
        assert ours["gini"] == pytest.approx(theirs[f"giniindex@{k}"], abs=1e-9)
        assert ours["average_popularity"] == pytest.approx(theirs[f"averagepopularity@{k}"], abs=1e-9)
        assert ours["tail_share"] == pytest.approx(theirs[f"tailpercentage@{k}"], abs=1e-9)
        nats = theirs[f"shannonentropy@{k}"] * shown
        assert ours["shannon_entropy"] == pytest.approx(nats / math.log(2), abs=1e-7)

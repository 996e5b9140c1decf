"""The package ir-measures computes the same metrics from the same scores, where there are no ties."""

import ir_measures
import pytest
import torch
from ir_measures import RR, Qrel, ScoredDoc, Success, nDCG

from made_data import random_rows, sequences_of
from seqrepro.data.splits import leave_one_out
from seqrepro.evaluation.metrics import CUTOFFS, user_values
from seqrepro.evaluation.ranking import rank_scores

MEASURES = {"hit_rate": Success, "ndcg": nDCG, "mrr": RR}
N_ITEMS = 80


@pytest.fixture(scope="module")
def case():
    split = leave_one_out(sequences_of(random_rows(50, N_ITEMS, seed=2), N_ITEMS))
    generator = torch.Generator().manual_seed(5)
    scores = torch.stack([torch.randperm(N_ITEMS + 1, generator=generator) for _ in split.targets["test"]]).float()
    return scores, split.histories["test"], split.targets["test"]


@pytest.mark.parametrize("masked", [True, False])
def test_every_metric_of_every_user(case, masked):
    scores, histories, targets = case
    ranks = rank_scores(scores, targets, histories, likelihood=False)
    ours = ranks.masked_worst if masked else ranks.unmasked_worst
    hidden = [
        set(histories.select(torch.tensor([row])).values.tolist()) if masked else set() for row in range(len(scores))
    ]
    relevant = [Qrel(str(row), str(int(item)), 1) for row, item in enumerate(targets)]
    run = [
        ScoredDoc(str(row), str(item), float(scores[row, item]))
        for row in range(len(scores))
        for item in range(1, N_ITEMS + 1)
        if item not in hidden[row]
    ]
    measures = {f"{name}@{k}": measure @ k for name, measure in MEASURES.items() for k in CUTOFFS}
    theirs = {name: [0.0] * len(scores) for name in measures}
    names = {measure: name for name, measure in measures.items()}
    for value in ir_measures.iter_calc(list(measures.values()), relevant, run):
        theirs[names[value.measure]][int(value.query_id)] = value.value
    for name, expected in theirs.items():
        assert user_values(name, ours, N_ITEMS).tolist() == pytest.approx(expected, abs=1e-9), name

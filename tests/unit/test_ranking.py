import pytest
import torch

from made_data import SASREC, random_rows, sequences_of
from seqrepro.data.splits import leave_one_out
from seqrepro.errors import CheckFailed
from seqrepro.evaluation.metrics import all_means
from seqrepro.evaluation.ranking import rank_all, rank_scores
from seqrepro.evaluation.ranks import SCHEMA, rank_table, ranks_of, summarise
from seqrepro.models.interfaces import build_sequential


def rank(scores, target, history, likelihood=False):
    n_items = len(scores) - 1
    return rank_scores(
        torch.tensor([scores]), torch.tensor([target]), sequences_of([history], n_items), likelihood=likelihood
    )


def bounds(ranks):
    return [
        int(getattr(ranks, f"{masking}_{bound}")) for masking in ("masked", "unmasked") for bound in ("best", "worst")
    ]


def test_ranks_by_hand_with_ties_and_history():
    #         pad  1    2    3    4    5    6
    scores = [9.0, 0.5, 0.5, 0.9, 0.5, 0.1, 0.9]
    # item 2: higher 3, 6; tied 1, 4; the history hides 3 and 4
    assert bounds(rank(scores, 2, [3, 4])) == [2, 3, 3, 5]


def test_repeated_history_items_are_hidden_once():
    assert bounds(rank([0.0, 3.0, 2.0, 1.0], 3, [1, 1, 1])) == [2, 2, 3, 3]


def test_the_padding_column_never_counts():
    assert bounds(rank([9.0, 1.0, 0.0], 1, [2])) == [1, 1, 1, 1]
    assert bounds(rank([1.0, 1.0, 0.0], 1, [2])) == [1, 1, 1, 1]
    assert bounds(rank([float("nan"), 1.0, 0.0], 1, [2])) == [1, 1, 1, 1]


def test_a_target_in_its_history_is_a_miss_when_masked():
    ranks = rank([0.0, 3.0, 2.0, 1.0], 1, [1, 2])
    assert bounds(ranks) == [4, 4, 1, 1]
    assert ranks.target_in_history.tolist() == [True]


def test_likelihood_is_that_of_the_softmax_over_the_items():
    scores = [50.0, 1.0, 2.0, 3.0]
    expected = -torch.log_softmax(torch.tensor(scores[1:]), 0)[1]
    assert rank(scores, 2, [1], likelihood=True).nll == pytest.approx(float(expected), rel=1e-6)
    assert rank(scores, 2, [1]).nll is None


def test_nan_is_an_error_that_names_the_user():
    with pytest.raises(CheckFailed, match="a score of user 1 is NaN"):
        rank([0.0, 1.0, float("nan")], 1, [2])


def test_infinite_scores_of_both_signs_are_no_error():
    assert bounds(rank([0.0, float("inf"), -float("inf"), 0.0], 3, [2])) == [2, 2, 2, 2]


def test_metrics_of_a_network_do_not_depend_on_the_block_size():
    split = leave_one_out(sequences_of(random_rows(70, 40), 40))
    model = build_sequential(SASREC, 40, torch.Generator().manual_seed(1)).eval()
    histories, targets = split.histories["test"], split.targets["test"]
    metrics = [
        all_means(rank_all(model, histories, targets, likelihood=True, block=block).masked_worst, 40)
        for block in (1, 7, 512)
    ]
    assert metrics[0] == metrics[1] == metrics[2]


def test_rank_table_has_the_schema_and_keeps_the_order():
    sequences = sequences_of([[1, 2], [3]], 3)
    ranks = rank_scores(
        torch.tensor([[0, 1, 2, 3.0], [0, 3, 2, 1.0]]), torch.tensor([3, 2]), sequences, likelihood=False
    )
    table = rank_table("test", sequences, ranks)
    assert table.schema == SCHEMA
    assert table["user"].to_pylist() == [1, 2]
    assert table["nll"].null_count == 2
    assert ranks_of(table).tolist() == [1, 2]
    assert summarise(table, 3)["unmasked"]["optimistic"]["mrr@5"] == 0.75

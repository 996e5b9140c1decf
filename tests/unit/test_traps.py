"""Traps: ranking as other code ranks, by hand on a few scores, and as a probe of a run."""

import pyarrow.parquet as pq
import pytest
import torch

from made_data import sequences_of
from seqrepro.evaluation.metrics import NAMES
from seqrepro.probes.traps import PADDING, SEEN, measure

N_ITEMS = 4


class Fixed:
    """The same scores for everybody; column 0 is padding."""

    def __init__(self, *scores):
        self.scores = torch.tensor([0.0, *scores])

    def score(self, histories):
        return self.scores.expand(len(histories), -1)


def hit_rates(scores, history, target):
    found = measure(Fixed(*scores), sequences_of([history], N_ITEMS), torch.tensor([target]))
    return {name.partition(", ")[2]: value for name, value in found.items() if name.startswith("hit_rate@1,")} | {
        "": found["hit_rate@1"]
    }


BOTH = f"{SEEN}, {PADDING}"


@pytest.mark.parametrize(
    ("scores", "history", "target", "missed"),
    [
        ((1, 2, 3, 0.5), [3], 2, set()),  # the best of those that are not seen
        ((-1, -2, 3, -5), [3], 1, {SEEN, PADDING, BOTH}),  # 0 is above every score that is not seen
        ((1, 2, 3, 9), [4], 3, set()),
        ((-1, 2, -3, -5), [1], 2, set()),
        ((-1, 9, -3, -5), [2], 1, {SEEN, PADDING, BOTH}),
        ((1, 2, 3, 4), [4], 4, {"", SEEN, PADDING, BOTH}),  # a seen target is a miss
    ],
)
def test_who_is_missed(scores, history, target, missed):
    assert {name for name, value in hit_rates(scores, history, target).items() if value == 0} == missed


def test_a_target_of_score_0_ties_with_both():
    found = hit_rates((0, -1, -2, 5), [4], 1)
    assert found == {"": 1.0, SEEN: 0.0, PADDING: 0.0, BOTH: 0.0}


def test_all_metrics_are_there():
    found = measure(Fixed(1, 2, 3, 4), sequences_of([[1], [2, 3]], N_ITEMS), torch.tensor([2, 4]))
    assert set(found) == {name + more for name in NAMES for more in ("", f", {SEEN}", f", {PADDING}", f", {BOTH}")}


def test_the_file_of_the_probe(tmp_path, monkeypatch):
    from seqrepro.probes import traps
    from seqrepro.request import Request

    monkeypatch.chdir(tmp_path)
    histories, targets = sequences_of([[1], [2, 3]], N_ITEMS), torch.tensor([2, 4])

    class Split:
        def evaluation(self, name):
            assert name == "test"
            return histories, targets, None

    monkeypatch.setattr(traps, "read_split", lambda request: Split())
    monkeypatch.setattr(traps, "restore", lambda config, n_items, weights: Fixed(1, 2, 3, 4))
    config = {"training": {"kind": "gradient", "threads": 1}}
    request = Request("probe", "seqrepro.probes.traps", "out", ["a", "b", "c"], {"config": config}, [], "0" * 64)
    (path,) = traps.run(request)
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == 4 * len(NAMES)
    assert {row["at"] for row in rows} == {None}

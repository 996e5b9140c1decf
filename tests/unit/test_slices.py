"""The probe slices: bins of users, from the rank file alone; and its plan."""

import math
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from made_data import CLOSED_FORM, GRADIENT, SASREC, random_rows, sequences_of, train_request, write_prepared
from seqrepro.config.load import load_parameters
from seqrepro.data.splits import global_temporal, leave_one_out
from seqrepro.errors import InputError
from seqrepro.evaluation.metrics import all_means
from seqrepro.evaluation.ranks import ranks_of
from seqrepro.files import sha256_file, write_parquet
from seqrepro.ledger.measurements import read_measurements
from seqrepro.probes import slices
from seqrepro.request import Request
from seqrepro.training import train
from seqrepro.workflow import load_workflow

N_ITEMS = 60
ROWS = random_rows(80, N_ITEMS, seed=3)
ENDS = {"history": [2, 5, 500], "popularity": [3, 8]}
MARKOV = ({"family": "markov", "back_off": 1e-6}, CLOSED_FORM)


def probed(folder, model, training):
    run = train_request(write_prepared(folder / "data", ROWS, N_ITEMS), model, training, str(folder / "run"))
    train.run(run)
    inputs = [*run.inputs, f"{run.folder}/model.safetensors", f"{run.folder}/ranks.parquet"]
    asked = {**run.parameters, **ENDS}
    return Request("probe", "seqrepro.probes.slices", f"{run.folder}/probes/slices", inputs, asked, [], "code")


@pytest.mark.parametrize("model", [(SASREC, GRADIENT), MARKOV], ids=["network", "closed form"])
def test_each_user_is_in_one_bin_of_each_slice(tmp_path, model):
    request = probed(tmp_path, *model)
    (path,) = slices.run(request)
    table = pq.read_table(path)
    assert path.name == "slices.parquet" and table.schema == slices.SCHEMA
    rows = [row for row in table.to_pylist() if row["metric"] == "ndcg@10"]
    assert [(row["slice"], row["low"], row["high"]) for row in rows] == [
        *(("history", low, high) for low, high in ((0, 0), (1, 2), (3, 5), (6, 500), (501, None))),
        *(("popularity", low, high) for low, high in ((0, 0), (1, 3), (4, 8), (9, None))),
    ]
    test = pq.read_table(request.inputs[3], filters=[("split", "=", "test")])
    overall = all_means(ranks_of(test), N_ITEMS)["ndcg@10"]
    for name in ENDS:
        own = [row for row in rows if row["slice"] == name]
        assert sum(row["users"] for row in own) == len(test)
        assert sum(row["users"] * (row["mean"] or 0) for row in own) / len(test) == pytest.approx(overall)
    assert [row["mean"] for row in rows if not row["users"]] == [None] * sum(not row["users"] for row in rows) != []
    before = sha256_file(path)
    assert [sha256_file(path) for path in slices.run(request)] == [before]


def test_the_values_of_a_bin_are_those_of_its_users(tmp_path):
    request = probed(tmp_path, *MARKOV)
    (path,) = slices.run(request)
    train_counts = [item for row in ROWS for item in row[:-2]]
    test = pq.read_table(request.inputs[3], filters=[("split", "=", "test")]).to_pylist()
    gains = [(row["rank_masked_worst"] <= 10) / math.log2(row["rank_masked_worst"] + 1) for row in test]
    inside = [gain for gain, row in zip(gains, ROWS, strict=True) if 4 <= train_counts.count(row[-1]) <= 8]
    wanted = [("slice", "=", "popularity"), ("low", "=", 4), ("metric", "=", "ndcg@10")]
    (found,) = pq.read_table(path, filters=wanted).to_pylist()
    assert found["users"] == len(inside) > 2
    assert found["mean"] == pytest.approx(mean(inside))
    assert found["standard_error"] == pytest.approx(stdev(inside) / len(inside) ** 0.5)


def test_a_target_that_was_never_seen_counts_0():
    counts = slices.counts(leave_one_out(sequences_of([[1, 2, 3, 4], [1, 1, 2, 2, 3], [5, 5]], 5)))
    assert counts["history"].tolist() == [2, 3] and counts["popularity"].tolist() == [0, 0]
    counts = slices.counts(leave_one_out(sequences_of([[1, 2, 3, 4], [4, 4, 2, 2, 2]], 5)))
    assert counts["popularity"].tolist() == [2, 2]


def test_a_user_without_training_interactions_has_a_history_of_0():
    rows = replace(sequences_of([[1, 2, 3], [1, 2], [3, 2]], 3), timestamps=torch.tensor([1, 4, 9, 2, 5, 8, 9]))
    counts = slices.counts(global_temporal(rows, 0.3, 0.4, "last"))
    assert counts["history"].tolist() == [1, 0] and counts["popularity"].tolist() == [0, 0]


def test_the_same_bins_whatever_the_training_saw(tmp_path):
    plain = probed(tmp_path / "plain", *MARKOV)
    few = probed(tmp_path / "few", MARKOV[0], CLOSED_FORM | {"data": {"kind": "users", "share": 0.1}})
    users = [pq.read_table(slices.run(request)[0])["users"] for request in (plain, few)]
    assert users[0].equals(users[1])


def test_ranks_of_other_users_are_refused(tmp_path):
    request = probed(tmp_path, *MARKOV)
    path = Path(request.inputs[3])
    write_parquet(path, pq.read_table(path).slice(0, len(ROWS) + 5))
    with pytest.raises(InputError, match=r"ranks\.parquet: other test users than in .*, expected the same"):
        slices.run(request)


def test_claims_can_read_it(tmp_path):
    rows = [("history", low, high, 5, "ndcg@10", value, None) for low, high, value in ((0, 0, None), (1, 5, 0.2))]
    rows += [("popularity", 51, None, 5, "mrr@5", 0.4, 0.1), ("popularity", 0, 0, 1, "mrr@5", 0.3, None)]
    path = tmp_path / "slices.parquet"
    write_parquet(path, pa.table([*map(list, zip(*rows, strict=True))], schema=slices.SCHEMA))
    assert read_measurements(path) == [
        ("ndcg@10, history 1-5", None, 0.2),
        ("mrr@5, popularity above 50", None, 0.4),
        ("mrr@5, popularity 0", None, 0.3),
    ]


# --- the plan


@pytest.fixture
def asks(change):
    change("probes:\n  robustness:", "probes:\n  sliced: {kind: slices, history: [5], popularity: [5]}\n  robustness:")
    change("probes: [robustness]", "probes: [sliced]")


def test_all_models_are_sliced(make_plan, asks):
    requests = list(make_plan().of("probe").values())
    assert {request.module for request in requests} == {"seqrepro.probes.slices"} and len(requests) == 4
    assert all(request.parameters["history"] == [5] and "kind" not in request.parameters for request in requests)


def test_the_workflow_knows_its_file(repository, asks):
    workflow = load_workflow({})
    assert workflow.probes("slices") == "sliced"
    assert {Path(name).name for name in workflow.probe_files()} == {"slices.parquet"}


def test_bins_ascend(repository, asks, change):
    change("history: [5]", "history: [5, 5]")
    with pytest.raises(InputError, match=r"probes.sliced.history: found \[5, 5\], expected numbers that ascend"):
        load_parameters()

"""Ranks among saved negatives against a slow, independent form: each user alone, candidates sorted in plain Python."""

import pyarrow.parquet as pq
import pytest

from made_data import CLOSED_FORM, GRADIENT, SASREC, random_rows, sequences_of, train_request, write_prepared
from seqrepro.data import candidates
from seqrepro.evaluation.ranks import SAMPLED, SCHEMA
from seqrepro.files import read_json
from seqrepro.models.interfaces import restore
from seqrepro.request import Request
from seqrepro.training import train

N_ITEMS = 30
COUNT = 8
ROWS = [*random_rows(40, N_ITEMS, seed=5), [3, 4, 3, 4]]  # the last user's targets stand in the history
MODELS = {
    "popularity": ({"family": "popularity"}, CLOSED_FORM),  # many ties
    "sasrec": (SASREC, GRADIENT),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampled")
    inputs = write_prepared(folder / "data", ROWS, N_ITEMS)
    config = {"split": "leave_one_out", "candidates": {"kind": "uniform", "count": COUNT, "seed": 1}}
    asked = Request("candidates", "m", str(folder / "negatives"), inputs, {"config": config}, [], "code")
    (path,) = candidates.run(asked)
    return folder, [*inputs, str(path)], config


def slow_rank(scores, target, negatives, worst):
    """The place of the target in a sorted list of candidates, itself last or first among equals."""
    order = sorted([target, *negatives], key=lambda item: (-scores[item], (item == target) == worst))
    return 1 + order.index(target)


@pytest.mark.parametrize("name", MODELS)
def test_sampled_ranks_equal_sorting_user_by_user(drawn, name):
    folder, inputs, config = drawn
    asked = train_request(inputs, *MODELS[name], folder=str(folder / f"runs/{name}"))
    asked.parameters["config"] |= config
    train.run(asked)
    table = pq.read_table(asked.output / "ranks.parquet")
    assert table.schema.names == [*SCHEMA.names, *SAMPLED.names]

    negatives = {row["user"]: row for row in pq.read_table(inputs[2]).to_pylist()}
    model = restore(asked.parameters["config"], N_ITEMS, asked.output / "model.safetensors")
    hits = {"validation": [], "test": []}
    for row in table.to_pylist():
        whole = ROWS[row["user"] - 1]
        history, target = whole[: row["position"]], whole[row["position"]]
        scores = model.score(sequences_of([history], N_ITEMS))[0].tolist()
        among = negatives[row["user"]][row["split"]]
        assert row["rank_sampled_best"] == slow_rank(scores, target, among, worst=False)
        assert row["rank_sampled_worst"] == slow_rank(scores, target, among, worst=True)
        hits[row["split"]].append(row["rank_sampled_worst"] <= 5)
    metrics = read_json(asked.output / "metrics.json")["metrics"]
    for split, hit in hits.items():
        assert metrics[split]["sampled"]["pessimistic"]["hit_rate@5"] == pytest.approx(sum(hit) / len(hit))


def test_negatives_change_nothing_else(drawn):
    """The full ranking, the weights and the history are those of the run without negatives, byte for byte."""
    folder, inputs, config = drawn
    plain = train_request(inputs[:2], *MODELS["sasrec"], folder=str(folder / "runs/plain"))
    among = train_request(inputs, *MODELS["sasrec"], folder=str(folder / "runs/among"))
    among.parameters["config"] |= config
    for request in (plain, among):
        train.run(request)
    for name in ("model.safetensors", "history.parquet"):
        assert (plain.output / name).read_bytes() == (among.output / name).read_bytes()
    tables = [pq.read_table(request.output / "ranks.parquet") for request in (plain, among)]
    assert tables[0].schema == SCHEMA
    assert tables[1].select(SCHEMA.names).equals(tables[0])
    without = [read_json(request.output / "metrics.json")["metrics"]["test"] for request in (plain, among)]
    assert set(without[0]) == {"masked", "unmasked"}
    assert {name: without[1][name] for name in without[0]} == without[0]

"""Early stopping: tables of metric series, and the rule as the training loop applies it."""

import math

import pyarrow.parquet as pq
import pytest

from made_data import GRADIENT, SASREC, random_rows, train_request, write_prepared
from seqrepro.config.training import Budget
from seqrepro.files import read_json
from seqrepro.training import loop, train
from seqrepro.training.stopping import RULES, four_decimals
from stopping_series import follow

BUDGET = {"epochs": 50, "patience": 2, "batch_size": 16}


@pytest.mark.parametrize(
    ("series", "patience", "general", "recbole"),
    [  # (best epoch, epoch after which it stops)
        pytest.param([0.1, 0.2, 0.3], 2, (3, None), (3, None), id="better and better"),
        pytest.param([0.3, 0.2, 0.1, 0.0], 2, (1, 3), (1, 4), id="worse and worse"),
        pytest.param([0.3, 0.2, 0.1], 2, (1, 3), (1, None), id="RecBole waits one epoch more"),
        pytest.param([0.3, 0.2, 0.3, 0.3, 0.1, 0.1, 0.1], 2, (1, 3), (4, 7), id="equal: the first, or the last"),
        pytest.param([0.0, 0.0, 0.0, 0.0], 3, (1, 4), (4, None), id="nothing is ever right"),
        pytest.param([0.12344, 0.12341, 0.12334, 0.1], 2, (1, 3), (2, None), id="equal at four decimals"),
        pytest.param([0.12341, 0.12344, 0.12339, 0.1], 1, (2, 3), (3, None), id="worse, equal at four decimals"),
        pytest.param([0.1, 0.10004, 0.10008, 0.1], 9, (3, None), (3, None), id="slowly better"),
        pytest.param([0.2, 0.1, 0.3, 0.1, 0.1, 0.9], 2, (3, 5), (6, None), id="a late peak that only one rule sees"),
    ],
)
def test_series(series, patience, general, recbole):
    assert follow(RULES["general"], series, patience) == general
    assert follow(RULES["recbole"], series, patience) == recbole


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.00005, 0.0), (0.00015, 0.0001), (0.00025, 0.0002), (0.123449, 0.1234), (0.12345001, 0.1235), (1.0, 1.0)],
)
def test_halves_are_rounded_as_numpy_does_it(value, expected):
    """Python's own `round(0.00005, 4)` is 0.0001, since the nearest double is a little larger than the half."""
    assert four_decimals(value) == expected


def test_the_first_epoch_is_better_than_none():
    for rule in RULES.values():
        assert rule.better(rule.read(0.0), -math.inf)


def test_the_default_is_not_part_of_a_runs_name():
    assert "stopping" not in Budget(**BUDGET).canonical()
    assert Budget(**BUDGET, stopping="recbole").canonical()["stopping"] == "recbole"


@pytest.mark.parametrize(
    ("stopping", "best", "epochs"), [({}, 1, 3), ({"stopping": "general"}, 1, 3), ({"stopping": "recbole"}, 4, 7)]
)
def test_a_training_follows_its_rule(tmp_path, monkeypatch, stopping, best, epochs):
    """Weights, history and reason of a training whose validation metric is prescribed."""
    monkeypatch.chdir(tmp_path)
    inputs = write_prepared(tmp_path / "data", random_rows(40, 20), 20)
    training = {**GRADIENT, "budget": BUDGET | {"monitor": "ndcg@10"} | stopping}
    values = iter([0.3, 0.2, 0.3, 0.3, 0.1, 0.1, 0.1])
    monkeypatch.setattr(loop, "mean", lambda *_: next(values))
    request = train_request(inputs, SASREC, training)
    train.run(request)
    metrics = read_json(request.output / "metrics.json")
    assert (metrics["stopped"], metrics["best_epoch"], metrics["epochs"]) == ("patience", best, epochs)

    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    shorter = {**GRADIENT, "budget": {**BUDGET, "monitor": "ndcg@10", "epochs": best, "patience": best}}
    rising = iter(range(9))
    monkeypatch.setattr(loop, "mean", lambda *_: next(rising))
    expected = train_request(inputs, SASREC, shorter, "results/runs/shorter")
    train.run(expected)
    weights = [(run.output / "model.safetensors").read_bytes() for run in (request, expected)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("masking", ["masked", "unmasked"])
def test_validation_masks_the_history_as_the_budget_says(tmp_path, monkeypatch, masking):
    """The log's last line tells what the stored validation ranks of that kind say of the weights of that epoch."""
    monkeypatch.chdir(tmp_path)
    inputs = write_prepared(tmp_path / "data", random_rows(40, 20), 20)
    budget = {"epochs": 1, "patience": 1, "batch_size": 16, "monitor": "ndcg@10"}
    request = train_request(inputs, SASREC, {**GRADIENT, "budget": Budget(**budget, masking=masking).canonical()})
    train.run(request)
    logged = pq.read_table(request.output / "history.parquet")["validation_ndcg@10"].to_pylist()[-1]
    found = read_json(request.output / "metrics.json")["metrics"]["validation"]
    values = {name: found[name]["pessimistic"]["ndcg@10"] for name in ("masked", "unmasked")}
    assert values["masked"] != values["unmasked"]
    assert logged == pytest.approx(values[masking], abs=1e-12)

import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from made_data import CLOSED_FORM, GRADIENT, SASREC, random_rows, rows_of, train_request, write_prepared
from seqrepro.data.splits import leave_one_out
from seqrepro.errors import CheckFailed, InputError
from seqrepro.evaluation.metrics import NAMES
from seqrepro.evaluation.ranks import SCHEMA
from seqrepro.files import read_json, sha256_file
from seqrepro.models.interfaces import build_closed_form, build_sequential, restore
from seqrepro.training import train
from seqrepro.training.inputs import read_split

N_USERS, N_ITEMS = 60, 30
DETERMINISTIC = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
MODELS = {
    "popularity": ({"family": "popularity"}, CLOSED_FORM),
    "markov": ({"family": "markov", "back_off": 1e-6}, CLOSED_FORM),
    "itemknn": ({"family": "itemknn", "neighbours": 10, "shrink": 0.0}, CLOSED_FORM),
    "ease": ({"family": "ease", "regularisation": 10.0}, CLOSED_FORM),
    "sasrec": (SASREC, GRADIENT),
}


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_prepared(Path("data/prepared/toy"), [*random_rows(N_USERS - 1, N_ITEMS), [1, 2]], N_ITEMS)


def with_budget(**changes):
    return {**GRADIENT, "budget": {**GRADIENT["budget"], **changes}}


@pytest.mark.parametrize("name", MODELS)
def test_a_run_folder_is_complete_and_consistent(inputs, name):
    request = train_request(inputs, *MODELS[name])
    written = {path.name for path in train.run(request)}
    assert written == {*DETERMINISTIC, "timing.json", "log.jsonl"} == {p.name for p in request.output.iterdir()}
    assert not Path("results/checkpoints").exists() or not any(Path("results/checkpoints").rglob("*.pt"))

    ranks, metrics = pq.read_table(request.output / "ranks.parquet"), read_json(request.output / "metrics.json")
    assert ranks.schema == SCHEMA
    assert ranks["split"].to_pylist() == ["validation"] * 59 + ["test"] * 59  # the user with two items is left out
    assert ranks["user"].to_pylist() == [*range(1, 60)] * 2
    assert (ranks["nll"].null_count == 0) == (name == "sasrec")
    assert metrics["n_users"] == 59
    for split in ("validation", "test"):
        rows = ranks.filter(pc.equal(ranks["split"], split))
        worst = rows["rank_masked_worst"].to_pylist()
        hit_rate = metrics["metrics"][split]["masked"]["pessimistic"]["hit_rate@5"]
        assert hit_rate == pytest.approx(sum(rank <= 5 for rank in worst) / 59)
        assert metrics["targets_in_history"][split] == sum(rows["target_in_history"].to_pylist())


def test_history_and_log_have_a_line_an_epoch(inputs):
    request = train_request(inputs, *MODELS["sasrec"])
    train.run(request)
    history = pq.read_table(request.output / "history.parquet").to_pylist()
    log = [json.loads(line) for line in (request.output / "log.jsonl").read_text().splitlines()]
    metrics, timing = read_json(request.output / "metrics.json"), read_json(request.output / "timing.json")
    assert [row["epoch"] for row in history] == [1, 2, 3] == [line["epoch"] for line in log]
    assert [row["epoch"] for row in history if row["is_best"]] == [metrics["best_epoch"]]
    best = max(history, key=lambda row: row["validation_ndcg@10"])
    validation = metrics["metrics"]["validation"]["masked"]["pessimistic"]
    assert [best[f"validation_{name}"] for name in NAMES] == pytest.approx([validation[name] for name in NAMES])
    assert timing["seconds_per_epoch"] == [line["seconds"] for line in log]
    assert timing["threads"] == 1


def test_history_of_a_closed_form_model_is_one_row(inputs):
    request = train_request(inputs, *MODELS["markov"])
    train.run(request)
    (row,) = pq.read_table(request.output / "history.parquet").to_pylist()
    assert (row["epoch"], row["train_loss"], row["is_best"]) == (0, None, True)
    metrics = read_json(request.output / "metrics.json")
    assert (metrics["stopped"], metrics["best_epoch"], metrics["epochs"]) == ("closed_form", 0, 0)


@pytest.mark.parametrize("view", ["all_positions", "prefixes"])
def test_timing_says_what_the_time_went_into(inputs, view):
    request = train_request(inputs, SASREC, with_budget(epochs=2) | {"view": view, "last": 6})
    train.run(request)
    timing = read_json(request.output / "timing.json")
    train_items = [len(row[:-2][-6:]) for row in random_rows(N_USERS - 1, N_ITEMS)]  # two items are held out
    assert timing["targets"] == 2 * (sum(n - 1 for n in train_items) + 1)  # 1: the row with two items is trained on
    parts = timing["seconds_by_part"]
    assert set(parts) == {"batch", "forward_backward", "optimizer", "validation", "checkpoint"}
    assert all(seconds > 0 for seconds in parts.values())
    assert sum(parts.values()) - parts["checkpoint"] <= timing["seconds_total"] + 0.01  # what is saved between epochs
    steps = parts["batch"] + parts["forward_backward"] + parts["optimizer"]
    assert timing["targets_per_second"] == pytest.approx(timing["targets"] / steps, rel=0.1)
    assert 2**24 < timing["peak_memory_bytes"] < 2**38
    assert timing["peak_gpu_memory_bytes"] is None


def test_timing_of_a_closed_form_has_no_steps(inputs):
    request = train_request(inputs, *MODELS["ease"])
    train.run(request)
    timing = read_json(request.output / "timing.json")
    assert timing["peak_memory_bytes"] > 2**24
    assert not {"targets", "targets_per_second", "seconds_by_part"} & set(timing)


def test_another_seed_gives_other_weights(inputs):
    weights = []
    for seed in (3, 4):
        request = train_request(inputs, *MODELS["sasrec"], f"results/runs/toy/model/seed-{seed}")
        request.parameters["seed"] = seed
        train.run(request)
        weights.append(load_file(request.output / "model.safetensors"))
    assert all(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_what_a_killed_write_left_in_the_run_folder_is_removed(inputs):
    request = train_request(inputs, *MODELS["popularity"])
    request.output.mkdir(parents=True)
    (request.output / ".model.safetensors.abc.partial").write_bytes(b"half")
    train.run(request)
    assert {path.name for path in request.output.iterdir()} == {*DETERMINISTIC, "timing.json", "log.jsonl"}


@pytest.mark.parametrize("name", ["itemknn", "sasrec"])
def test_the_same_request_gives_the_same_bytes(inputs, name):
    digests = []
    for folder in ("results/runs/toy/a/seed-3", "results/runs/toy/b/seed-3"):
        request = train_request(inputs, *MODELS[name], folder)
        train.run(request)
        digests.append([sha256_file(request.output / file) for file in DETERMINISTIC])
    assert digests[0] == digests[1]


def test_training_learns(inputs):
    request = train_request(inputs, SASREC, with_budget(epochs=25, patience=25))
    train.run(request)
    history = pq.read_table(request.output / "history.parquet").to_pylist()
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]
    assert max(row["validation_ndcg@10"] for row in history) > 1.5 * history[0]["validation_ndcg@10"]


def test_patience_stops_a_training_that_does_not_get_better(inputs):
    training = with_budget(epochs=50, patience=2)
    training["optimizer"] = {**training["optimizer"], "learning_rate": 1e-12}
    request = train_request(inputs, SASREC, training)
    train.run(request)
    metrics = read_json(request.output / "metrics.json")
    assert (metrics["stopped"], metrics["best_epoch"], metrics["epochs"]) == ("patience", 1, 3)


def test_weights_are_those_of_the_best_epoch(inputs):
    training = with_budget(epochs=12, patience=12, monitor="hit_rate@1")
    training["optimizer"] = {**training["optimizer"], "learning_rate": 0.1}  # too large: it soon gets worse
    request = train_request(inputs, SASREC, training)
    train.run(request)
    best = read_json(request.output / "metrics.json")["best_epoch"]
    assert best < 12
    training["budget"]["epochs"] = best
    shorter = train_request(inputs, SASREC, training, "results/runs/shorter")
    train.run(shorter)
    weights, expected = (load_file(run.output / "model.safetensors") for run in (request, shorter))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_the_padding_row_is_never_trained(inputs):
    request = train_request(inputs, *MODELS["sasrec"])
    train.run(request)
    weights = load_file(request.output / "model.safetensors")
    start = build_sequential(SASREC, N_ITEMS, torch.Generator().manual_seed(0)).state_dict()
    assert weights["items.weight"][0].abs().max() == 0
    assert weights["items.weight"].shape == start["items.weight"].shape
    assert weights["items.weight"][1:].abs().min() > 0


def test_fitting_on_validation_changes_the_test_ranking_only(inputs):
    tables = {}
    for fit_on in ("train", "train+validation"):
        request = train_request(
            inputs, MODELS["markov"][0], {**CLOSED_FORM, "fit_on": fit_on}, f"results/runs/{fit_on}"
        )
        train.run(request)
        rows = pq.read_table(request.output / "ranks.parquet").to_pylist()
        tables[fit_on] = [[row for row in rows if row["split"] == split] for split in ("validation", "test")]
    assert tables["train"][0] == tables["train+validation"][0]
    assert tables["train"][1] != tables["train+validation"][1]
    split = read_split(request)
    expected = build_closed_form(MODELS["markov"][0], N_ITEMS)
    expected.fit(split.train_and_validation)
    saved = restore(request.parameters["config"], N_ITEMS, request.output / "model.safetensors")
    assert torch.equal(saved.score(split.histories["test"]), expected.score(split.histories["test"]))


def test_read_split_reads_what_was_prepared(inputs):
    split = read_split(train_request(inputs, *MODELS["popularity"]))
    assert rows_of(split.train)[-1] == [1, 2]
    assert isinstance(split, type(leave_one_out(split.train)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "temporal"}, "split: found 'temporal', expected one of leave_one_out"),
        ({"model": {**SASREC, "width": 7}}, "width 7 is not a multiple of heads 2"),
        ({"training": {**GRADIENT, "device": "cuda"}}, "torch finds no GPU"),
    ],
)
def test_bad_configurations_are_one_line(inputs, change, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    request = train_request(inputs, *MODELS["sasrec"])
    request.parameters["config"].update(change)
    with pytest.raises(InputError, match=message) as caught:
        train.run(request)
    assert "\n" not in str(caught.value)


def test_too_short_histories_are_an_input_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = write_prepared(Path("data"), [[1, 2, 3], [2, 3, 1]], 3)
    with pytest.raises(InputError, match="no user to train on or to validate with; expected users with 4 interactions"):
        train.run(train_request(inputs, *MODELS["sasrec"]))


def test_a_loss_that_is_not_a_number_stops_the_training(inputs):
    training = with_budget(epochs=5)
    training["optimizer"] = {**training["optimizer"], "learning_rate": 1e30}
    with pytest.raises(CheckFailed, match=r"the loss is (nan|inf) in epoch 1, step \d+; expected a number"):
        train.run(train_request(inputs, SASREC, training))


def test_without_a_terminal_progress_is_a_json_line_an_epoch(inputs, capsys):
    train.run(train_request(inputs, *MODELS["sasrec"]))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]

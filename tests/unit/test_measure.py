"""The measure step: counted on the rows that a training really saw, and once for all runs that see the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from made_data import GRADIENT, SASREC, random_rows, rows_of, train_request, write_prepared
from seqrepro.cli import main
from seqrepro.config.measures import Measures
from seqrepro.config.requests import write_requests
from seqrepro.config.run_plan import measure_request
from seqrepro.data import measure
from seqrepro.files import read_json, write_json
from seqrepro.provenance.sidecar import path_of
from seqrepro.training import loop, train
from seqrepro.training.views import make_view

N_ITEMS, WINDOW = 20, 5
ROWS = random_rows(40, N_ITEMS, seed=3)
MEASURES = Measures.model_validate(
    {
        "windows": [25],
        "orders": [1, 2],
        "lempel_ziv_tokens": 1000,
        "temporal": {"validation_share": 0.1, "test_share": 0.1, "target": "first"},
    }
)
SEEN = {
    "all": {},
    "users": {"data": {"kind": "users", "share": 0.4}},
    "interactions": {"data": {"kind": "interactions", "share": 0.4}},
    "noise": {"data": {"kind": "insert_random", "ratio": 0.5}},
    "deleted, cut": {"data": {"kind": "delete", "ratio": 0.3}, "last": 7},
}


def measured(folder, rows, windows, **training):
    """The measures of what a training with some parameters sees of some sequences."""
    asked = train_request(write_prepared(folder / "data", rows, N_ITEMS), SASREC, training, str(folder / "made"))
    asked.parameters.update({"windows": windows, "orders": [1, 2], "lempel_ziv_tokens": 1000})
    [path] = measure.run(asked)
    return read_json(path)["windows"]


def test_a_window_by_hand(tmp_path):
    """Two users, whose last two items are held out: 1 2 1 3 1 and 4 5 6 are left."""
    short, whole = measured(tmp_path, [[1, 2, 1, 3, 1, 9, 9], [4, 5, 6, 9, 9]], [3, None])
    assert {key: short[key] for key in ("last", "sequences", "tokens", "targets", "items")} == {
        "last": 3,
        "sequences": 2,
        "tokens": 6,
        "targets": 5,
        "items": 5,
    }
    assert short["entropy"]["repeats"] == {"users": 1, "share": pytest.approx(1 / 6)}
    assert short["entropy"]["approximate_entropy"]["1"]["users_without_repeats"] == 1
    assert (whole["tokens"], whole["targets"], whole["items"]) == (8, 6, 6)
    assert whole["entropy"]["repeats"] == {"users": 1, "share": pytest.approx(2 / 8)}


@pytest.mark.parametrize("name", SEEN)
def test_the_rows_are_those_of_the_training(tmp_path, monkeypatch, name):
    """The tokens and the targets that the fit of the same recipe and seed is given."""
    given = []

    def fit(config, split, *others):
        given.append(split.train)
        return loop.fit_gradient(config, split, *others)

    monkeypatch.setattr(train, "fit_gradient", fit)
    inputs = write_prepared(tmp_path / "run data", ROWS, N_ITEMS)
    train.run(train_request(inputs, SASREC | {"max_length": WINDOW}, GRADIENT | SEEN[name], str(tmp_path / "run")))
    view = make_view("all_positions", given[0], SEEN[name].get("last"))
    [found] = measured(tmp_path, ROWS, [WINDOW], **SEEN[name])
    shown = [row[-WINDOW:] for row in rows_of(view.train)]
    assert found["tokens"] == sum(map(len, shown)) == found["entropy"]["tokens"]
    assert found["targets"] == view.n_targets(WINDOW)
    assert found["sequences"] == len(shown)
    assert found["items"] == len({item for row in shown for item in row})
    again = sum(len(row) - len(set(row)) for row in shown)
    assert found["entropy"]["repeats"]["share"] == pytest.approx(again / found["tokens"])


def test_another_seed_draws_other_rows(tmp_path):
    asked = train_request(write_prepared(tmp_path / "data", ROWS, N_ITEMS), SASREC, SEEN["users"], str(tmp_path))
    asked.parameters.update({"windows": [None], "orders": [1], "lempel_ziv_tokens": 1000})
    found = []
    for seed in (3, 4):
        [path] = measure.run(replace(asked, parameters=asked.parameters | {"seed": seed}))
        found.append(path.read_bytes())
    assert found[0] != found[1]


# --- the plan


def requests(plan):
    return dict(measure_request(run, MEASURES) for run in plan.runs if run.is_trained)


def test_runs_that_see_the_same_share_a_job(make_plan, change):
    [(path, request)] = requests(make_plan()).items()  # no data is drawn: neither the seed nor the model changes it
    name = Path(request.folder).name
    assert path == Path(f"results/plan/measure/toy/{name}.json")
    assert request.folder == f"results/datasets/toy/measured/{name}"
    assert request.inputs == ["data/prepared/toy/sequences.parquet", "data/prepared/toy/statistics.json"]
    assert {key: request.parameters[key] for key in ("seed", "windows")} == {"seed": 0, "windows": [10]}
    assert set(request.parameters["config"]) == {"dataset", "split", "training"}
    change("width: 8", "width: 16")
    change("learning_rate: 1e-3", "learning_rate: 2e-3")
    assert requests(make_plan()) == {path: request}
    change("max_length: 10", "max_length: 12")
    assert path not in requests(make_plan())


def test_what_is_drawn_is_measured_for_each_seed(make_plan, change):
    plain = requests(make_plan())
    change("batch_size: 16}", "batch_size: 16}\n    data: {kind: users, share: 0.5}")
    drawn = requests(make_plan())
    assert [request.parameters["seed"] for request in drawn.values()] == [1, 2]
    assert drawn.keys().isdisjoint(plain)


def test_the_verb_leaves_a_sidecar(make_plan):
    plan = make_plan()
    write_requests(plan)
    [prepare] = plan.of("prepare")
    [(path, request)] = requests(plan).items()
    write_json(path, request.as_json())
    assert main(["prepare", str(prepare)]) == main(["measure", str(path)]) == 0
    record, [found] = read_json(path_of(request)), read_json(request.output / "measures.json")["windows"]
    assert list(record["outputs"]) == [f"{request.folder}/measures.json"] and record["code"] == request.code
    assert 0 < found["targets"] < found["tokens"] <= read_json(Path(request.inputs[1]))["n_interactions"]

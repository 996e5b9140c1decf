"""Request files: in topological order, written only when their content changed or when the results are of another."""

import json
import os
from pathlib import Path

import pytest

from seqrepro.config.dataset_plan import PLAN
from seqrepro.config.requests import state_of, write_requests
from seqrepro.errors import InputError
from seqrepro.provenance.fingerprint import closure, fingerprint, module_names, third_party
from seqrepro.provenance.sidecar import path_of
from seqrepro.request import read_request


def ages(folder=PLAN):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}


def backdate(*folders):
    for folder in folders:
        for path in Path(folder).rglob("*"):
            os.utime(path, (1, 1))


def test_one_request_a_job(make_plan):
    plan = make_plan()
    steps = [request.step for request in plan.requests.values()]
    assert {step: steps.count(step) for step in steps} == {
        "prepare": 1,
        "train": 4,
        "probe": 2,
        "compare": 1,
        "judge": 1,
        "report": 1,
    }
    assert [request.step for request in make_plan("public").requests.values()][:2] == ["retrieve", "prepare"]


@pytest.mark.parametrize("suite", ["small", "both", "public"])
def test_the_order_is_topological(make_plan, suite):
    seen: list[str] = []
    for request in make_plan(suite).requests.values():
        for name in request.inputs:
            if not name.startswith("registry/"):
                assert any(name.startswith(f"{folder}/") for folder in seen), f"{name} is made later"
        seen.append(request.folder)
    assert len(seen) == len(set(seen))


def test_a_request_says_what_it_uses(make_plan):
    requests = {str(path): request for path, request in make_plan().requests.items()}
    (name,) = (name for name in requests if "train" in name and "sasrec" in name and "seed-1" in name)
    request = requests[name]
    assert request.module == "seqrepro.training.train"
    assert request.uses == [
        "seqrepro.models.sasrec",
        "seqrepro.training.objectives.cross_entropy",
        "seqrepro.training.optimizers.adam",
    ]
    assert request.code == fingerprint((request.module, *request.uses))
    assert set(request.parameters) == {"dataset", "seed", "config"}
    assert request.inputs == ["data/prepared/toy/sequences.parquet", "data/prepared/toy/statistics.json"]


def test_a_request_names_the_optimizer_inside_of_another(make_plan, change):
    before = {request.code for request in make_plan().of("train").values()}
    change("{name: adam, learning_rate: 1e-3}", "{name: looksam, base: {name: adam}}")
    (uses,) = {tuple(request.uses[2:]) for request in make_plan().of("train").values() if len(request.uses) > 1}
    assert uses == ("seqrepro.training.optimizers.looksam", "seqrepro.training.optimizers.adam")
    assert fingerprint(uses) not in before
    names = module_names(closure(uses))
    assert {"seqrepro.training.sharpness", "seqrepro.training.optimizers.sam", "seqrepro.models.parts"} <= names
    assert third_party(closure(uses)) == third_party(closure(["seqrepro.training.precision"]))


def inputs_of(plan, step):
    return {tuple(request.inputs) for request in plan.of(step).values()}


def test_the_recbole_order_is_made_from_interactions(make_plan, change):
    change("{split: leave_one_out}", "{split: leave_one_out_recbole}")
    plan = make_plan()
    data = ("data/prepared/toy/interactions.parquet", "data/prepared/toy/statistics.json")
    assert inputs_of(plan, "train") == {data}
    assert all(inputs[:2] == data for inputs in inputs_of(plan, "probe"))


def test_a_pretraining_needs_the_items_and_its_own_code(make_plan, change):
    change("max_length: 10", "max_length: 10\n      mask_row: true")
    change("budget: {epochs: 2", "pretraining: {name: s3_rec, epochs: 1}\n    budget: {epochs: 2")
    plan = make_plan()
    items = "data/prepared/toy/items.parquet"
    trained = [request for request in plan.of("train").values() if "seqrepro.models.sasrec" in request.uses]
    assert all(request.inputs[2:] == [items] for request in trained)
    assert all(request.uses[-1] == "seqrepro.training.pretraining.s3_rec" for request in trained)
    others = [request for request in plan.requests.values() if request not in trained and request.step != "report"]
    assert not any(items in request.inputs for request in others)


def test_negatives_are_drawn_once_for_all_runs(make_plan, change):
    change("{split: leave_one_out}", "{split: leave_one_out, candidates: popularity, negatives: {count: 9, seed: 1}}")
    plan = make_plan()
    ((path, request),) = plan.of("candidates").items()
    data = ["data/prepared/toy/sequences.parquet", "data/prepared/toy/statistics.json"]
    negatives = f"{request.folder}/negatives.parquet"
    assert request.inputs == data
    assert set(request.parameters["config"]) == {"dataset", "split", "candidates"}
    assert request.parameters["config"]["candidates"] == {"kind": "popularity", "count": 9, "seed": 1}
    assert path == PLAN / f"candidates/toy/{Path(request.folder).name}.json"
    assert inputs_of(plan, "train") == {(*data, negatives)}
    assert all(inputs[2].endswith("/model.safetensors") for inputs in inputs_of(plan, "probe"))
    assert all(inputs[4] == negatives for inputs in inputs_of(plan, "probe"))
    seen = [request.step for request in plan.requests.values()]
    assert seen.index("candidates") < seen.index("train")
    change("negatives: {count: 9, seed: 1}", "negatives: {count: 9, seed: 2}")
    assert {other.folder for other in make_plan().of("candidates").values()}.isdisjoint({request.folder})


def test_each_run_carries_its_precision(make_plan, change):
    change("kind: gradient", "kind: gradient\n    precision: bf16")
    (request,) = make_plan().of("compare").values()
    found = {run["model"]: run["precision"] for run in request.parameters["runs"]}
    assert found == {"popularity": "fp64/fp32", "ease": "fp64/fp32", "sasrec": "bf16"}


def test_each_run_carries_its_protocol(make_plan):
    (request,) = make_plan().of("compare").values()
    words = "leave-one-out, full ranking, history masked, ties pessimistic"
    assert {run["protocol"] for run in request.parameters["runs"]} == {words}
    assert "protocol" not in request.parameters


def test_no_request_holds_an_absolute_path(make_plan):
    for suite in ("small", "public"):
        for path, request in make_plan(suite).requests.items():
            assert not path.is_absolute()
            assert not any(Path(name).is_absolute() for name in [*request.inputs, request.folder])


def test_requests_are_written_once(make_plan):
    plan = make_plan()
    assert write_requests(plan) == list(plan.requests)
    assert set(ages()) == set(plan.requests)
    backdate(PLAN)
    before = ages()
    assert write_requests(make_plan()) == []
    assert ages() == before


def test_a_written_request_is_read_back(make_plan):
    plan = make_plan()
    write_requests(plan)
    assert all(read_request(path, request.step) == request for path, request in plan.requests.items())


def test_a_changed_parameter_rewrites_its_requests_alone(make_plan, change):
    write_requests(make_plan())
    backdate(PLAN)
    change("{kind: drop_last, count: 1}", "{kind: drop_last, count: 2}")
    written = write_requests(make_plan())
    assert {path.parts[2] for path in written} == {"probe"}
    assert len(written) == 2
    assert {path for path, age in ages().items() if age != 1_000_000_000} == set(written)


def test_a_title_rewrites_only_what_prints_it(make_plan, change):
    write_requests(make_plan())
    change("title: EASE", "title: Ridge")
    assert [path.parts[2] for path in write_requests(make_plan())] == ["compare", "report"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"step": "train"}'])
def test_a_damaged_request_is_rewritten(make_plan, content):
    plan = make_plan()
    write_requests(plan)
    path = list(plan.requests)[2]
    path.write_text(content)
    assert write_requests(plan) == [path]
    assert json.loads(path.read_text()) == plan.requests[path].as_json()


def test_a_finished_suite_is_not_touched(finished):
    backdate(PLAN)
    before = ages()
    assert {state_of(request) for request in finished.requests.values()} == {"done"}
    assert write_requests(finished) == []
    assert ages() == before


def test_results_of_another_request_make_it_young_again(finished, finish):
    """As after a checkout: the request file says what is asked, but the results are older work."""
    path, request = next(iter(finished.of("prepare").items()))
    older = request.parameters | {"generator": {"kind": "markov", "users": 1}}
    finish(type(request)(**request.as_json() | {"parameters": older}))
    backdate(PLAN)
    assert state_of(request) == "changed"
    assert write_requests(finished) == [path]
    assert path.stat().st_mtime >= path_of(request).stat().st_mtime


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"request_sha256": 1}'])
def test_a_sidecar_that_is_none_counts_as_another(finished, content):
    path, request = next(iter(finished.of("train").items()))
    path_of(request).write_text(content)
    assert state_of(request) == "changed"
    assert write_requests(finished) == [path]


def test_results_without_a_sidecar_are_to_do(finished):
    request = next(iter(finished.of("train").values()))
    path_of(request).unlink()
    assert state_of(request) == "to do"
    assert write_requests(finished) == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"step": "probe"}, "this is a request for 'probe', not for 'train'"),
        ({"colour": "red"}, "not a request ("),
        ({"step": None}, "this is a request for 'None', not for 'train'"),
    ],
)
def test_a_request_that_is_none(make_plan, tmp_path, edit, message):
    request = next(iter(make_plan().of("train").values()))
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request.as_json() | edit))
    with pytest.raises(InputError) as caught:
        read_request(path, "train")
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_request_with_a_missing_key(tmp_path):
    path = tmp_path / "request.json"
    path.write_text('{"step": "train"}')
    with pytest.raises(InputError, match=r"request.json: not a request \("):
        read_request(path, "train")


def test_laws_are_refitted_beside_descriptions_of_public_data(make_plan, change):
    change(
        "    description: a dataset that is downloaded",
        "    description: real data\n    refit: {inverse_p1: [2], draws: 5, seed: 1}",
    )
    temporal = "temporal: {validation_share: 0.1, test_share: 0.1}"
    change(
        "protocols:\n", f"measures: {{windows: [25], orders: [1], lempel_ziv_tokens: 9, {temporal}}}\n\nprotocols:\n"
    )
    change("baselines: {datasets: [movies], seeds: [1]}", "baselines: {datasets: [movies, toy], seeds: [1]}")
    (request,) = make_plan("public").of("refit").values()
    assert [name for name in request.inputs if not name.startswith("registry/")] == [
        "results/datasets/movies/statistics.json"
    ]

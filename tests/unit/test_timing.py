"""The probe timing: steps and inference of whole runs, operations by formula, the bound, and how it is planned."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from made_data import GRADIENT, SASREC, probe_request, random_rows, train_request, write_prepared
from seqrepro.files import read_json, sha256_file
from seqrepro.probes import timing
from seqrepro.training import train
from seqrepro.workflow import load_workflow

N_ITEMS, D, INNER, LONG = 20, 8, 16, 10
MODEL = SASREC | {"layers": 1, "dropout": 0.0, "attention_dropout": 0.0}
HYDRA = MODEL | {"family": "hydrarec", "frame": "causal", "attention": {"name": "hydra"}}
SETTINGS = {"rounds": 1, "steps": 2, "warm_up": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Trained runs of rows that all have ten items, of which eight are seen in training."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [(row * LONG)[:LONG] for row in random_rows(40, N_ITEMS, seed=3)]
    inputs = write_prepared(folder / "data", rows, N_ITEMS)
    found = {}
    for name, model in {"sasrec": MODEL, "hydra": HYDRA}.items():
        found[name] = train_request(inputs, model, GRADIENT, str(folder / name))
        train.run(found[name])
    return found


def probe(run, folder, against=None, **wanted):
    return probe_request("timing", run, folder, against, **SETTINGS | wanted)


def measured(request):
    path, told = timing.run(request)
    assert read_json(told)["threads"] == 1
    return {(row["measure"], row["at"]): row["value"] for row in pq.read_table(path).to_pylist()}


@pytest.fixture(scope="module")
def values(runs, tmp_path_factory):
    before = {path: sha256_file(path) for run in runs.values() for path in Path(run.folder).rglob("*.*")}
    found = measured(probe(runs["hydra"], tmp_path_factory.mktemp("probe"), runs["sasrec"]))
    assert {path: sha256_file(path) for run in runs.values() for path in Path(run.folder).rglob("*.*")} == before
    return found


def test_operations_are_those_of_formulas(values):
    """16 rows of 7 inputs a step; 40 rows of 9 to rank for, at one position each."""
    dense = 4 * D * D + 2 * D * INNER  # products of a position
    step, inference = 16 * 7, 40 * 9
    rest = 2 * step * (dense + D * N_ITEMS)
    core = step * 7 * (4 * D + 6 * 2)
    assert values["against_operations_per_step", None] == rest + core
    assert values["against_core_share", None] == core / (rest + core)
    own = values["operations_per_step", None]
    assert own - rest == step * (9 * D + 2) + 2 * 7  # norms, and the count of positions
    rest = 2 * (inference * dense + 40 * D * (N_ITEMS + 1))
    core = inference * 9 * (4 * D + 6 * 2)
    assert values["against_inference_operations", None] == rest + core
    assert values["bound_of_inference", None] == pytest.approx((rest + core) / rest)


def test_the_gain_stands_beside_its_bound(values):
    assert values["bound_of_step", None] == 1 / (1 - values["against_core_share", None])
    for level, prefix in {"step": "", "inference": "inference_"}.items():
        low, gain, high = (values[f"gain_of_{level}{end}", None] for end in ("_low", "", "_high"))
        assert low <= gain <= high and gain == pytest.approx(1 / values[f"{prefix}ratio", None])


def test_seconds_to_the_best_epoch(runs, values):
    for prefix, name in {"": "hydra", "against_": "sasrec"}.items():
        best = read_json(Path(runs[name].folder) / "metrics.json")["best_epoch"]
        steps = values[f"{prefix}steps_per_epoch", None] * best
        assert values[f"{prefix}training_seconds", None] == steps * values[f"{prefix}seconds_per_step", None]
        assert values[f"{prefix}inference_seconds", None] > 0
        assert 0 < values[f"{prefix}attention_share", None] < 1


def test_alone_there_is_nothing_to_gain(runs, tmp_path):
    found = measured(probe(runs["sasrec"], tmp_path))
    assert found["ratio", None] == 1 and found["inference_seconds", None] > 0
    assert not [name for name, _ in found if "gain" in name or "bound" in name or "against" in name]


def test_of_two_stages_no_whole_training_is_told():
    assert timing._training_seconds({"pretraining_losses": [1.0], "best_epoch": 2}, None, 0.5) is None


def test_masked_items_are_timed_too(tmp_path):
    """Trainings by the Cloze task, whose rows have padding that attention must leave out."""
    inputs = write_prepared(tmp_path / "data", random_rows(30, N_ITEMS, seed=3), N_ITEMS)
    cloze = GRADIENT | {"view": "cloze", "masking": {"ratio": 0.4, "last_share": 0.2}}
    models = {"bert4rec": MODEL | {"family": "bert4rec"}, "hydra": HYDRA | {"frame": "bidirectional"}}
    found = {name: train_request(inputs, model, cloze, str(tmp_path / name)) for name, model in models.items()}
    for request in found.values():
        train.run(request)
    values = measured(probe(found["hydra"], tmp_path / "probe", found["bert4rec"]))
    assert 0 < values["core_share", None] < values["against_core_share", None] < 1
    assert values["bound_of_inference", None] > 1 and 0 < values["attention_share", None] < 1


# --- the plan


def test_it_waits_for_what_the_other_run_leaves(repository, change):
    small = "{family: sasrec, width: 12, layers: 1, heads: 2, inner_width: 16, dropout: 0.1, max_length: 10}"
    change("\nprobes:\n", f"  flat:\n    title: Flat\n    architecture: {small}\n    training: gradient\n\nprobes:\n")
    change("\nprobes:\n", "\nprobes:\n  whole: {kind: timing, against: sasrec}\n")
    change("probes: [robustness]", "probes: [whole]")
    change("models: [popularity, ease, sasrec]", "models: [popularity, ease, sasrec, flat]")
    workflow = load_workflow({})
    folders = {run.needs[0].model: run.folder for run in workflow.plan.runs}
    request = workflow.request("probe", f"whole/toy/{Path(folders['flat']).name}/seed-1.json")
    other = [f"{folders['sasrec']}/seed-1/{name}" for name in ("model.safetensors", "metrics.json")]
    assert request.inputs[-2:] == other and f"{folders['flat']}/seed-1/metrics.json" in request.inputs
    wildcards = {"probe": "whole", "dataset": "toy", "run": Path(folders["flat"]).name, "seed": 1}
    assert workflow.other_weights(type("Wildcards", (), wildcards)) == other
    assert workflow.probes("attention", "timing", "efficiency") == "whole"

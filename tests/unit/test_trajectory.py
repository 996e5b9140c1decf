"""The probe trajectory: a training done again, what is measured on its way, and that it is the path of the run."""

from statistics import fmean

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from made_data import GRADIENT, SASREC, probe_request, random_rows, sharp, train_request, write_prepared
from seqrepro.errors import CheckFailed, InputError
from seqrepro.files import sha256_file
from seqrepro.ledger.measurements import read_measurements
from seqrepro.probes import sharpness, trajectory
from seqrepro.probes.curvature.sample import read_surface
from seqrepro.probes.measurements import SCHEMA
from seqrepro.training import train

N_ITEMS = 20
MODEL = SASREC | {"width": 4, "layers": 1, "inner_width": 4, "max_length": 6}
BUDGET = {"epochs": 5, "patience": 5, "batch_size": 16, "monitor": "ndcg@10"}
LANCZOS = {"steps": 60, "tolerance": 1e-7}
FEW = {"steps": 2, "tolerance": 1.0}
SAMPLE = {"users": 30, "sample_seed": 1, "dtype": "float64"}
WANTED = SAMPLE | {"every": 2, "eigenvalues": LANCZOS, "rho": 0.05}
RECIPES = {
    "bce": {"objective": {"name": "bce", "negatives": 1, "exclude": "target"}, "optimizer": sharp("random_sam")},
    "ce": {},
    "ce on noisy data": {"data": {"kind": "swap", "ratio": 0.5}},
}


@pytest.fixture(scope="module", params=RECIPES)
def trained(request, tmp_path_factory):
    """A run with dropout: the request that trained it."""
    folder = tmp_path_factory.mktemp(request.param)
    inputs = write_prepared(folder / "data", random_rows(50, N_ITEMS, seed=3), N_ITEMS)
    run = train_request(inputs, MODEL, GRADIENT | {"budget": BUDGET} | RECIPES[request.param], str(folder / "run"))
    train.run(run)
    return run


def probe(run, folder, module="trajectory", **wanted):
    return probe_request(module, run, folder, **WANTED | wanted)


def measured(request):
    (path,) = trajectory.run(request)
    assert pq.read_schema(path) == SCHEMA
    return {(row.measure, row.at): row.value for row in read_measurements(path)}


def best_epoch(run):
    return next(row["epoch"] for row in history(run) if row["is_best"])


def history(run):
    return pq.read_table(run.output / "history.parquet").to_pylist()


def test_the_chosen_epochs_are_measured_and_the_best(trained, tmp_path):
    found = measured(probe(trained, tmp_path))
    best = best_epoch(trained)
    epochs = sorted({1, 2, 4, len(history(trained)), best})
    names = ("loss", "gradient_norm", "weight_norm", "batch_sharpness", "lambda_max", "residual")
    for name in names:
        assert [at for measure, at in found if measure == f"{name} over epoch"] == epochs
    assert (found["best_epoch", None], found["rho", None]) == (best, 0.05)
    assert len(found) == len(names) * len(epochs) + 2


def test_at_the_best_epoch_it_says_what_sharpness_says_of_the_saved_weights(trained, tmp_path):
    found, best = measured(probe(trained, tmp_path / "along")), best_epoch(trained)
    settings = {
        "eigenvalues": LANCZOS | {"count": 1},
        "trace": {"products": 6},
        "density": {"runs": 1, "steps": 2, "smoothing": 0.1, "points": 11},
        "ball": {"rho": 0.05, "adaptive_rho": 0.5, "steps": 0},
    }
    paths = sharpness.run(probe(trained, tmp_path / "end", "sharpness", **settings))
    end = {row["measure"]: row["value"] for row in pq.read_table(paths[0]).to_pylist()}
    for name in ("loss", "gradient_norm", "weight_norm"):
        assert found[f"{name} over epoch", best] == end[name]
    assert found["lambda_max over epoch", best] == pytest.approx(end["lambda_max"], rel=1e-9)
    assert found["residual over epoch", best] < 1e-4


def test_the_sharpness_of_batches_is_the_mean_rise_of_one_step_on_each(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("seqrepro.probes.curvature.sample.BATCH_EXAMPLES", 8)
    found, surface = measured(probe(trained, tmp_path, eigenvalues=FEW)), read_surface(probe(trained, tmp_path))
    batches = surface.of_batches()
    assert [len(batch.terms[0].batch.rows) for batch in batches] == [8, 8, 8, 6]
    total = sum(batch.loss(batch.point) * batch.n_targets for batch in batches)
    assert total / surface.n_targets == pytest.approx(surface.loss(surface.point), rel=1e-12)
    rises = []
    for batch in batches:
        gradient = batch.gradient(batch.point)
        rises.append(batch.loss(batch.point + 0.05 * gradient / gradient.norm()) - batch.loss(batch.point))
    assert found["batch_sharpness over epoch", best_epoch(trained)] == pytest.approx(fmean(rises), rel=1e-9)
    assert min(rises) > 0


def test_looking_changes_nothing(trained, tmp_path):
    """The weights at the end are those of the run, or the probe would fail; nothing else is written."""
    before = {path: sha256_file(path) for path in trained.output.rglob("*") if path.is_file()}
    request = probe(trained, tmp_path / "out", every=1, dtype="float32", eigenvalues=FEW)
    paths = trajectory.run(request)
    first = sha256_file(paths[0])
    trajectory.run(request)
    assert sha256_file(paths[0]) == first
    assert {path: sha256_file(path) for path in trained.output.rglob("*") if path.is_file()} == before
    assert list((tmp_path / "out").iterdir()) == paths
    assert not train.checkpoint_folder(tmp_path / "out").exists()


def tampered(run, folder, change):
    weights = load_file(run.output / "model.safetensors")
    change(weights)
    path = folder / "model.safetensors"
    save_file(weights, path)
    request = probe(run, folder, eigenvalues=FEW)
    request.inputs[2] = str(path)
    return request


def one_bit(weights):
    weights["positions.weight"].view(torch.int32)[2, 1] ^= 1


def one_less(weights):
    del weights["items.weight"]


def one_more(weights):
    weights["zebra"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("change", "name"), [(one_bit, "positions.weight"), (one_less, "items.weight"), (one_more, "zebra")]
)
def test_other_weights_are_not_this_run(trained, tmp_path, change, name):
    with pytest.raises(CheckFailed, match=rf"model.safetensors: weights {name} are not those of the training"):
        trajectory.run(tampered(trained, tmp_path, change))
    assert not (tmp_path / "measurements.parquet").exists()


def test_another_seed_is_another_path(trained, tmp_path):
    with pytest.raises(CheckFailed, match="the path of this run"):
        trajectory.run(probe(trained, tmp_path, seed=4, eigenvalues=FEW))


def test_a_run_of_a_gpu_is_refused(trained, tmp_path):
    request = probe(trained, tmp_path)
    request.parameters["config"] = trained.parameters["config"] | {
        "training": trained.parameters["config"]["training"] | {"device": "cuda"}
    }
    with pytest.raises(InputError, match="found device 'cuda', expected 'cpu'"):
        trajectory.run(request)


# --- the plan


def test_its_code_includes_that_of_the_training(make_plan, change):
    change("probes:\n  robustness:", "probes:\n  along: {kind: trajectory, eigenvalues: {}}\n  robustness:")
    change("probes: [robustness]", "probes: [along]")
    plan = make_plan()
    trainings = {request.folder: request for request in plan.of("train").values()}
    probes = list(plan.of("probe").values())
    assert len(probes) == 2  # seeds of the only trained model
    for request in probes:
        training = trainings[request.folder.removesuffix("/probes/along")]
        assert request.uses == training.uses and "seqrepro.training.optimizers.adam" in request.uses
        assert (request.parameters["every"], request.parameters["users"]) == (5, 2048)
        assert request.inputs[:2] == training.inputs

"""The probes sharpness and landscape on a trained network, and how they are planned."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from made_data import GRADIENT, SASREC, probe_request, random_rows, train_request, write_prepared
from seqrepro.config.load import load_parameters
from seqrepro.errors import InputError
from seqrepro.files import sha256_file
from seqrepro.probes import landscape, sharpness
from seqrepro.probes.curvature.sample import read_surface
from seqrepro.probes.measurements import SCHEMA
from seqrepro.training import train
from seqrepro.workflow import load_workflow

N_ITEMS = 20
BCE = {"name": "bce", "negatives": 1, "exclude": "target"}
MODEL = SASREC | {"width": 4, "layers": 1, "inner_width": 4, "max_length": 6}
SAMPLE = {"users": 10, "sample_seed": 1, "dtype": "float64"}
SHARPNESS = {
    "eigenvalues": {"count": 2, "steps": 12, "tolerance": 1e-2},
    "trace": {"products": 6},
    "density": {"runs": 1, "steps": 3, "smoothing": 0.01, "points": 101},
    "ball": {"rho": 0.05, "adaptive_rho": 0.5, "steps": 2},
}
EXACT = {"count": 2, "steps": 60, "tolerance": 1e-7}
LANDSCAPE = {"points": 5, "grid": 3, "reach": 0.5, "eigenvalues": {"steps": 40, "tolerance": 1e-6}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two trained runs: requests to train, by name; one with full and one with binary cross-entropy."""
    folder = tmp_path_factory.mktemp("runs")
    inputs = write_prepared(folder / "data", random_rows(50, N_ITEMS, seed=3), N_ITEMS)
    found = {}
    for name, objective in {"ce": {"name": "cross_entropy"}, "bce": BCE}.items():
        found[name] = train_request(inputs, MODEL, GRADIENT | {"objective": objective}, str(folder / name))
        train.run(found[name])
    return found


def probe(run, kind, folder, **wanted):
    settings = {"sharpness": SHARPNESS, "landscape": LANDSCAPE}[kind]
    return probe_request(kind, run, folder, **SAMPLE | settings | wanted)


def measured(request):
    paths = sharpness.run(request)
    return {(row["measure"], row["at"]): row["value"] for row in pq.read_table(paths[0]).to_pylist()}


def test_sharpness_is_that_of_the_whole_hessian(runs, tmp_path):
    request = probe(runs["ce"], "sharpness", tmp_path, eigenvalues=EXACT, trace={"products": 30})
    values, surface = measured(request), read_surface(request)
    hessian = torch.stack([surface.hessian_times(row) for row in torch.eye(len(surface.point), dtype=torch.float64)])
    exact = torch.linalg.eigvalsh(hessian)
    assert values["lambda_max", None] == values["eigenvalue", 1] == pytest.approx(float(exact[-1]), rel=1e-9)
    assert values["lambda_min", None] == values["smallest_eigenvalue", 1] == pytest.approx(float(exact[0]), rel=1e-6)
    assert values["eigenvalue", 2] == pytest.approx(float(exact[-2]), rel=1e-6)
    assert values["residual", 1] < 1e-5
    assert abs(values["trace", None] - float(hessian.trace())) < 4 * values["trace_error", None]
    for part, mask in surface.parts().items():
        block = torch.linalg.eigvalsh(hessian[mask][:, mask])
        assert values[f"lambda_max_{part}", None] == pytest.approx(float(block[-1]), rel=1e-5)
    assert values["loss", None] == surface.loss(surface.point)
    assert values["gradient_norm", None] == float(surface.gradient(surface.point).norm())
    assert (values["parameters", None], values["rho", None]) == (len(surface.point), 0.05)
    for prefix in ("", "adaptive_"):
        one, largest = values[f"{prefix}loss_increase_one_step", None], values[f"{prefix}loss_increase", None]
        assert 0 < one <= largest


def test_the_files_of_sharpness(runs, tmp_path):
    request = probe(runs["bce"], "sharpness", tmp_path)
    paths = sharpness.run(request)
    assert [path.name for path in paths] == ["measurements.parquet", "density.parquet"]
    measurements, density = map(pq.read_table, paths)
    assert measurements.schema == SCHEMA and density.schema == sharpness.DENSITY
    measures = measurements["measure"].to_pylist()
    judged = {"lambda_max", "trace", "loss_increase", "adaptive_loss_increase"}
    assert judged < set(measures) and all(measures.count(name) == 1 for name in judged)
    assert len(density) == 101
    before = [sha256_file(path) for path in paths]
    assert [sha256_file(path) for path in sharpness.run(request)] == before


def test_the_sample_does_not_depend_on_the_seed_of_the_run(runs, tmp_path):
    request = probe(runs["bce"], "sharpness", tmp_path)
    other = replace(request, parameters=request.parameters | {"seed": 9})
    assert measured(other) == measured(request)
    another = read_surface(replace(request, parameters=request.parameters | {"sample_seed": 2}))
    assert another.loss(another.point) != measured(request)["loss", None]


def test_models_of_different_losses_can_be_measured_by_one(runs, tmp_path):
    own = measured(probe(runs["bce"], "sharpness", tmp_path))
    assert measured(probe(runs["bce"], "sharpness", tmp_path, loss=BCE)) == own
    common = measured(probe(runs["ce"], "sharpness", tmp_path, loss=BCE))
    surface = read_surface(probe(runs["ce"], "sharpness", tmp_path))
    assert common["loss", None] != surface.loss(surface.point)
    assert common["targets", None] == own["targets", None] == surface.n_targets


def test_single_precision_agrees(runs, tmp_path):
    double = measured(probe(runs["bce"], "sharpness", tmp_path))
    single = measured(probe(runs["bce"], "sharpness", tmp_path, dtype="float32"))
    for name in ("loss", "lambda_max", "loss_increase", "adaptive_loss_increase"):
        assert single[name, None] == pytest.approx(double[name, None], rel=1e-3)


def lines(request):
    (path,) = landscape.run(request)
    table = pq.read_table(path)
    assert table.schema == landscape.SCHEMA
    return {(row["kind"], row["x"], row["y"]): row["loss"] for row in table.to_pylist()}


def test_the_landscape_has_the_solution_in_its_middle(runs, tmp_path):
    request = probe(runs["ce"], "landscape", tmp_path)
    found, surface = lines(request), read_surface(request)
    here = surface.loss(surface.point)
    middles = [("surface", 0, 0), ("random", 0, None), ("eigenvector_1", 0, None), ("eigenvector_2", 0, None)]
    assert [found[middle] for middle in middles] == [here] * 4
    assert len(found) == 9 + 3 * 5 and len(set(found.values())) == 9 + 3 * 5 - 3 - 2  # the middle row is the line's
    assert found["surface", -1, 0] == found["random", -1, None]
    assert {x for kind, x, _ in found if kind == "eigenvector_1"} == {-0.5, -0.25, 0, 0.25, 0.5}


def test_a_line_along_an_eigenvector_bends_by_its_eigenvalue(runs, tmp_path):
    found = lines(probe(runs["ce"], "landscape", tmp_path, reach=1e-3))
    values = measured(probe(runs["ce"], "sharpness", tmp_path, eigenvalues=EXACT))
    for place in (1, 2):
        line = [found[f"eigenvector_{place}", x, None] for x in (-1e-3, 0, 1e-3)]
        assert (line[0] - 2 * line[1] + line[2]) / 1e-6 == pytest.approx(values["eigenvalue", place], rel=1e-3)


def test_the_line_between_two_solutions(runs, tmp_path):
    other = f"{runs['bce'].folder}/model.safetensors"
    found = lines(probe(runs["ce"], "landscape", tmp_path, towards=other))
    surface = read_surface(probe(runs["ce"], "landscape", tmp_path))
    assert sorted(x for kind, x, _ in found if kind == "line") == [-0.5, 0, 0.5, 1, 1.5]
    assert found["line", 0, None] == surface.loss(surface.point)
    there = landscape.weights_of(surface, Path(other))
    assert found["line", 1, None] == pytest.approx(surface.loss(there), rel=1e-12)


def test_there_is_no_line_to_another_kind_of_network(runs, tmp_path):
    wider = train_request(runs["ce"].inputs, MODEL | {"inner_width": 8}, GRADIENT, str(tmp_path / "wider"))
    train.run(wider)
    request = probe(runs["ce"], "landscape", tmp_path, towards=f"{wider.folder}/model.safetensors")
    with pytest.raises(InputError, match=r"model.safetensors: weights \S+ have shape \[8, 4\], expected \[4, 4\]"):
        landscape.run(request)


# --- the plan


PROBES = (
    "probes:\n  curved: {kind: sharpness, eigenvalues: {}, trace: {}, density: {}, ball: {}}\n"
    "  around: {kind: landscape, eigenvalues: {}, towards: longer}\n  robustness:"
)
LONGER = (
    "  longer:\n    title: Longer\n    architecture: {family: sasrec, width: 8, layers: 1, heads: 2, inner_width: 16, "
    "dropout: 0.2, max_length: 10}\n    training: gradient\n\nprobes:\n"
)


@pytest.fixture
def asks(change):
    """params.yaml with both probes, and a second network."""
    change("probes:\n  robustness:", PROBES)
    change("\nprobes:\n", LONGER)
    change("probes: [robustness]", "probes: [curved, around]")
    change("models: [popularity, ease, sasrec]", "models: [popularity, ease, sasrec, longer]")


def test_only_trained_networks_are_measured(make_plan, asks):
    requests = [request for request in make_plan().of("probe").values() if "sasrec" in request.folder]
    assert len(requests) == len(make_plan().of("probe")) == 2 * 2 * 2  # probes, networks, seeds
    assert {request.module for request in requests} == {"seqrepro.probes.sharpness", "seqrepro.probes.landscape"}
    for request in requests:
        assert not {"kind", "models", "loss"} & set(request.parameters)
        assert request.parameters["users"] == 2048


def test_a_line_leads_to_the_run_of_the_same_seed(make_plan, asks):
    plan = make_plan()
    folders = {run.needs[0].model: run.folder for run in plan.runs}
    for request in plan.of("probe").values():
        expected = "sasrec" in request.folder and request.module.endswith("landscape")
        expected = expected and request.folder.startswith(folders["sasrec"] + "/")
        assert ("towards" in request.parameters) == expected
        if expected:
            weights = f"{folders['longer']}/seed-{request.parameters['seed']}/model.safetensors"
            assert request.inputs[-1] == request.parameters["towards"] == weights


def test_a_line_needs_its_other_end(make_plan, asks, change):
    change("sasrec, longer]", "sasrec]")
    with pytest.raises(InputError, match="towards 'longer': no run of it on toy with seed 1; expected one"):
        make_plan()


def test_an_unknown_other_end_is_found_in_the_file(repository, asks, change):
    change("towards: longer", "towards: lunger")
    with pytest.raises(InputError, match=r"params.yaml:\d+: probes.around.towards.*unknown model 'lunger'.*longer"):
        load_parameters()


def test_rules_know_their_files(repository, asks, make_plan):
    workflow = load_workflow({})
    assert (workflow.probes("sharpness"), workflow.probes("landscape")) == ("curved", "around")
    results = sorted({name.split("/probes/")[1] for name in workflow.probe_files()})
    assert results == ["around/landscape.parquet", "curved/measurements.parquet"]

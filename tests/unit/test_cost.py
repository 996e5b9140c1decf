"""The cost of a step: the probe, how it is planned, and its tables."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from made_data import GRADIENT, SASREC, probe_request, random_rows, sharp, train_request, write_prepared
from seqrepro.config.load import load_parameters
from seqrepro.errors import InputError
from seqrepro.files import read_json, sha256_file, write_json, write_parquet
from seqrepro.ledger import compare, judge
from seqrepro.ledger.claims import PAPERS, read_claims
from seqrepro.probes import cost, turns
from seqrepro.probes.measurements import SCHEMA
from seqrepro.report import site
from seqrepro.training import train
from seqrepro.training.checkpoint import CheckpointStore, Identity
from seqrepro.training.inputs import read_split
from seqrepro.training.loop import Trainer
from seqrepro.workflow import load_workflow

N_ITEMS = 20
MODEL = SASREC | {"width": 4, "layers": 1, "inner_width": 4, "max_length": 6}
SETTINGS = {"rounds": 1, "steps": 2, "warm_up": 2}
OPTIMIZERS = {"adam": GRADIENT["optimizer"], "sam": sharp("sam"), "looksam": sharp("looksam", period=2)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Trained runs, by the name of the optimizer."""
    folder = tmp_path_factory.mktemp("runs")
    inputs = write_prepared(folder / "data", random_rows(50, N_ITEMS, seed=3), N_ITEMS)
    found = {}
    for name, optimizer in OPTIMIZERS.items():
        found[name] = train_request(inputs, MODEL, GRADIENT | {"optimizer": optimizer}, str(folder / name))
        train.run(found[name])
    return found


def probe(run, folder, against=None, **wanted):
    return probe_request("cost", run, folder, against, **SETTINGS | wanted)


def measured(request):
    (path,) = cost.run(request)
    table = pq.read_table(path)
    assert table.schema == SCHEMA
    return {(row["measure"], row["at"]): row["value"] for row in table.to_pylist()}


def test_it_measures_the_training_that_the_run_had(tmp_path):
    inputs = write_prepared(tmp_path / "data", random_rows(50, N_ITEMS, seed=3), N_ITEMS)
    few = train_request(inputs, MODEL, GRADIENT | {"data": {"kind": "users", "share": 0.2}}, str(tmp_path / "few"))
    train.run(few)
    assert measured(probe(few, tmp_path))["steps_per_epoch", None] == 1


def test_the_interval_by_hand():
    ratio, low, high = turns.interval([4.0, 6.0, 16.0], [2.0, 1.5, 2.0])  # 2, 4 and 8
    reach = 4.302653 * math.log(2) / math.sqrt(3)  # t of 2 degrees of freedom, deviation log 2
    assert ratio == pytest.approx(4)
    assert (low, high) == (pytest.approx(4 * math.exp(-reach), rel=1e-6), pytest.approx(4 * math.exp(reach), rel=1e-6))


def test_steps_are_those_of_a_training(runs, tmp_path):
    config = runs["sam"].parameters["config"]
    store = CheckpointStore(tmp_path / "checkpoints", Identity("", "", ""))
    make = lambda: Trainer(config, read_split(runs["sam"]), 3, torch.device("cpu"), store)  # noqa: E731
    trained, states = make(), []
    trained.fit(lambda log: states.append({name: w.clone() for name, w in trained.model.state_dict().items()}))
    stepped = make()  # only now: dropout has one generator in a process
    an_epoch = trained.progress.step // len(states)
    assert an_epoch > 1
    for state in states:  # the last batch of an epoch is smaller, and the next one is shuffled anew
        stepped.take_steps(an_epoch)
        assert all(torch.equal(state[name], weight) for name, weight in stepped.model.state_dict().items())
    assert stepped.progress.passes == trained.progress.passes


def test_blocks_go_there_and_back():
    order, cpu = [], torch.device("cpu")
    sides = [turns.Side(partial(lambda name, times: order.append(f"{name}{times}"), name), 3, cpu) for name in "ab"]
    turns.take_turns(sides, 2)
    assert order == ["a3", "b3", "b3", "a3"] * 2
    assert [len(side.each) for side in sides] == [4, 4]
    assert sides[0].each == [seconds / 3 for seconds in sides[0].seconds]


def test_the_warm_up_is_not_timed():
    taken = []
    trainer = SimpleNamespace(take_steps=taken.append, device=torch.device("cpu"))
    (side,) = cost.time_steps([trainer], {"rounds": 1, "steps": 2, "warm_up": 5})
    assert taken == [5, 2, 2] and len(side.seconds) == 2


def test_a_step_of_sam_beside_one_of_adam(runs, tmp_path):
    before = {path: sha256_file(path) for run in runs.values() for path in Path(run.folder).rglob("*.*")}
    values = measured(probe(runs["sam"], tmp_path / "probe", runs["adam"]))
    assert {path: sha256_file(path) for run in runs.values() for path in Path(run.folder).rglob("*.*")} == before
    assert [path.name for path in (tmp_path / "probe").iterdir()] == ["measurements.parquet"]

    blocks = {side: [values[f"{side}seconds_per_step over block", at] for at in (1, 2)] for side in ("", "against_")}
    found = tuple(values[name, None] for name in ("ratio", "ratio_low", "ratio_high"))
    assert found == pytest.approx(turns.interval(*blocks.values())) and found[1] < found[0] < found[2]
    assert values["passes_per_step", None] == 2 and values["against_passes_per_step", None] == 1
    assert min(blocks[""]) < values["seconds_per_step", None] < max(blocks[""])
    examples = sum(len(row) > 3 for row in random_rows(50, N_ITEMS, seed=3))  # two items of each are held out
    assert values["steps_per_epoch", None] == values["against_steps_per_epoch", None] == math.ceil(examples / 16)


def test_memory_is_counted_to_the_byte(runs, tmp_path):
    """Of P weights: Adam has two moments and a counter a tensor, SAM a mark a weight and three vectors in a pass."""
    values = {name: measured(probe(runs[name], tmp_path / name)) for name in ("adam", "sam", "looksam")}
    parameters = read_json(Path(runs["adam"].folder) / "metrics.json")["parameters"]
    weights, moments = 4 * parameters, 8 * parameters
    kinds = ("weight", "gradient", "optimizer", "vector", "memory")
    found = {name: [values[name][f"{kind}_bytes", None] for kind in kinds] for name in values}
    counters = found["adam"][2] - moments
    assert 0 < counters < 4 * 100
    assert found["adam"][:4] == [weights, weights, moments + counters, 0]
    replayed = found["sam"][3] - 3 * weights  # states of generators, for the second pass
    assert found["sam"][:3] == [weights, weights, moments + counters + weights // 4]
    assert 0 <= replayed < 20_000
    assert found["looksam"][2] == found["sam"][2] + weights
    assert all(sum(sizes[:4]) == sizes[4] for sizes in found.values())
    assert values["looksam"]["passes_per_step", None] == 1.5  # one step in two has a second pass
    alone = {name: value for (name, _), value in values["looksam"].items() if "ratio" in name or "against" in name}
    assert alone == {"ratio": 1}


def test_of_two_stages_the_second_is_measured(runs):
    run = runs["adam"]
    recipe = run.parameters["config"]["training"] | {"pretraining": {"name": "nothing of that name is built"}}
    config, weights = run.parameters["config"] | {"training": recipe}, Path(run.folder) / "model.safetensors"
    trainer = cost.make_trainer(config, weights, read_split(run), 3)
    trainer.take_steps(1)
    assert (trainer.progress.step, trainer.progress.passes) == (1, 1)


def test_both_must_run_on_the_same_threads(runs, tmp_path):
    other = json.loads(json.dumps(runs["adam"].parameters))
    other["config"]["training"]["threads"] = 2
    with pytest.raises(InputError, match=r"training\.threads is 1 and 2; expected the same"):
        cost.run(probe(runs["sam"], tmp_path, replace(runs["adam"], parameters=other)))


# --- the plan


SHARP = (
    "  sharp:\n    kind: gradient\n    objective: {name: cross_entropy}\n"
    "    optimizer: {name: sam, base: {name: adam, learning_rate: 1e-3}}\n"
    "    budget: {epochs: 2, patience: 2, batch_size: 16, monitor: mrr@5}\n\nmodels:\n"
)
SAM = (
    "  flat:\n    title: Flat\n    architecture: {family: sasrec, width: 8, layers: 1, heads: 2, inner_width: 16, "
    "dropout: 0.1, max_length: 10}\n    training: sharp\n\nprobes:\n  price: {kind: cost, against: sasrec}\n"
)


@pytest.fixture
def asks(change):
    """params.yaml with a cost probe, and a second network."""
    change("\nmodels:\n  popularity:", f"{SHARP}  popularity:")
    change("\nprobes:\n", SAM)
    change("probes: [robustness]", "probes: [price]")
    change("models: [popularity, ease, sasrec]", "models: [popularity, ease, sasrec, flat]")


def by_model(plan):
    folders = {run.needs[0].model: run.folder for run in plan.runs}
    requests = list(plan.of("probe").values())
    return folders, {
        name: [request for request in requests if request.folder.startswith(folder + "/")]
        for name, folder in folders.items()
    }


def test_the_other_run_of_the_same_seed_is_beside(make_plan, asks):
    plan = make_plan()
    folders, requests = by_model(plan)
    assert {name: len(found) for name, found in requests.items()} == {
        "popularity": 0,
        "ease": 0,
        "sasrec": 2,
        "flat": 2,
    }
    assert all("against" not in request.parameters for request in requests["sasrec"])
    config = next(run.config for run in plan.runs if run.folder == folders["sasrec"])
    for request in requests["flat"]:
        weights = f"{folders['sasrec']}/seed-{request.parameters['seed']}/model.safetensors"
        assert request.parameters["against"] == {"config": config, "weights": weights}
        assert request.inputs[-1] == weights
        assert set(request.uses) == {
            *("seqrepro.models.sasrec", "seqrepro.training.objectives.cross_entropy"),
            *("seqrepro.training.optimizers.sam", "seqrepro.training.optimizers.adam"),
        }
        assert (request.parameters["rounds"], request.parameters["steps"]) == (20, 10)


def test_compare_reads_the_probes_and_the_histories(make_plan, asks):
    plan = make_plan()
    folders, _ = by_model(plan)
    (request,) = plan.of("compare").values()
    told = request.parameters["cost"]
    assert len(told) == 4 and set(told) < set(request.inputs)
    path = f"{folders['flat']}/seed-2/probes/price/measurements.parquet"
    expected = {"trained": f"{folders['flat']}/seed-2", "reference": f"{folders['sasrec']}/seed-2"}
    assert told[path] == expected | {"against": "sasrec", "metric": "ndcg@10"}  # the reference's, not its own
    histories = [name for name in request.inputs if name.endswith("history.parquet")]
    assert sorted(histories) == sorted(
        f"{folders[name]}/seed-{n}/history.parquet" for name in ("flat", "sasrec") for n in (1, 2)
    )


def test_no_table_of_costs_is_judged_without_a_probe(make_plan):
    plan = make_plan()
    (judged,), (compared,) = plan.of("judge").values(), plan.of("compare").values()
    assert not [name for name in judged.inputs if "/tables/" in name]
    assert compared.parameters["cost"] == {}


def test_the_rule_waits_for_the_other_weights(repository, asks):
    workflow = load_workflow({})
    assert workflow.probes("cost") == "price"
    for model, expected in {"sasrec": 0, "flat": 1}.items():
        folder = by_model(workflow.plan)[0][model]
        wildcards = {"probe": "price", "dataset": "toy", "run": Path(folder).name, "seed": 1}
        assert len(workflow.other_weights(type("Wildcards", (), wildcards))) == expected


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("ease", r"params.yaml:\d+: probes.price.against: found 'ease', a closed form, expected a trained model"),
        ("sasrek", r"params.yaml:\d+: probes.price.against.*unknown model 'sasrek'.*sasrec"),
    ],
)
def test_the_other_model_must_have_steps(repository, asks, change, other, message):
    change("against: sasrec", f"against: {other}")
    with pytest.raises(InputError, match=message):
        load_parameters()


def test_a_suite_without_the_other_run_is_an_error(make_plan, asks, change):
    change("models: [popularity, ease, sasrec, flat]", "models: [popularity, ease, flat]")
    with pytest.raises(InputError, match="probes: against 'sasrec': no run of it on toy with seed 1; expected one"):
        make_plan()


# --- the tables


ALONE = {"seconds_per_step": 0.5, "passes_per_step": 1.0, "steps_per_epoch": 10.0, "targets_per_second": 64.0}
ALONE |= {"memory_bytes": 400.0, "weight_bytes": 100.0, "gradient_bytes": 100.0}
BESIDE = ALONE | {"seconds_per_step": 1.0, "passes_per_step": 2.0, "memory_bytes": 700.0, "memory_ratio": 1.75}
BESIDE |= {f"against_{name}": value for name, value in ALONE.items()}
RATIOS = {"ratio": 2.0, "ratio_low": 1.95, "ratio_high": 2.05}


def write_measurements(folder, values):
    rows = [(name, None, value) for name, value in values.items()]
    table = pa.table([*map(list, zip(*rows, strict=True))], schema=SCHEMA)
    write_parquet(folder / "probes/cost/measurements.parquet", table)


@pytest.fixture
def costly(suite, compare_request):
    """A request to compare where SASRec is the reference of TiM4Rec, whose second seed has not run; 6 epochs each."""
    folders = {run["model"]: Path(run["folder"]) for run in suite["runs"] if run["dataset"] == "beauty"}
    for model, seed in [("sasrec", 1), ("sasrec", 2), ("sasrec", 3), ("tim4rec", 1), ("tim4rec", 2)]:
        own, other = folders[model] / f"seed-{seed}", folders["sasrec"] / f"seed-{seed}"
        told = {"trained": own.as_posix(), "reference": other.as_posix(), "against": "sasrec", "metric": "ndcg@10"}
        compare_request.parameters["cost"][f"{own.as_posix()}/probes/cost/measurements.parquet"] = told
        if model == "sasrec":
            write_measurements(own, ALONE)
    sharp_one = folders["tim4rec"] / "seed-1"
    write_measurements(sharp_one, BESIDE | RATIOS)
    write_json(sharp_one / "metrics.json", read_json(sharp_one / "metrics.json") | {"passes": 120})
    return compare_request


def rows_of(table):
    return pq.read_table(f"results/standard/tables/{table}.parquet").to_pylist()


def test_a_row_a_measured_run(costly):
    written = {path.name for path in compare.run(costly)}
    assert written >= {"cost.parquet", "cost.csv", "compute.parquet", "compute.csv"}
    rows = rows_of("cost")
    assert [(row["model"], row["against"], row["seed"]) for row in rows] == [
        *(("sasrec", "sasrec", seed) for seed in (1, 2, 3)),
        ("tim4rec", "sasrec", 1),
    ]
    assert [rows[3][name] for name in (*RATIOS, "memory_ratio")] == [2.0, 1.95, 2.05, 1.75]
    assert (rows[3]["seconds_per_step"], rows[3]["against_seconds_per_step"]) == (1.0, 0.5)
    assert rows[0]["ratio"] is None and rows[0]["memory_bytes"] == 400


def test_equal_steps_and_equal_compute_by_hand(costly):
    compare.run(costly)
    rows = {(row["model"], row["seed"]): row for row in rows_of("compute")}
    assert len(rows) == 4
    row = rows["tim4rec", 1]
    value = lambda epochs: pytest.approx(0.06 * 7.0 * (1 - 0.5**epochs) + 0.01)  # noqa: E731
    counts = ("epochs", "best_epoch", "steps", "steps_to_best", "passes", "passes_to_best")
    assert [row[name] for name in counts] == [6, 5, 60, 50, 120, 100]
    assert (row["seconds"], row["seconds_to_best"], row["time_to_best_ratio"]) == (60, 50, 2)
    assert (row["best"], row["at_equal_steps"]) == (value(6), value(6))
    assert row["at_equal_compute"] == value(3)  # 60 passes of the other: half of the epochs
    other = rows["sasrec", 1]
    assert other["at_equal_compute"] == other["at_equal_steps"] == other["best"]
    assert (other["passes"], other["seconds"], other["time_to_best_ratio"]) == (60, 30, 1)


def test_a_first_stage_is_no_part_of_equal_compute(costly):
    for path in Path("results/runs/beauty").glob("tim4rec-*/seed-1/metrics.json"):
        write_json(path, read_json(path) | {"pretraining_losses": [1.0]})
    compare.run(costly)
    (row,) = (row for row in rows_of("compute") if row["model"] == "tim4rec")
    assert (row["note"], row["steps"], row["at_equal_compute"]) == ("two stages", None, None)
    assert row["seconds"] is None and row["time_to_best_ratio"] is None
    assert row["best"] is not None


def test_without_the_probe_only_epochs_are_known(costly):
    for path in Path("results/runs/beauty").glob("*/seed-*/probes/cost/measurements.parquet"):
        path.unlink()
    compare.run(costly)
    assert rows_of("cost") == []
    rows = rows_of("compute")
    assert len(rows) == 4 and {(row["epochs"], row["steps"], row["at_equal_steps"]) for row in rows} == {
        (6, None, None)
    }


def test_the_report_has_a_line_a_model(costly, suite, judge_request, report_request):
    few = [run for run in suite["runs"] if run["dataset"] == "beauty" and run["model"] in ("sasrec", "tim4rec")]
    wanted = {"datasets": {"beauty": suite["datasets"]["beauty"]}, "runs": few}
    wanted["names"] = {run["folder"]: [[run["model"], run["protocol_name"]]] for run in few}
    compare.run(costly)
    judge.run(judge_request())
    site.run(replace(report_request, parameters=report_request.parameters | wanted))
    text = Path("results/standard/report/results.html").read_text()
    assert text.count("<h3>Cost of a step</h3>") == 1
    part = text[text.index("<h3>Cost of a step</h3>") :]
    assert "<b>2.00</b>" in part and "[1.95, 2.05]" in part and "the reference" in part and "beside sasrec" in part


# --- the claim


def test_the_claim_reads_a_measure_that_the_probe_has(runs, tmp_path):
    claims = read_claims(Path(__file__).parents[2] / PAPERS / "samrec/claims.yaml")
    (part,) = next(claim.parts for claim in claims.claims if claim.id == "X5")
    assert (part.kind, part.ratio) == ("measured", [1.9, 2.1])
    assert (part.measure, None) in measured(probe(runs["adam"], tmp_path))

"""A suite with three protocols on one dataset, run by Snakemake: temporal split, RecBole's order, sampled negatives."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from workspaces import Workspace, make_workspace

TEMPORAL = {"validation_share": 0.2, "test_share": 0.2, "target": "last"}
PROTOCOLS = {
    "temporal": {"split": "global_temporal", "temporal": TEMPORAL},
    "recbole": {"split": "leave_one_out_recbole"},
    "sampled": {"split": "leave_one_out", "candidates": "uniform", "negatives": {"count": 9, "seed": 1}},
}
MODELS = ["popularity", "ease", "sasrec-small"]
SAMPLED = "leave-one-out, ranked among 9 uniform negatives (seed 1), ties pessimistic"


def with_protocols(folder: Path) -> None:
    """Let suite `quick` ask the same of three protocols; SASRec trains on prefixes of the last 12 interactions."""
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    parameters["protocols"] |= PROTOCOLS
    parameters["training"]["cross-entropy-quick"] |= {"view": "prefixes", "last": 12}
    baselines = parameters["experiments"]["baselines"]
    scale = {"datasets": ["generated-markov"], "seeds": [1], "models": MODELS}
    parameters["experiments"] |= {name: baselines | {"protocol": name} for name in PROTOCOLS}
    parameters["suites"]["quick"]["experiments"] = dict.fromkeys(PROTOCOLS, scale)
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Workspace:
    made = make_workspace(tmp_path_factory.mktemp("protocols") / "work")
    with_protocols(made.folder)
    made.snakemake("all")
    return made


def runs(workspace):
    """The sidecars of all trainings."""
    found = (workspace.folder / "results/runs").glob("*/*/seed-*/provenance.json")
    return {path.parent: json.loads(path.read_text()) for path in found}


def table(workspace, name):
    with (workspace.folder / f"results/quick/tables/{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_finished_tree_has_nothing_to_do_and_passes_the_audit(done):
    assert done.planned("all") == []
    done.seqrepro("audit")


def test_each_run_reads_what_its_split_is_made_from(done):
    inputs = {}
    for record in runs(done).values():
        split = record["request"]["parameters"]["config"]["split"]
        inputs.setdefault(split, set()).update(Path(name).name for name in record["request"]["inputs"])
    assert inputs == {
        "global_temporal": {"sequences.parquet", "statistics.json"},
        "leave_one_out_recbole": {"interactions.parquet", "statistics.json"},
        "leave_one_out": {"sequences.parquet", "statistics.json", "negatives.parquet"},
    }


def test_negatives_are_drawn_once(done):
    assert len(list((done.folder / "data/candidates").rglob("negatives.parquet"))) == 1
    used = {name for record in runs(done).values() for name in record["request"]["inputs"] if "candidates" in name}
    assert len(used) == 1


def test_only_runs_with_negatives_have_sampled_ranks(done):
    for folder, record in runs(done).items():
        sampled = "candidates" in record["request"]["parameters"]["config"]
        for path in folder.rglob("ranks*.parquet"):  # those of the robustness probe too
            assert ("rank_sampled_worst" in pq.read_schema(path).names) == sampled
        metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
        assert all(("sampled" in metrics[split]) == sampled for split in ("validation", "test"))


def test_tables_print_the_protocol_of_each_row_and_compare_within_it(done):
    metrics = table(done, "metrics")
    assert {row["masking"] for row in metrics if row["protocol"] == SAMPLED} == {"sampled"}
    assert len({row["protocol"] for row in metrics if row["masking"] == "masked"}) == 3
    protocols = {row["folder"]: row["protocol"] for row in metrics if row["masking"] == "masked"}
    compared = table(done, "comparisons")
    assert len({row["protocol"] for row in compared}) == 3
    assert all(protocols[row["folder"]] == protocols[row["baseline_folder"]] for row in compared)
    users = {(row["protocol"], row["users"]) for row in metrics if row["masking"] == "masked"}
    assert len(users) == 3  # all models of a protocol rank for the same users


def test_the_report_has_a_section_a_protocol(done):
    page = (done.folder / "results/quick/report/results.html").read_text()
    assert page.count('<section id="data-generated-markov-') == 3
    assert SAMPLED in page and "Global temporal split" in page


def test_other_negatives_concern_only_the_runs_that_use_them(done, tmp_path):
    workspace = done.copy(tmp_path / "work")
    workspace.edit("params.yaml", "count: 9", "count: 8")
    jobs = {line.split()[0] for line in workspace.planned("all")}
    made = {"candidates", "train", "probe", "probe_exposure", "compare", "judge", "report"}
    assert jobs == made | {"track", "manifest", "audit"}
    trained = [line for line in workspace.planned("all") if line.startswith("train")]
    assert len(trained) == len(MODELS)

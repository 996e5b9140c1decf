"""A grid of the Performance Law in a workflow: trainings, what they saw, the tables of laws, the judge."""

import csv
import json
from pathlib import Path

import yaml

from workspaces import make_workspace

RUNS = 3 * 3 + 1  # one training set more, of the same tokens


def with_grid(folder: Path) -> None:
    """Let suite `quick` run nothing but a grid of depth and width, and a pair of training sets."""
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    parameters["datasets"]["generated-low-entropy"]["generator"] |= {"users": 60, "items": 20}
    parameters["training"]["cross-entropy-law-quick"]["budget"] |= {"epochs": 2}
    grid = parameters["variations"]["quick-grid"]
    grid["training.data"] = [None]
    of_law = {"datasets": ["generated-low-entropy"], "seeds": [1]}
    suite = parameters["suites"]["quick"]
    suite["experiments"] = {"law-quick": of_law, "law-redundancy-quick": of_law}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_grid_reaches_the_tables_of_laws_and_judges_no_claim(tmp_path):
    workspace = make_workspace(tmp_path / "work")
    with_grid(workspace.folder)
    planned = [line.split()[0] for line in workspace.planned("all")]
    assert planned.count("train") == RUNS and planned.count("measure") == 2 and planned.count("refit") == 1

    workspace.snakemake("results/quick/verdicts/verdicts.json")
    laws = workspace.folder / "results/quick/laws"
    points = rows_of(laws / "points.csv")
    assert len(points) == RUNS and {row["masking"] for row in points} == {"unmasked"}
    assert len({(row["n_blocks"], row["d_emb"]) for row in points}) == 9
    assert all(float(row["tokens"]) > 0 and float(row["test_nll"]) > 0 for row in points)
    (own,) = {(row["model"], row["n_points"], row["seeds"]) for row in rows_of(laws / "own.csv")}
    assert own == ("sasrec-law-quick", "9", "1")
    assert {row["points"] for row in rows_of(laws / "optima.csv")} == {"published", "own"}
    assert {row["d_emb"] for row in rows_of(laws / "losses.csv")} == {"8", "16", "32"}
    pairs = rows_of(laws / "interventions.csv")
    assert pairs and {(row["data"], row["other_data"]) for row in pairs} == {("all", "25 % of the users, repeated")}
    judged = json.loads((workspace.folder / "results/quick/verdicts/verdicts.json").read_text())["claims"]
    verdicts = {claim["id"]: claim["verdict"] for claim in judged if claim["paper"] == "performance_law"}
    assert {verdicts[name] for name in ("T6", "T9", "T11", "T12")} == {"not tested"}

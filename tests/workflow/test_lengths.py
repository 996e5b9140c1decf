"""Lengths of histories in a workflow: each model with each length, timed, in one table that the judge may read."""

import csv
import json
from pathlib import Path

import yaml

from workspaces import make_workspace

LENGTHS = [5, 20]  # the second is that of the models as they are


def with_lengths(folder: Path) -> None:
    """Let suite `quick` train two networks with histories of several lengths, and time their steps."""
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    parameters["training"]["cross-entropy-quick"]["budget"]["epochs"] = 1
    models = parameters["models"]
    small = models["sasrec-small"]["architecture"] | {"family": "hydrarec", "attention": {"name": "hydra"}}
    models["hydra-small"] = models["sasrec-small"] | {"title": "Hydra, small", "architecture": small}
    parameters["variations"]["few"] = {"architecture.max_length": LENGTHS}
    parameters["probes"]["pace"] = {"kind": "cost", "against": "hydra-small", "rounds": 1, "steps": 1, "warm_up": 0}
    parameters["experiments"]["by-length"] = {
        **{"purpose": "lengths", "papers": ["hydrarec"], "protocol": "leave-one-out", "variations": ["few"]},
        **{"models": ["sasrec-small", "hydra-small"], "probes": ["pace"], "shows": ["accuracy"]},
    }
    scale = {"datasets": ["generated-markov"], "seeds": [1]}
    parameters["suites"]["quick"]["experiments"] = {"by-length": scale}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))


def test_accuracy_and_seconds_by_length_reach_the_table_and_the_judge_may_read_it(tmp_path):
    workspace = make_workspace(tmp_path / "work")
    with_lengths(workspace.folder)
    workspace.snakemake("results/quick/tables/variations.csv")
    with (workspace.folder / "results/quick/tables/variations.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for model in ("sasrec-small", "hydra-small"):
        for measure in ("seconds_per_step", "ndcg@10", "ndcg@10, unmasked"):
            own = [row for row in rows if (row["model"], row["measure"]) == (model, measure)]
            assert sorted(float(row["at"]) for row in own) == LENGTHS
            assert all(float(row["value"]) > 0 for row in own)
    with (workspace.folder / "results/quick/tables/parameters.csv").open(newline="") as stream:
        sizes = {row["model"]: row for row in csv.DictReader(stream)}
    assert int(sizes["sasrec-small"]["item_table"]) == 32 * (int(sizes["sasrec-small"]["n_items"]) + 1)
    assert sizes["sasrec-small"]["without_item_table"] == sizes["hydra-small"]["without_item_table"]
    judged = json.loads((workspace.folder / "results/plan/judge/quick.json").read_text())
    assert "results/quick/tables/variations.csv" in judged["inputs"]

"""The cost probe in a workflow: two trainings beside each other, the tables that follow, and the judge."""

import csv
import json
from pathlib import Path

import yaml

from workspaces import make_workspace


def with_probe(folder: Path) -> None:
    """Let suite `quick` train one network with Adam and with SAM, and compare what a step costs."""
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    recipe = parameters["training"]["cross-entropy-quick"]
    recipe["budget"]["epochs"] = 2
    parameters["training"]["sam-quick"] = recipe | {"optimizer": {"name": "sam", "base": recipe["optimizer"]}}
    models = parameters["models"]
    models["sharp"] = models["sasrec-small"] | {"title": "Sharp", "training": "sam-quick"}
    price = {"kind": "cost", "against": "sasrec-small", "rounds": 1, "steps": 2, "warm_up": 1}
    parameters["probes"] = {"price": price}
    for experiment in parameters["experiments"].values():
        experiment["probes"] = []
    parameters["experiments"]["baselines"] |= {"probes": ["price"], "shows": ["accuracy"]}
    scale = {"datasets": ["generated-markov"], "seeds": [1], "models": ["popularity", "sasrec-small", "sharp"]}
    parameters["suites"]["quick"]["experiments"] = {"baselines": scale}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as stream:
        return {row["model"]: row for row in csv.DictReader(stream)}


def test_the_cost_of_a_step_reaches_its_tables_and_the_judge_may_read_it(tmp_path):
    workspace = make_workspace(tmp_path / "work")
    with_probe(workspace.folder)
    planned = [line.split()[0] for line in workspace.planned("all")]
    assert planned.count("probe_cost") == 2
    sharp = next(line.split()[2] for line in workspace.planned("all") if "probe_cost" in line)
    wanted = workspace.planned(f"results/runs/generated-markov/{sharp}/seed-1/probes/price/measurements.parquet")
    assert {line.split()[0] for line in wanted} <= {"prepare", "probe_cost", "train"}

    workspace.snakemake("results/quick/tables/cost.csv")
    tables = workspace.folder / "results/quick/tables"
    cost, compute = (rows_of(tables / f"{name}.csv") for name in ("cost", "compute"))
    assert list(cost) == list(compute) == ["sasrec-small", "sharp"]
    assert float(cost["sharp"]["passes_per_step"]) == 2 and float(cost["sasrec-small"]["ratio"]) == 1
    assert float(cost["sharp"]["ratio_low"]) < float(cost["sharp"]["ratio"]) < float(cost["sharp"]["ratio_high"])
    assert int(compute["sharp"]["passes"]) == 2 * int(compute["sharp"]["steps"])
    assert float(compute["sharp"]["at_equal_compute"]) <= float(compute["sharp"]["at_equal_steps"])
    judged = json.loads((workspace.folder / "results/plan/judge/quick.json").read_text())
    assert sum(path.endswith("probes/price/measurements.parquet") for path in judged["inputs"]) == 2
    assert not list(workspace.folder.glob("results/checkpoints/**/*.pt"))

"""The probes that measure times in a workflow: they are planned, they run, and the report shows them."""

from pathlib import Path

import pyarrow.parquet as pq
import yaml

from workspaces import make_workspace


def with_probes(folder: Path) -> None:
    """Let suite `quick` train a small SASRec and a HydraRec of the same size, and measure both."""
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    parameters["training"]["cross-entropy-quick"]["budget"]["epochs"] = 1
    models = parameters["models"]
    small = models["sasrec-small"]
    hydra = small["architecture"] | {"family": "hydrarec", "frame": "causal", "attention": {"name": "hydra"}}
    models["small-hydra"] = small | {"title": "Hydra", "architecture": hydra}
    whole = {"kind": "timing", "against": "sasrec-small", "rounds": 1, "steps": 1, "warm_up": 1}
    long = {"kind": "efficiency", "against": "sasrec-small", "lengths": [4, 8, 16], "rows": 2, "fit_from": 4}
    long |= {"rounds": 1, "block_seconds": 1e-3, "largest_matrix_mb": 64}
    parameters["probes"] = {"heads": parameters["probes"]["attention-quick"], "long": long, "whole": whole}
    for experiment in parameters["experiments"].values():
        experiment["probes"] = []
    parameters["experiments"]["baselines"] |= {"probes": ["heads", "long", "whole"], "shows": ["accuracy"]}
    scale = {"datasets": ["generated-markov"], "seeds": [1], "models": ["popularity", "sasrec-small", "small-hydra"]}
    parameters["suites"]["quick"]["experiments"] = {"baselines": scale}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))


def test_attention_is_measured_and_shown(tmp_path):
    workspace = make_workspace(tmp_path / "work")
    with_probes(workspace.folder)
    workspace.snakemake("results/quick/report/index.html")
    files = sorted(workspace.folder.glob("results/runs/generated-markov/*/seed-1/probes/*/measurements.parquet"))
    assert [path.parent.name for path in files] == ["heads", "long", "whole"] * 2
    assert all(path.with_name("machine.json").is_file() for path in files)
    measures = [set(pq.read_table(path)["measure"].to_pylist()) for path in files]
    assert all("seconds over length" in measures[number] for number in (0, 3))
    assert sum("event_ratio over length" in found for found in measures) == 1
    assert sum("gain_of_inference" in found for found in measures) == 1
    figures = {path.name for path in workspace.folder.glob("results/quick/figures/*.svg")}
    assert {f"attention-{name}-generated-markov.svg" for name in ("time", "memory", "events")} <= figures
    networks = ("training", "inference", "events", "memory")
    assert {f"network-{name}-generated-markov.svg" for name in networks} <= figures
    page = (workspace.folder / "results/quick/report/results.html").read_text()
    assert "<h3>Whole steps and inference</h3>" in page and "<h3>Whole networks, against length</h3>" in page

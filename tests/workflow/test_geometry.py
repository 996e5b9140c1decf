"""The probes of the training loss in a workflow and its report: one looks from each run towards another."""

from pathlib import Path

import pyarrow.parquet as pq
import yaml

from workspaces import make_workspace

LANCZOS = {"steps": 6, "tolerance": 1e-2}
PROBES = {
    "curved": {
        "kind": "sharpness",
        "users": 20,
        "eigenvalues": LANCZOS | {"count": 1},
        "trace": {"products": 6},
        "density": {"runs": 1, "steps": 4, "points": 20},
        "ball": {"steps": 1},
    },
    "along": {"kind": "trajectory", "users": 20, "eigenvalues": LANCZOS},
    "around": {"kind": "landscape", "users": 20, "points": 3, "grid": 3, "eigenvalues": LANCZOS, "towards": "other"},
}


def with_probes(folder: Path) -> None:
    """Let suite `quick` train two networks of one shape, and look at their losses."""
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    recipe = parameters["training"]["cross-entropy-quick"]
    recipe["budget"]["epochs"] = 2
    parameters["training"]["bce-quick"] = recipe | {"objective": {"name": "bce"}}
    models = parameters["models"]
    models["other"] = models["sasrec-small"] | {"title": "The other", "training": "bce-quick"}
    parameters["probes"] |= PROBES
    parameters["experiments"]["baselines"]["probes"] = list(PROBES)
    scale = {"datasets": ["generated-markov"], "seeds": [1], "models": ["popularity", "sasrec-small", "other"]}
    parameters["suites"]["quick"]["experiments"] = {"baselines": scale}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))


def test_the_probes_run_and_the_line_waits_for_the_other_run(tmp_path):
    workspace = make_workspace(tmp_path / "work")
    with_probes(workspace.folder)
    runs = workspace.folder / "results/runs/generated-markov"
    targets = ["sasrec-cross_entropy", "sasrec-bce"]
    planned = [line.split() for line in workspace.planned("all") if line.startswith("probe")]
    kinds = ("landscape", "sharpness", "trajectory")
    assert sorted(line[0] for line in planned) == [f"probe_{kind}" for kind in kinds for _ in targets]
    names = {next(line[2] for line in planned if line[2].startswith(target)): target for target in targets}
    source = next(name for name, target in names.items() if target == "sasrec-cross_entropy")
    folder = runs / source / "seed-1/probes/around"
    wanted = workspace.planned(str((folder / "landscape.parquet").relative_to(workspace.folder)))
    assert sorted(line.split()[0] for line in wanted) == ["prepare", "probe_landscape", "train", "train"]

    workspace.snakemake("all")
    assert workspace.planned("all") == []
    workspace.seqrepro("audit")
    for name in names:
        assert (runs / name / "seed-1/probes/curved/measurements.parquet").is_file()
        assert (runs / name / "seed-1/probes/along/measurements.parquet").is_file()
    kinds = set(pq.read_table(folder / "landscape.parquet")["kind"].to_pylist())
    assert kinds == {"surface", "random", "eigenvector_1", "eigenvector_2", "line"}
    shown = {path.name for path in (workspace.folder / "results/quick/figures").glob("*-generated-markov.svg")}
    expected = {f"{name}-generated-markov.svg" for name in ("eigenvalues", "contours", "trajectory")}
    assert expected <= shown
    other = next(name for name, target in names.items() if target == "sasrec-bce")
    at_home = pq.read_table(runs / other / "seed-1/probes/around/landscape.parquet")["kind"].to_pylist()
    assert "line" not in at_home

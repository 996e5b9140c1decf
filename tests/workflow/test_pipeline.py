"""The whole pipeline on generated data, run by Snakemake."""

import json
from pathlib import Path

NOTHING = "Nothing to be done"


def test_the_report_is_there_and_nothing_is_half_written(finished):
    pages = {path.stem: path.read_text() for path in (finished.folder / "results/quick/report").glob("*.html")}
    assert {*pages} == {"index", "samrec", "hydrarec", "tim4rec", "performance_law", "results", "runs"}
    assert "SASRec" in pages["results"] and "EASE" in pages["results"]
    assert not list(finished.folder.rglob("*.partial"))
    assert not list((finished.folder / "results/checkpoints").rglob("*.pt"))


def test_a_finished_tree_has_nothing_to_do(finished):
    assert NOTHING in finished.snakemake("all").stdout + finished.snakemake("all").stderr


def test_each_run_folder_is_complete(finished):
    folders = [path.parent for path in (finished.folder / "results/runs").rglob("ranks.parquet")]
    runs = [folder for folder in folders if "probes" not in folder.parts]
    assert len(runs) == 5
    for folder in runs:
        names = {path.name for path in folder.iterdir() if path.is_file()}
        assert {"model.safetensors", "history.parquet", "ranks.parquet", "metrics.json", "provenance.json"} <= names


def test_sidecars_hold_no_absolute_path(finished):
    for path in finished.folder.rglob("provenance.json"):
        text = path.read_text()
        assert str(finished.folder) not in text and str(Path.home()) not in text
        assert json.loads(text)["exit"] == 0


def test_the_audit_passes_and_finds_a_changed_byte(finished):
    finished.seqrepro("audit")
    ranks = next((finished.folder / "results/runs").rglob("ranks.parquet"))
    content = bytearray(ranks.read_bytes())
    content[len(content) // 2] ^= 1
    ranks.write_bytes(content)
    failed = finished.seqrepro("audit", check=False)
    assert failed.returncode == 1
    assert ranks.relative_to(finished.folder).as_posix() in failed.stderr


def test_tables_and_report_can_be_rebuilt_without_data_or_weights(finished):
    before = finished.read("results/quick/tables/metrics.csv")
    names = ("*.safetensors", "topk.parquet", "ranks-*.parquet", "log.jsonl")
    kept_elsewhere = [path for name in names for path in finished.folder.rglob(name)]
    assert len(kept_elsewhere) == 21
    for path in [*kept_elsewhere, *(finished.folder / "data").rglob("*.parquet")]:
        path.unlink()
    (finished.folder / "results/quick/tables/metrics.csv").unlink()
    finished.seqrepro("compare", "--suite", "quick")
    finished.seqrepro("report", "--suite", "quick")
    assert finished.read("results/quick/tables/metrics.csv") == before
    finished.seqrepro("audit")


def test_a_wrong_parameter_stops_before_any_job_in_one_line(workspace):
    workspace.edit("params.yaml", "learning_rate: 3e-3", "learning_rat: 3e-3")
    failed = workspace.snakemake("all", check=False)
    assert failed.returncode != 0
    assert "did you mean 'learning_rate'?" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (workspace.folder / "results").exists()


def test_the_bare_cores_flag_is_refused_by_snakemake(workspace):
    failed = workspace.run("snakemake", "--cores", check=False)
    assert failed.returncode == 2 and "expected one argument" in failed.stderr

"""Versions: DVC keeps a suite's whole result, and a fresh clone gets back exactly what its tree asks for."""

import shutil
from pathlib import Path

import pytest

from workspaces import Workspace, concerned, make_workspace

STAGE = "reproduce"
NOTHING = "Nothing to be done"


def git(workspace: Workspace, *arguments: str) -> str:
    return workspace.run("git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments).stdout


def put_under_version_control(workspace: Workspace, remote: Path) -> None:
    git(workspace, "init", "-q", "-b", "main")
    workspace.run("dvc", "init", "-q")
    workspace.run("dvc", "config", "core.analytics", "false")
    workspace.run("dvc", "remote", "add", "-d", "shelf", str(remote))
    git(workspace, "add", "-A")
    git(workspace, "commit", "-q", "-m", "before")


@pytest.fixture(scope="module")
def pushed(tmp_path_factory) -> Workspace:
    """A repository with one version of suite `quick`, pushed to a local remote."""
    folder = tmp_path_factory.mktemp("dvc")
    made = make_workspace(folder / "origin")
    put_under_version_control(made, folder / "remote")
    made.run("dvc", "repro", STAGE)
    git(made, "add", "-A")
    git(made, "commit", "-q", "-m", "a version")
    made.run("dvc", "push")
    return made


@pytest.fixture
def pulled(pushed, tmp_path) -> Workspace:
    """A fresh clone after `dvc pull`."""
    git(pushed, "clone", "-q", str(pushed.folder), str(tmp_path / "clone"))
    clone = Workspace(tmp_path / "clone")
    assert not (clone.folder / "results").exists()
    clone.run("dvc", "pull")
    return clone


def test_the_tree_is_clean_after_a_version(pushed):
    assert git(pushed, "status", "--porcelain") == ""
    assert "up to date" in pushed.run("dvc", "status", STAGE).stdout


def test_dvc_repro_gives_what_snakemake_gives(pushed, tmp_path):
    alone = make_workspace(tmp_path / "alone")
    alone.snakemake("results/quick/tables/metrics.csv")
    assert alone.deterministic() == pushed.deterministic()
    assert alone.read("results/quick/tables/metrics.csv") == pushed.read("results/quick/tables/metrics.csv")


def test_after_pull_and_restore_there_is_nothing_to_do(pulled, pushed):
    done = pulled.seqrepro("restore", "--suite", "quick")
    assert "will run again" not in done.stdout
    assert pulled.planned() == []
    assert pulled.deterministic() == pushed.deterministic()
    assert NOTHING in "".join([(run := pulled.snakemake("all")).stdout, run.stderr])
    pulled.seqrepro("audit")


def test_after_pull_a_changed_model_file_re_runs_that_model(pulled):
    pulled.edit("src/seqrepro/models/ease.py", "import torch\n", "import torch\n\nTHE_ANSWER = 42\n")
    pulled.seqrepro("restore", "--suite", "quick")
    jobs = concerned(pulled.planned())
    assert [job.split("-")[:2] for job in sorted(jobs)] == [
        ["probe_exposure generated", "markov ease"],
        ["train generated", "markov ease"],
    ]


def test_after_pull_a_changed_preparation_re_runs_what_uses_it(pulled):
    pulled.edit("params.yaml", "users: 60\n", "users: 61\n")
    pulled.seqrepro("restore", "--suite", "quick")
    kinds = [job.split()[0] for job in concerned(pulled.planned())]
    assert sorted(kinds) == ["describe", "prepare", "probe", "probe", *["probe_exposure"] * 5, *["train"] * 5]


def test_a_damaged_pull_is_not_restored(pulled):
    ranks = next((pulled.folder / "results/versions/quick").rglob("markov-*/seed-0/ranks.parquet"))
    content = ranks.read_bytes()
    ranks.unlink()
    ranks.write_bytes(content[:-1] + b"x")
    done = pulled.seqrepro("restore", "--suite", "quick")
    assert "is damaged" in done.stdout
    assert sorted(job.split()[0] for job in concerned(pulled.planned())) == ["probe_exposure", "train"]


def test_dvc_calls_snakemake_when_code_changed(pushed, tmp_path):
    changed = pushed.copy(tmp_path / "changed")
    changed.edit("src/seqrepro/models/ease.py", "import torch\n", "import torch\n\nTHE_ANSWER = 42\n")
    output = changed.run("dvc", "repro", STAGE)
    text = output.stdout + output.stderr
    assert text.count("rule train:") == 1 and "ease-" in text


def test_metrics_and_parameters_can_be_looked_at(pushed, tmp_path):
    changed = pushed.copy(tmp_path / "changed")
    shown = changed.run("dvc", "metrics", "show").stdout
    assert "ndcg@10" in shown and "sasrec" in shown
    changed.edit("params.yaml", "learning_rate: 3e-3", "learning_rate: 0.002")
    difference = changed.run("dvc", "params", "diff").stdout
    assert "learning_rate" in difference and "0.002" in difference


def test_restore_without_a_version_says_what_to_do(pulled):
    shutil.rmtree(pulled.folder / "results/versions")
    failed = pulled.seqrepro("restore", "--suite", "quick", check=False)
    assert failed.returncode == 2 and "dvc pull" in failed.stderr and "Traceback" not in failed.stderr

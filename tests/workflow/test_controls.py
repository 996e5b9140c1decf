"""A miniature suite of controls, one of which fails, and the whole suite, run by Snakemake."""

import json
import time
from pathlib import Path

import pytest
import yaml

from workspaces import Workspace, make_workspace

CONTROLS = ("--config", "suite=controls")
COMMON = {
    "statement": "So.",
    "origin": "ours",
    "source": "law",
    "basis": "control",
    "family": "f",
    "masking": "unmasked",
}
POWER = {"knows": ["history", "nothing"], "gap": 0.5, "share": 0.1, "noise": 0, "seed_sd": 0, "power": 1}
PART = {"id": "gain", "kind": "gain", "datasets": ["generated-chain"], "above": 0.05, "power": POWER}


def control(name, model, other, vouched):
    parts = [PART | {"model": model, "against": [other]}]
    return COMMON | {"id": name, "parts": parts, "vouched": vouched}


def with_controls(folder: Path, vouched: bool) -> None:
    """Two controls of closed forms on a small chain; the second cannot pass."""
    found = [
        control("K1", "bayes-optimal", "popularity", True),
        control("K2", "popularity", "bayes-optimal", vouched),
    ]
    content = {"paper": "controls", "title": "Controls", "reference": "generated data", "claims": found}
    (folder / "registry/controls.yaml").write_text(yaml.safe_dump(content))


def miniature(folder: Path) -> None:
    """Let suite `controls` rank two closed forms on a small chain, and nothing else."""
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    parameters["datasets"]["generated-chain"]["generator"] |= {"users": 300}
    scale = {"datasets": ["generated-chain"], "seeds": [1], "models": ["bayes-optimal", "popularity"]}
    parameters["suites"]["controls"]["experiments"] = {"control-chain": scale}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> tuple[Workspace, str]:
    """A run of a suite whose control of ours fails, and what was printed."""
    made = make_workspace(tmp_path_factory.mktemp("controls") / "work")
    miniature(made.folder)
    with_controls(made.folder, vouched=True)
    done = made.snakemake("--keep-going", "--show-failed-logs", *CONTROLS, check=False)
    assert done.returncode != 0
    return made, done.stdout + done.stderr


def test_a_failing_control_fails_the_suite_and_is_named(failed):
    workspace, printed = failed
    assert "1 of 2 controls: K2 (failed); expected 'passed'" in printed
    assert printed.count("Error in rule") == 1
    assert not (workspace.folder / "results/controls/controls.txt").exists()


def test_all_else_is_there(failed):
    folder = failed[0].folder / "results/controls"
    assert "K2" in (folder / "report/index.html").read_text()
    assert (folder / "tracking.json").is_file() and (folder / "audit.csv").is_file()
    verdicts = {
        one["id"]: one["verdict"] for one in json.loads((folder / "verdicts/verdicts.json").read_text())["claims"]
    }
    assert verdicts == {"K1": "passed", "K2": "failed"}


def test_a_published_method_may_fail(failed, tmp_path):
    workspace = failed[0].copy(tmp_path / "work")
    with_controls(workspace.folder, vouched=False)
    jobs = {line.split()[0] for line in workspace.planned(*CONTROLS)}
    assert jobs == {"judge", "report", "check", "track", "manifest", "audit"} - {"track"}
    workspace.snakemake(*CONTROLS)
    receipt = (workspace.folder / "results/controls/controls.txt").read_text()
    assert [line.split()[:3] for line in receipt.splitlines()] == [
        ["K1", "ours", "passed"],
        ["K2", "published", "failed"],
    ]
    assert workspace.planned(*CONTROLS) == []
    workspace.seqrepro("audit")


@pytest.mark.slow
def test_the_whole_suite_passes_within_its_time(workspace):
    started = time.monotonic()
    workspace.snakemake(*CONTROLS)
    assert time.monotonic() - started < 40 * 60
    receipt = (workspace.folder / "results/controls/controls.txt").read_text()
    found = [line.split()[1:3] for line in receipt.splitlines()]
    assert all(verdict == "passed" for whose, verdict in found if whose == "ours") and ["ours", "passed"] in found

"""The pipeline on a real Slurm: the same bytes as on one machine, and no failure goes unseen."""

import subprocess
import time
from collections import Counter

import pytest

from cluster.slurm import NODES, jobs_of

pytestmark = pytest.mark.cluster

PROFILE = ("--profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "2")
SUBMITTED = {"describe": 1, "survey": 1, "prepare": 1, "train": 5, "probe": 2, "probe_exposure": 5}
SUBMITTED |= {"refit": 1, "compare": 1, "judge": 1, "report": 1}
RECIPE = "cross-entropy-quick:\n    kind: gradient\n"


def submit(workspace, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return workspace.run("snakemake", *PROFILE, *arguments, check=check)


def one_sasrec(workspace) -> str:
    """The ranks of one gradient training, as a target."""
    submit(workspace, "--dry-run")
    request = next((workspace.folder / "results/plan/train").rglob("sasrec-*/seed-1.json"))
    run = request.relative_to(workspace.folder / "results/plan/train").with_suffix("")
    return f"results/runs/{run}/ranks.parquet"


def test_two_nodes_give_the_bytes_of_one_machine(submitting, tmp_path):
    alone = submitting.copy(tmp_path / "alone")
    submit(submitting, "--", "all")
    alone.snakemake("all")

    jobs = jobs_of(submitting.folder)
    assert Counter(job.rule for job in jobs) == SUBMITTED
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert {job.node for job in jobs} == set(NODES)
    assert {job.gres for job in jobs} == {"N/A"}
    assert jobs_of(alone.folder) == []

    assert len(alone.deterministic()) == 4 * SUBMITTED["train"] + 2 * SUBMITTED["probe_exposure"]
    assert submitting.deterministic() == alone.deterministic()
    submitting.seqrepro("audit")


def test_a_failing_job_is_tried_twice_and_its_log_is_named_and_shown(submitting):
    with (submitting.folder / "src/seqrepro/data/prepare.py").open("a") as source:
        source.write("\n\ndef run(request):\n    raise InputError('broken on purpose')\n")
    failed = submit(submitting, "--until", "prepare", check=False)
    assert failed.returncode == 1
    assert "logs/prepare/generated-markov.log" in failed.stderr
    assert "broken on purpose" in failed.stderr
    assert submitting.read("logs/prepare/generated-markov.log") == b"seqrepro prepare: broken on purpose\n"
    assert [(job.rule, job.state) for job in jobs_of(submitting.folder)] == [("prepare", "FAILED")] * 2


def test_a_job_that_somebody_cancels_ends_the_workflow(submitting):
    """With `sacct` as status command, executor 2.8.0 waits for it forever."""
    later = ("--default-resources", "slurm_extra='--begin=now+1hour'")
    command = ["snakemake", *PROFILE, "--retries", "0", *later, "--until", "prepare"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=submitting.folder, env=submitting.environment(), **quiet) as running:
        try:
            end = time.monotonic() + 120
            while not jobs_of(submitting.folder):
                assert time.monotonic() < end, "no job was submitted"
                time.sleep(0.2)
            (job,) = jobs_of(submitting.folder)
            subprocess.run(["scancel", job.id], check=True)
            assert running.wait(120) == 1
        finally:
            running.kill()
    assert [job.state for job in jobs_of(submitting.folder)] == ["CANCELLED"]


def test_a_training_on_cuda_gets_a_gpu_in_the_partition_that_has_one(submitting):
    (submitting.folder / "partitions.yaml").write_text("partitions: {main: {}, gpu: {max_gpu: 1}}")
    submitting.edit("params.yaml", RECIPE, f"{RECIPE}    device: cuda\n")
    partitions = ("--slurm-partition-config", "partitions.yaml", "--retries", "0")
    submit(submitting, *partitions, "--", one_sasrec(submitting), check=False)
    asked = {job.rule: (job.partition, job.node, job.gres) for job in jobs_of(submitting.folder)}
    assert asked["train"] == ("gpu", "n1", "gres:gpu:1")
    assert asked["prepare"][0] == "main" and asked["prepare"][2] == "N/A"

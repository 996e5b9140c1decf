"""The plan under the Slurm profile, in dry runs: nothing is submitted and no Slurm is needed."""

import re

import pytest

STEPS = {"prepare", "describe", "survey", "train", "probe", "probe_exposure", "compare", "judge", "refit", "report"}
STEPS |= {"track", "manifest", "audit"}
JOB = re.compile(r"^rule (\w+):\n((?: {4}.*\n)*)", re.MULTILINE)
RECIPE = "cross-entropy-quick:\n    kind: gradient\n"


def planned_jobs(workspace, *arguments: str) -> list[tuple[str, dict[str, str]]]:
    """Rule and resources of each job, without `all`."""
    command = ("snakemake", "--dry-run", "--profile", "workflow/profiles/slurm", *arguments)
    jobs = JOB.findall(workspace.run(*command).stdout)
    return [(rule, resources(block)) for rule, block in jobs if rule != "all"]


def resources(block: str) -> dict[str, str]:
    match = re.search(r"^ {4}resources: (.*)$", block, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in match.group(1).split(", ")) if match else {}


def local_rules(workspace) -> set[str]:
    """The rules that run on the submitting machine. A dry run does not tell them apart."""
    text = "\n".join(path.read_text() for path in (workspace.folder / "workflow/rules").glob("*.smk"))
    return {block.split(":")[0] for block in text.split("rule ") if "localrule: True" in block}


@pytest.mark.parametrize("suite", ["quick", "standard"])
def test_every_submitted_job_says_itself_how_long_and_how_much_memory(workspace, suite):
    """So `--default-resources`, which replaces the profile's, may hold the user's account and partition alone."""
    defaults = ("mem_mb=1", "runtime=1", "slurm_account=us", "slurm_partition=short")
    jobs = planned_jobs(workspace, "--default-resources", *defaults, "--config", f"suite={suite}", "--", "all")
    more = {"retrieve", "candidates", "probe_traps"} if suite == "standard" else set()
    assert {rule for rule, _ in jobs} == STEPS | more
    submitted = [given for rule, given in jobs if rule not in local_rules(workspace)]
    assert len(submitted) > 5
    for given in submitted:
        assert int(given["runtime"]) > 1 and int(given["mem_mb"]) > 1
        assert (given["slurm_account"], given["slurm_partition"]) == ("us", "short")


def test_what_needs_the_network_or_takes_a_moment_is_not_submitted(workspace):
    assert local_rules(workspace) == {"retrieve", "track", "manifest", "audit", "pack", "check"}


def test_only_trainings_whose_recipe_says_cuda_ask_for_a_gpu(workspace):
    before = planned_jobs(workspace)
    assert {given["gpu"] for rule, given in before if rule == "train"} == {"0"}
    workspace.edit("params.yaml", RECIPE, f"{RECIPE}    device: cuda\n")
    after = planned_jobs(workspace)
    assert sorted(given["gpu"] for rule, given in after if rule == "train") == ["0", "0", "0", "1", "1"]
    assert not any("gpu" in given for rule, given in after if rule != "train")


def test_the_profile_serves_as_workflow_profile_too(workspace):
    done = workspace.run("snakemake", "--dry-run", "--workflow-profile", "workflow/profiles/slurm")
    assert len([rule for rule, _ in JOB.findall(done.stdout) if rule == "train"]) == 5

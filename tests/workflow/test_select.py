"""A search run by Snakemake: trials, the selection, its final runs, nothing to do, and an edited choice."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from workspaces import Workspace, make_workspace

SEARCH = {
    "trials": 3,
    "seed": 9,
    "sampling": {"kind": "random", "seed": 4},
    "spaces": {
        "ease": {"architecture.regularisation": {"log_uniform": [1, 5000]}, "architecture.position_decay": [0.5, 1]},
        "sasrec-small": {"architecture.dropout": [0, 0.5], "training.optimizer.learning_rate": [1e-4, 3e-2]},
    },
}
SELECTED = "registry/selected/tuned.json"
NEXT = "tuned: 6 trials first, then `seqrepro select --suite quick` chooses what runs next"


def with_search(folder: Path) -> None:
    """Let suite `quick` ask for nothing but a search and what was selected."""
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    parameters["searches"] = {"tries": SEARCH}
    baselines = parameters["experiments"]["baselines"]
    parameters["experiments"] = {"tuned": baselines | {"models": list(SEARCH["spaces"]), "search": "tries"}}
    scale = {"datasets": ["generated-markov"], "seeds": [1, 2]}
    parameters["suites"] = {"quick": parameters["suites"]["quick"] | {"experiments": {"tuned": scale}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))
    for path in (folder / "registry/selected").glob("*.json"):
        path.unlink()


def trained(workspace: Workspace) -> list[tuple[str, int]]:
    """Folder and seed of each training whose sidecar is there."""
    found = (workspace.folder / "results/runs").glob("*/*/seed-*/provenance.json")
    return sorted((path.parts[-3], int(path.parts[-2].removeprefix("seed-"))) for path in found)


def tabled(workspace: Workspace) -> set[str]:
    """The folders that have a row in the table of accuracies."""
    with (workspace.folder / "results/quick/tables/metrics.csv").open(newline="") as stream:
        return {Path(row["folder"]).name for row in csv.DictReader(stream)}


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> tuple[Workspace, str]:
    """Everything that can run before a selection has run; and what Snakemake said."""
    made = make_workspace(tmp_path_factory.mktemp("search") / "work")
    with_search(made.folder)
    return made, made.snakemake("all").stderr


@pytest.fixture(scope="module")
def selected(tried) -> Workspace:
    """The same after the selection, and the final runs."""
    made = tried[0].copy(tried[0].folder.with_name("selected"))
    made.seqrepro("select")
    made.snakemake("all")
    return made


def test_trials_run_first_and_every_output_says_what_comes_next(tried):
    made, said = tried
    assert [seed for _, seed in trained(made)] == [0, 0, 0, 9, 9, 9]
    assert NEXT in said
    assert made.seqrepro("plan").stderr.splitlines()[-1] == NEXT
    assert "seqrepro select --suite quick" in made.read("results/quick/report/index.html").decode()
    assert tabled(made) == set()
    listed = json.loads(made.read("results/quick/MANIFEST.json"))["sidecars"]
    assert sum(name.startswith("results/runs/") for name in listed) == 6
    assert NEXT not in made.snakemake("all", "--config", "suite=quick").stdout
    made.seqrepro("audit")


def test_after_the_selection_its_runs_take_all_seeds(selected):
    choices = json.loads(selected.read(SELECTED))["choices"]["generated-markov"]
    chosen = {model: Path(of["trials"][of["trial"]]["run"]).parent.name for model, of in choices.items()}
    seeds = [(folder, seed) for folder, seed in trained(selected) if folder == chosen["sasrec-small"]]
    assert [seed for _, seed in seeds if seed != 9] == [1, 2]
    assert len(trained(selected)) == 3 + 3 + 2
    assert tabled(selected) == set(chosen.values())
    for of in choices.values():
        values = [trial["value"] for trial in of["trials"]]
        assert of["trial"] == values.index(max(values))
    probed = {path.parts[-5] for path in (selected.folder / "results/runs").glob("*/*/seed-*/probes/*/provenance.json")}
    assert probed == set(chosen.values())  # trials have no probes


def test_then_nothing_is_left_to_do_and_selecting_again_changes_nothing(selected):
    assert selected.planned("all") == []
    before = selected.read(SELECTED)
    selected.seqrepro("select")
    assert selected.read(SELECTED) == before
    assert "selection    ok                  1" in selected.seqrepro("audit").stdout


def test_an_edited_choice_trains_other_runs_and_fails_the_audit(selected):
    workspace = selected.copy(selected.folder.with_name("edited"))
    content = json.loads(workspace.read(SELECTED))
    choice = content["choices"]["generated-markov"]["sasrec-small"]
    other = (choice["trial"] + 1) % len(choice["trials"])
    choice |= {"trial": other, "settings": choice["trials"][other]["settings"]}
    (workspace.folder / SELECTED).write_text(json.dumps(content))
    jobs = [job.split() for job in workspace.planned("all")]
    run = Path(choice["trials"][other]["run"]).parent.name
    assert [job[1:] for job in jobs if job[0] == "train"] == [["generated-markov", run, seed] for seed in "12"]
    assert {"compare", "judge", "report", "audit"} < {job[0] for job in jobs}
    done = workspace.seqrepro("audit", check=False)
    assert done.returncode == 1
    assert f"{SELECTED}: selection inconsistent generated-markov, sasrec-small: trial {other} is chosen" in done.stderr


def test_an_edited_value_is_tabled_and_audited_anew(selected):
    workspace = selected.copy(selected.folder.with_name("value"))
    content = json.loads(workspace.read(SELECTED))
    content["choices"]["generated-markov"]["ease"]["trials"][0]["value"] += 0.001
    (workspace.folder / SELECTED).write_text(json.dumps(content))
    assert set(workspace.planned("all")) >= {"audit quick", "compare quick", "report quick"}
    assert not any(job.startswith("train") for job in workspace.planned("all"))
    assert "value of trial 0 is" in workspace.seqrepro("audit", check=False).stderr

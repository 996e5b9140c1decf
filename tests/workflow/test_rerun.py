"""What a change re-runs: exactly what it concerns."""

import shutil

from workspaces import AFTER, concerned


def test_a_comment_or_a_docstring_re_runs_nothing(finished):
    for name in ("models/sasrec.py", "training/loop.py", "data/prepare.py"):
        path = finished.folder / "src/seqrepro" / name
        path.write_text('"""Another docstring."""\n' + path.read_text().split('"""', 2)[2] + "\n# a comment\n")
    assert finished.planned() == []


def test_a_model_file_re_runs_that_models_runs_and_nothing_else(finished):
    finished.edit("src/seqrepro/models/ease.py", "import torch\n", "import torch\n\nTHE_ANSWER = 42\n")
    jobs = finished.planned()
    assert {job.split("-")[1] for job in concerned(jobs)} == {"markov ease"}
    assert sorted(job.split()[0] for job in concerned(jobs)) == ["probe_exposure", "train"]
    assert set(jobs) & AFTER == AFTER - {"survey quick"}


def test_a_changed_training_parameter_re_runs_exactly_its_runs(finished):
    finished.edit("params.yaml", "learning_rate: 3e-3", "learning_rate: 0.002")
    jobs = concerned(finished.planned())
    assert sorted(job.split()[0] for job in jobs) == ["probe"] * 2 + ["probe_exposure"] * 2 + ["train"] * 2
    assert all("sasrec" in job for job in jobs)


def test_a_changed_preparation_re_runs_what_uses_the_data(finished):
    finished.edit("params.yaml", "users: 60\n", "users: 61\n")
    kinds = [job.split()[0] for job in concerned(finished.planned())]
    assert [kinds.count(kind) for kind in ("prepare", "train", "probe", "probe_exposure")] == [1, 5, 2, 5]


def test_a_change_is_seen_without_snakemakes_own_records(finished):
    shutil.rmtree(finished.folder / ".snakemake")
    assert finished.planned() == []
    finished.edit("src/seqrepro/models/ease.py", "import torch\n", "import torch\n\nTHE_ANSWER = 42\n")
    assert sorted(job.split()[0] for job in concerned(finished.planned())) == ["probe_exposure", "train"]


def test_results_of_other_code_are_not_trusted_even_if_they_are_young(finished):
    """As after a pull: requests are older than results that were made by other code."""
    shutil.rmtree(finished.folder / ".snakemake")
    sidecar = next((finished.folder / "results/runs").glob("*/ease-*/seed-0/provenance.json"))
    text = sidecar.read_text()
    code = text.split('"request_sha256": "')[1][:64]
    sidecar.write_text(text.replace(code, "0" * 64))
    assert sorted(job.split()[0] for job in concerned(finished.planned())) == ["probe_exposure", "train"]


def test_plan_diff_names_the_runs_of_a_change(finished):
    before = finished.folder / "before.yaml"
    shutil.copyfile(finished.folder / "params.yaml", before)
    finished.edit("params.yaml", "learning_rate: 3e-3", "learning_rate: 0.002")
    done = finished.seqrepro("plan", "--diff", "before.yaml")
    lines = [line for line in done.stdout.splitlines() if line.startswith("re-run")]
    assert len(lines) == 2
    assert all("training.optimizer.learning_rate: 0.003 -> 0.002" in line for line in lines)

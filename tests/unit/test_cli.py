"""The command line: one line an error, exit codes, no traceback, and nothing heavy imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqrepro.cli import STEPS, VERBS, main
from seqrepro.config.requests import write_requests
from seqrepro.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def refused(repository, capsys):
    """Run words that must be refused: exit code 2 and one line without a traceback, which is returned."""

    def run(*words, code=2):
        assert main(list(words)) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 1
        return captured.err.rstrip()

    return run


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["--debug"]])
def test_the_overview(capsys, words):
    assert main(words) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in [*STEPS, *VERBS])


@pytest.mark.parametrize("verb", [*STEPS, *VERBS])
def test_every_verb_has_help(capsys, verb):
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: seqrepro {verb} ")


def test_an_unknown_verb(refused):
    assert refused("trian") == "seqrepro trian: unknown verb; did you mean 'train'?"
    assert refused("x").startswith("seqrepro x: unknown verb; known: audit, ")


@pytest.mark.parametrize("verb", [*STEPS, *VERBS])
def test_an_unknown_option(refused, verb):
    line = refused(verb, "--nonsense")
    assert line.startswith(f"seqrepro {verb}: ")
    assert "--nonsense" in line
    assert line.endswith(f"see `seqrepro {verb} --help`")


@pytest.mark.parametrize("verb", ["plan", "compare", "manifest", "pack", "restore"])
def test_an_unknown_suite(refused, verb):
    assert refused(verb, "--suite", "smal") == f"seqrepro {verb}: unknown suite 'smal'; did you mean 'small'?"


@pytest.mark.parametrize("verb", ["plan", "compare", "report", "refit", "manifest", "pack", "restore"])
def test_a_fault_in_the_parameters(refused, change, verb):
    change("dropout: 0.1", "dropout: -0.1")
    line = refused(verb)
    assert line.startswith(f"seqrepro {verb}: params.yaml:")
    assert line.endswith("models.sasrec.architecture.dropout: found -0.1, expected greater than or equal to 0")


def test_no_parameters(refused):
    Path("params.yaml").unlink()
    assert refused("plan") == "seqrepro plan: params.yaml: no such file; run this from the root of the repository"


def test_a_request_for_another_step(refused, make_plan):
    plan = make_plan()
    write_requests(plan)
    path = next(iter(plan.of("train")))
    assert refused("probe", str(path)) == f"seqrepro probe: {path}: this is a request for 'train', not for 'probe'"


@pytest.mark.parametrize("verb", STEPS)
def test_a_missing_request_file(refused, verb):
    assert refused(verb, "nowhere.json") == f"seqrepro {verb}: nowhere.json: no such file"


@pytest.mark.parametrize("verb", ["prepare", "train", "probe", "retrieve"])
def test_no_request_file(refused, verb):
    assert "a request file is missing" in refused(verb)


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", '{"step": "train"}'])
def test_a_file_that_is_no_request(refused, content):
    Path("request.json").write_text(content)
    assert refused("train", "request.json").startswith("seqrepro train: request.json: ")


def test_a_missing_input(refused, make_plan):
    plan = make_plan()
    write_requests(plan)
    path = next(iter(plan.of("train")))
    expected = "data/prepared/toy/sequences.parquet: no such file; 'train' needs it (the step before has not run)"
    assert refused("train", str(path)) == f"seqrepro train: {expected}"
    assert not Path("results/runs").exists()


def test_a_suite_without_a_refit(refused):
    assert refused("refit", "--suite", "small") == "seqrepro refit: params.yaml: suite 'small' asks for no refit"


def test_a_failed_check_has_exit_code_1(finished, capsys):
    (finished.of("report").popitem()[1].output / "index.html").write_text("other")
    assert main(["audit"]) == 1
    assert capsys.readouterr().err.startswith("seqrepro audit: results/small/report/index.html: ")


def test_debug_shows_the_traceback(repository):
    with pytest.raises(InputError, match="unknown suite"):
        main(["plan", "--suite", "smal", "--debug"])
    with pytest.raises(InputError, match="unknown verb"):
        main(["--debug", "trian"])


def test_an_interruption(repository, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("seqrepro.commands.plan.load_plan", interrupt)
    assert main(["plan"]) == 130
    assert capsys.readouterr().err == "seqrepro plan: interrupted; the same command goes on from here\n"


def program(*words, code=""):
    environment = os.environ | {"COLUMNS": "100"}
    command = [sys.executable, "-c", code, *words] if code else [sys.executable, "-m", "seqrepro.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


PLAN = """
import json, sys
from seqrepro.cli import main
code = main(["plan", "--csv"])
print(json.dumps([code, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def test_the_plan_imports_nothing_heavy(repository):
    done = program(code=PLAN)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    heavy = {"torch", "pandas", "mlflow", "dvc", "scipy", "matplotlib", "snakemake", "jinja2", "pyarrow", "numpy"}
    assert heavy.isdisjoint(modules)


def test_the_command_itself(repository):
    """Through a real process: exit code, one line, no traceback; with --debug a traceback."""
    done = program("plan", "--suite", "smal")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "seqrepro plan: unknown suite 'smal'; did you mean 'small'?\n"
    debug = program("plan", "--suite", "smal", "--debug")
    assert debug.returncode != 0
    assert "Traceback (most recent call last)" in debug.stderr


def test_the_installed_command_is_this_main():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"seqrepro": "seqrepro.cli:main"}


def test_a_reader_that_has_seen_enough_is_no_error():
    read, written = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "seqrepro.cli", "data", "list"]
    done = subprocess.run(command, cwd=ROOT, stdout=written, stderr=subprocess.PIPE, text=True, check=False)
    os.close(written)
    assert (done.returncode, done.stderr) == (0, "")

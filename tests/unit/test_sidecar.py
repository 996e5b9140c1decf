"""What a sidecar records, and what it must not."""

import getpass
import json
import platform
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seqrepro.errors import InputError
from seqrepro.files import canonical_json, sha256_file, sha256_text
from seqrepro.harness import execute
from seqrepro.provenance.manifest import ROOT, manifests, write_manifest
from seqrepro.provenance.sidecar import (
    environment,
    git_state,
    hashes,
    path_of,
    read_sidecar,
    request_hash,
    write_sidecar,
)
from seqrepro.request import Request


@pytest.fixture
def request_of_a_run(finished):
    return list(finished.of("train").values())[2]


@pytest.fixture
def record(request_of_a_run):
    return json.loads(path_of(request_of_a_run).read_text())


def test_what_it_records(request_of_a_run, record):
    assert record["step"] == "train"
    assert record["request"] == request_of_a_run.as_json()
    assert record["code"] == request_of_a_run.code
    assert record["exit"] == 0
    assert record["seconds"] >= 0
    assert record["environment"]["python"] == platform.python_version()
    assert record["environment"]["lock_sha256"] == sha256_file(Path("requirements.lock"))
    assert (record["environment"]["device"], record["environment"]["threads"]) == ("cpu", 1)
    assert record["schema_version"] == 1


def test_the_hash_is_that_of_the_whole_request(request_of_a_run, record):
    assert record["request_sha256"] == sha256_text(canonical_json(record["request"]))
    for field, value in {"folder": "x", "code": "y", "inputs": [], "parameters": {}, "uses": []}.items():
        assert request_hash(Request(**request_of_a_run.as_json() | {field: value})) != record["request_sha256"]


def test_every_input_and_output_has_its_checksum(request_of_a_run, record):
    assert set(record["inputs"]) == set(request_of_a_run.inputs)
    names = ("history.parquet", "metrics.json", "model.safetensors", "ranks.parquet")
    assert list(record["outputs"]) == [f"{request_of_a_run.folder}/{name}" for name in names]
    for name, digest in (record["inputs"] | record["outputs"]).items():
        assert digest == sha256_file(Path(name))


def test_it_tells_nothing_about_who_and_where(finished, repository):
    for request in finished.requests.values():
        text = path_of(request).read_text()
        for secret in (str(repository), str(Path.home()), socket.gethostname(), getpass.getuser() + "@", "/tmp/"):
            assert secret not in text


def test_a_mirror_is_not_told(make_plan, finish, change, tmp_path):
    change("mirror: null", f"mirror: {tmp_path}/private")
    plan = make_plan("public")
    for step in ("retrieve", "prepare"):
        (request,) = plan.of(step).values()
        finish(request)
        assert "private" not in path_of(request).read_text()


def test_times_are_utc(record):
    for name in ("started", "ended"):
        assert datetime.fromisoformat(record[name]).utcoffset() == datetime.now(UTC).utcoffset()


def test_reading(request_of_a_run):
    assert read_sidecar(request_of_a_run)["step"] == "train"
    path_of(request_of_a_run).unlink()
    assert read_sidecar(request_of_a_run) is None


def test_a_device_and_threads_come_from_the_configuration():
    found = environment({"config": {"training": {"device": "cuda", "threads": 4}}})
    assert (found["device"], found["threads"]) == ("cuda", 4)
    assert environment({})["device"] == "cpu"


def test_checksums_are_sorted_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ba":
        Path(name).write_text(name)
    assert list(hashes(["b", "a"])) == ["a", "b"]
    assert hashes([Path("a")]) == {"a": sha256_text("a")}


def test_git_state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() == {"commit": None, "dirty": None}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    Path("a").write_text("a")
    for words in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *words], check=True)
    state = git_state()
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    Path("b").write_text("untracked files play no part")
    assert git_state() == state
    Path("a").write_text("b")
    assert git_state() == state | {"dirty": True}


def test_git_that_is_not_there(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state() == {"commit": None, "dirty": None}


def step_module(tmp_path, monkeypatch, body, step="train"):
    """A step made up, that the harness can import."""
    (tmp_path / "made_up_step.py").write_text(f"from pathlib import Path\ndef run(request):\n{body}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "made_up_step", raising=False)
    request = Request(step, "made_up_step", "out", ["in.txt"], {}, [], "0" * 64)
    Path("request.json").write_text(json.dumps(request.as_json()))
    return request


WRITE = "    request.output.mkdir(exist_ok=True)\n    path = request.output / 'a'\n    path.write_text('a')\n"


def test_the_harness_writes_it_last(repository, tmp_path, monkeypatch):
    request = step_module(tmp_path, monkeypatch, f"{WRITE}    return [path]\n")
    Path("in.txt").write_text("in")
    assert execute("train", Path("request.json")) == [Path("out/a"), Path("out/provenance.json")]
    record = read_sidecar(request)
    assert record["outputs"] == {"out/a": sha256_text("a")}
    assert record["inputs"] == {"in.txt": sha256_text("in")}


def test_a_step_that_fails_leaves_no_sidecar_of_before(repository, tmp_path, monkeypatch):
    request = step_module(tmp_path, monkeypatch, f"{WRITE}    raise RuntimeError('no')\n")
    Path("in.txt").write_text("in")
    write_sidecar(request, [], datetime.now(UTC))
    with pytest.raises(RuntimeError):
        execute("train", Path("request.json"))
    assert read_sidecar(request) is None


def test_a_missing_input_is_found_before_anything_is_touched(repository, tmp_path, monkeypatch):
    request = step_module(tmp_path, monkeypatch, "    raise AssertionError\n")
    write_sidecar(Request(**request.as_json() | {"inputs": []}), [], datetime.now(UTC))
    with pytest.raises(InputError, match=r"^in.txt: no such file; 'train' needs it"):
        execute("train", Path("request.json"))
    assert path_of(request).is_file()


@pytest.mark.parametrize("step", ["compare", "report"])
def test_tables_show_what_is_there(repository, tmp_path, monkeypatch, step):
    """They are made without the runs that are missing, and the sidecar tells from what."""
    request = step_module(tmp_path, monkeypatch, f"{WRITE}    return [path]\n", step)
    assert execute(step, Path("request.json"))
    assert read_sidecar(request)["inputs"] == {}


def test_the_manifest_lists_every_sidecar(finished):
    listed = json.loads(ROOT.read_text())["sidecars"]
    assert set(listed) == {path_of(request).as_posix() for request in finished.requests.values()}
    assert all(digest == sha256_file(Path(name)) for name, digest in listed.items())
    assert manifests() == [ROOT]


def test_the_manifest_keeps_other_suites_and_forgets_what_is_gone(finished, make_plan, finish):
    before = set(json.loads(ROOT.read_text())["sidecars"])
    gone = path_of(next(iter(finished.of("train").values())))
    gone.unlink()
    other = make_plan("both")
    for request in other.requests.values():
        if request not in finished.requests.values():
            finish(request)
    count = write_manifest(other, ROOT)
    after = set(json.loads(ROOT.read_text())["sidecars"])
    assert gone.as_posix() not in after
    assert before - {gone.as_posix()} < after
    assert count == len(after)


def test_the_manifest_of_one_suite_does_not_whitewash_another(finished, make_plan, finish):
    """Listing again takes over the lines of other suites as they stand, so an edited sidecar stays found."""
    other = make_plan("public")
    for request in other.requests.values():
        finish(request)
    name = path_of(next(iter(finished.of("train").values()))).as_posix()
    before = json.loads(ROOT.read_text())["sidecars"][name]
    Path(name).write_text("{}")
    write_manifest(other, ROOT)
    assert json.loads(ROOT.read_text())["sidecars"][name] == before


def test_the_manifest_keeps_the_lines_of_data_that_are_elsewhere(finished, make_plan):
    (sidecar,) = (path_of(request) for request in finished.of("prepare").values())
    sidecar.unlink()
    write_manifest(make_plan("public"), ROOT)
    assert sidecar.as_posix() in json.loads(ROOT.read_text())["sidecars"]


def test_a_repetition_with_the_same_bytes_keeps_the_first_record(request_of_a_run, record):
    outputs = [Path(name) for name in record["outputs"]]
    later = datetime(2031, 1, 1, tzinfo=UTC)
    write_sidecar(request_of_a_run, outputs, later, before=record)
    assert read_sidecar(request_of_a_run) == record
    outputs[0].write_bytes(b"other bytes")
    write_sidecar(request_of_a_run, outputs, later, before=record)
    assert read_sidecar(request_of_a_run)["started"].startswith("2031")

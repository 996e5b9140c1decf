"""The audit finds what was changed after the fact, names it, and lets pass what is merely not there."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seqrepro.cli import main
from seqrepro.config.suite_plan import TABLES
from seqrepro.files import canonical_json, read_json, sha256_file, sha256_text, write_json
from seqrepro.provenance.audit import KEPT_ELSEWHERE
from seqrepro.provenance.manifest import ROOT as MANIFEST
from seqrepro.provenance.manifest import write_manifest
from seqrepro.provenance.sidecar import path_of, write_sidecar
from seqrepro.request import Request


@pytest.fixture
def audit(finished, capsys):
    """Run the verb: exit code, standard output, standard error."""

    def run(*words):
        code = main(["audit", *words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def trained(finished):
    """The requests of the trained runs, seeds 1 and 2."""
    return [r for r in finished.of("train").values() if r.parameters["seed"]]


def edit(path, change):
    value = read_json(path)
    change(value)
    write_json(path, value)


def sign(plan):
    """The manifest again, as somebody would write it who covers traces."""
    write_manifest(plan, MANIFEST)


def test_a_clean_tree(audit, finished):
    code, out, err = audit()
    assert (code, err) == (0, "")
    counts = {tuple(line.split()[:2]): int(line.split()[2]) for line in out.splitlines()[1:]}
    jobs = len(finished.requests)
    assert counts.pop(("artifact", "ok")) == 4 + 4 * 4 + 2 + len(TABLES) + 1 + 1
    assert counts.pop(("manifest", "ok")) == 1
    assert counts == {(check, "ok"): jobs for check in ("sidecar", "inputs", "parameters", "code")}


def byte_changed(plan, runs):
    path = runs[0].output / "ranks.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    return path


def volatile_looking_artifact_changed(plan, runs):
    path = runs[0].output / "metrics.json"
    path.write_text(path.read_text() + " ")
    return path


def table_changed(plan, runs):
    (compare,) = plan.of("compare").values()
    path = compare.output / "metrics.parquet"
    path.write_text("better")
    return path


def artifact_and_sidecar_edited(plan, runs):
    path = byte_changed(plan, runs)
    edit(path_of(runs[0]), lambda record: record["outputs"].update({path.as_posix(): sha256_file(path)}))
    return path_of(runs[0])


def artifact_deleted(plan, runs):
    path = runs[1].output / "ranks.parquet"
    path.unlink()
    return path


def artifact_and_its_line_deleted(plan, runs):
    path = artifact_deleted(plan, runs)
    edit(path_of(runs[1]), lambda record: record["outputs"].pop(path.as_posix()))
    return path_of(runs[1])


def artifact_truncated(plan, runs):
    path = runs[1].output / "history.parquet"
    path.write_bytes(b"")
    return path


def artifact_made_a_folder(plan, runs):
    path = artifact_deleted(plan, runs)
    path.mkdir()
    return path


def sidecar_deleted(plan, runs):
    path_of(runs[0]).unlink()
    return path_of(runs[0])


def run_deleted(plan, runs):
    shutil.rmtree(runs[0].output)
    return path_of(runs[0])


def parameters_edited(plan, runs):
    edit(path_of(runs[0]), lambda record: record["request"]["parameters"].update(seed=3))
    return path_of(runs[0])


def parameters_edited_and_signed(plan, runs):
    parameters_edited(plan, runs)
    sign(plan)
    return path_of(runs[0])


def parameters_edited_hashed_and_signed(plan, runs):
    def change(record):
        record["request"]["parameters"]["config"]["training"]["budget"]["epochs"] = 1000
        record["request_sha256"] = sha256_text(canonical_json(record["request"]))

    edit(path_of(runs[0]), change)
    sign(plan)
    return path_of(runs[0])


def fingerprint_edited_and_signed(plan, runs):
    edit(path_of(runs[0]), lambda record: record.update(code="0" * 64))
    sign(plan)
    return path_of(runs[0])


def ranks_of_two_seeds_swapped(plan, runs):
    one, two = (run.output / "ranks.parquet" for run in runs)
    texts = one.read_bytes(), two.read_bytes()
    two.write_bytes(texts[0])
    one.write_bytes(texts[1])
    return one


def runs_of_two_seeds_swapped_and_signed(plan, runs):
    one, two = (run.output for run in runs)
    one.rename(one.with_name("aside"))
    two.rename(one)
    one.with_name("aside").rename(two)
    sign(plan)
    return path_of(runs[0])


def redo(request, content):
    """Other results of the same request, with a sidecar that fits them."""
    outputs = [Path(name) for name in read_json(path_of(request))["outputs"]]
    for path in outputs:
        path.write_text(content)
    write_sidecar(request, outputs, datetime.now(UTC))


def upstream_replaced_and_signed(plan, runs):
    (prepare,) = plan.of("prepare").values()
    redo(prepare, "another dataset")
    sign(plan)
    return path_of(runs[0])


def run_replaced_and_signed(plan, runs):
    redo(runs[1], "better")
    sign(plan)
    (compare,) = plan.of("compare").values()
    return path_of(compare)


def folder_renamed_and_signed(plan, runs):
    """The folder's hash, and everything that mentions it, says another configuration."""
    folder = Path(runs[0].folder).parent
    digits = folder.name[-8:]
    other = folder.with_name(folder.name.replace(digits, "0" * 8))
    folder.rename(other)
    for path in Path("results").rglob("*.json"):
        path.write_text(path.read_text().replace(digits, "0" * 8))
    for path in Path("results").rglob("provenance.json"):
        record = read_json(path)
        record["request_sha256"] = sha256_text(canonical_json(record["request"]))
        record["outputs"] = {name: sha256_file(Path(name)) for name in record["outputs"]}
        write_json(path, record)
    listed = [path.as_posix() for path in Path().rglob("provenance.json")]
    write_json(MANIFEST, {"sidecars": {name: sha256_file(Path(name)) for name in listed}})
    return other / "seed-1/provenance.json"


def sidecar_moved_and_signed(plan, runs):
    shutil.copyfile(path_of(runs[0]), path_of(runs[1]))
    sign(plan)
    return path_of(runs[1])


def garbage(text, signed):
    def tamper(plan, runs):
        path_of(runs[0]).write_text(text)
        if signed:
            sign(plan)
        return path_of(runs[0])

    tamper.__name__ = f"sidecar {text!r}{' signed' if signed else ''}"
    return tamper


def unlisted(plan, runs):
    edit(MANIFEST, lambda value: value["sidecars"].pop(path_of(runs[0]).as_posix()))
    return path_of(runs[0])


def unlisted_prepared(plan, runs):
    """Then nothing says which dataset the runs were made from."""
    (prepare,) = plan.of("prepare").values()
    edit(MANIFEST, lambda value: value["sidecars"].pop(path_of(prepare).as_posix()))
    return "data/prepared/toy/"


def another_manifest(plan, runs):
    """A suite's own, uncommitted manifest vouches for what the committed one does not."""
    artifact_and_sidecar_edited(plan, runs)
    name = path_of(runs[0]).as_posix()
    write_json(Path("results/quick/MANIFEST.json"), {"sidecars": {name: sha256_file(Path(name))}})
    return path_of(runs[0])


NO_SIDECARS = ("", "{}", "[]", '{"outputs": [], "inputs": 1, "request": 2, "code": 3}')
TAMPERINGS = [
    byte_changed,
    volatile_looking_artifact_changed,
    table_changed,
    artifact_and_sidecar_edited,
    artifact_deleted,
    artifact_and_its_line_deleted,
    artifact_truncated,
    artifact_made_a_folder,
    sidecar_deleted,
    run_deleted,
    parameters_edited,
    parameters_edited_and_signed,
    parameters_edited_hashed_and_signed,
    fingerprint_edited_and_signed,
    ranks_of_two_seeds_swapped,
    runs_of_two_seeds_swapped_and_signed,
    upstream_replaced_and_signed,
    run_replaced_and_signed,
    folder_renamed_and_signed,
    sidecar_moved_and_signed,
    *(garbage(text, signed) for text in NO_SIDECARS for signed in (False, True)),
    unlisted,
    unlisted_prepared,
    another_manifest,
]


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda function: function.__name__)
def test_tampering_is_found_and_named(audit, finished, trained, tamper):
    named = tamper(finished, trained)
    code, _, err = audit()
    assert code == 1
    assert str(named) in err
    assert err.startswith("seqrepro audit: ")


@pytest.mark.parametrize(
    ("tamper", "phrase"),
    [
        (byte_changed, "artifact changed sha256 "),
        (artifact_and_sidecar_edited, "sidecar changed sha256 "),
        (artifact_deleted, "artifact missing"),
        (sidecar_deleted, "sidecar missing"),
        (parameters_edited_and_signed, "parameters inconsistent the request is not the one that was hashed"),
        (parameters_edited_hashed_and_signed, "parameters inconsistent the folder says "),
        (folder_renamed_and_signed, "parameters inconsistent the folder says 00000000"),
        (sidecar_moved_and_signed, "parameters inconsistent belongs to results/runs/toy/"),
        (fingerprint_edited_and_signed, "code inconsistent two fingerprints in one sidecar"),
        (upstream_replaced_and_signed, "inputs inconsistent was made from another data/prepared/toy/"),
        (run_replaced_and_signed, "inputs inconsistent was made from another results/runs/toy/"),
        (garbage("{}", signed=True), "sidecar inconsistent not a sidecar"),
        (unlisted, "inputs inconsistent no manifest lists results/runs/toy/"),
        (another_manifest, "manifest inconsistent results/quick/MANIFEST.json lists another checksum"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_check_finds_what_it_is_there_for(audit, finished, trained, tamper, phrase):
    tamper(finished, trained)
    assert phrase in audit()[2]


def test_nothing_is_written_when_it_fails(audit, finished, trained):
    byte_changed(finished, trained)
    assert audit("--csv", "results/small/audit.csv")[0] == 1
    assert not Path("results/small/audit.csv").exists()


def test_weights_and_data_may_be_elsewhere(audit, finished):
    shutil.rmtree("data")
    for path in Path("results").rglob("*.safetensors"):
        path.unlink()
    code, out, err = audit()
    assert (code, err) == (0, "")
    rows = {tuple(line.split()[:2]): int(line.split()[2]) for line in out.splitlines()[1:]}
    assert rows["artifact", "absent"] == 4
    assert rows["sidecar", "absent"] == 1


@pytest.mark.parametrize(
    ("name", "elsewhere"),
    [
        ("model.safetensors", True),
        ("log.jsonl", True),
        ("probes/exposure/topk.parquet", True),
        ("probes/robustness/ranks-insert_random-0.2.parquet", True),
        ("probes/robustness/robustness.parquet", False),
        ("probes/exposure/exposure.json", False),
        ("history.parquet", False),
        ("metrics.json", False),
        ("ranks.parquet", False),
        ("timing.json", False),
        ("provenance.json", False),
    ],
)
def test_the_audit_misses_what_git_has_and_nothing_else(name, elsewhere):
    path = f"results/runs/beauty/sasrec-cross_entropy-00000000/seed-1/{name}"
    command = ["git", "check-ignore", "--quiet", "--no-index", path]
    assert (subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode == 0) == elsewhere
    assert bool(KEPT_ELSEWHERE.search(path)) == elsewhere


def test_weights_that_are_there_are_checked(audit, trained):
    path = trained[0].output / "model.safetensors"
    path.write_text("others")
    code, _, err = audit()
    assert code == 1
    assert path.as_posix() in err


def test_older_code_is_said_and_passes(audit, finished, trained):
    older = Request(**trained[0].as_json() | {"code": "0" * 64})
    redo(older, f"{trained[0].output}/ranks")
    for step in ("probe", "compare", "judge", "report"):  # made again from what was just replaced
        for request in finished.of(step).values():
            redo(request, step)
    sign(finished)
    code, out, err = audit()
    assert (code, err) == (0, "")
    assert f"older code: {path_of(trained[0])} made at commit unknown" in out


def test_a_run_that_no_suite_lists_is_said(audit, make_plan, finish):
    other = list(make_plan("both").of("train").values())[-1]
    finish(other)
    _, out, _ = audit()
    assert f"not listed: {path_of(other)}" in out


def test_the_csv_has_every_check(audit, finished):
    code, _, _ = audit("--manifest", str(MANIFEST), "--csv", "results/small/audit.csv")
    assert code == 0
    lines = Path("results/small/audit.csv").read_text().splitlines()
    assert lines[0] == "file,check,status,detail"
    for request in finished.requests.values():
        assert f"{path_of(request)},sidecar,ok," in lines
    assert len(lines) == 1 + 1 + 24 + len(TABLES) + 4 * len(finished.requests)


def test_no_manifest(audit):
    MANIFEST.unlink()
    assert audit() == (2, "", "seqrepro audit: results/MANIFEST.json: no such file; nothing to audit\n")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"sidecars": []}', '{"sidecars": 3}'])
def test_a_manifest_that_is_none(audit, content):
    path = Path("results/other.json")
    if content is not None:
        path.write_text(content)
    code, _, err = audit("--manifest", str(path))
    assert code == 2
    assert err.startswith("seqrepro audit: results/other.json: ")
    assert len(err.splitlines()) == 1


def test_the_manifest_of_another_suite_is_checked_too(audit, finished):
    Path("results/quick").mkdir()
    MANIFEST.rename("results/quick/MANIFEST.json")
    assert audit()[0] == 0
    (report,) = finished.of("report").values()
    (report.output / "index.html").write_text("other")
    assert audit()[0] == 1


def test_whether_the_manifest_is_the_committed_one(audit, finished):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    assert "not under version control" not in audit()[2]
    for words in (["init", "-q"], ["add", str(MANIFEST)], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *words], check=True)
    assert "not committed" not in audit()[1]
    MANIFEST.write_text(json.dumps(read_json(MANIFEST)))
    code, out, _ = audit()
    assert code == 0
    assert "not committed: results/MANIFEST.json differs from HEAD" in out

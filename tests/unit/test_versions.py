"""Versions: what was packed comes back byte by byte, if and only if this tree still asks for it."""

import os
import shutil
from pathlib import Path

import pytest

from seqrepro.cli import main
from seqrepro.config.requests import state_of, write_requests
from seqrepro.files import read_json, sha256_file, write_text
from seqrepro.provenance.manifest import write_manifest
from seqrepro.provenance.sidecar import path_of
from seqrepro.provenance.versions import VERSIONS, place

VERSION = VERSIONS / "small"
EXTRAS = ("results/MANIFEST.json", "results/small/audit.csv", "results/small/tracking.json")


def tree():
    """All results and data: content by path."""
    files = [path for top in ("results", "data") for path in Path(top).rglob("*") if path.is_file()]
    return {path.as_posix(): path.read_bytes() for path in files if not path.is_relative_to("results/versions")}


def clear():
    """As in a fresh clone after `dvc pull`: the version alone."""
    VERSIONS.rename("aside")
    for top in ("results", "data"):
        shutil.rmtree(top, ignore_errors=True)
    VERSIONS.parent.mkdir()
    Path("aside").rename(VERSIONS)
    for path in VERSION.rglob("*"):
        os.utime(path, (1, 1))


@pytest.fixture
def packed(finished):
    """The finished suite, packed; everything stands in place too."""
    for name in EXTRAS[1:]:
        write_text(Path(name), name)
    assert main(["pack"]) == 0
    return finished


@pytest.fixture
def restore(packed, capsys):
    """Run the verb: lines of what will run again, and the counts."""

    def run():
        capsys.readouterr()
        code = main(["restore"])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        *lines, counts = captured.out.splitlines()
        return lines, counts

    return run


def again(lines):
    """(step, reason) of the jobs that were not restored."""
    assert all(line.startswith("will run again: ") for line in lines)
    return [(line.split()[3], line.partition("(")[2].rstrip(")")) for line in lines]


def followers(lines):
    """The steps that were not restored because of what they are made from."""
    assert all(reason.startswith("made from another ") for _, reason in again(lines))
    return [step for step, _ in again(lines)]


def test_everything_comes_back(restore, packed):
    before = tree()
    clear()
    assert restore() == ([], f"{len(packed.requests)} jobs restored")
    assert tree() == before


def test_what_comes_back_is_not_older_than_its_request_and_its_inputs(restore, packed):
    clear()
    restore()
    for path, request in packed.requests.items():
        outputs = [*read_json(path_of(request))["outputs"], path_of(request).as_posix()]
        youngest_input = max(Path(name).stat().st_mtime_ns for name in [path.as_posix(), *request.inputs])
        assert all(Path(name).stat().st_mtime_ns >= youngest_input for name in outputs)
    assert {state_of(request) for request in packed.requests.values()} == {"done"}
    assert write_requests(packed) == []


def test_restoring_twice_changes_nothing(restore):
    clear()
    first = restore()
    before = tree()
    assert restore() == first
    assert tree() == before


def test_sidecars_come_back_as_they_were(restore, packed):
    """A restored file keeps the provenance of who made it; nothing is made to look like new work."""
    before = {path_of(request): path_of(request).read_bytes() for request in packed.requests.values()}
    clear()
    restore()
    assert {path: path.read_bytes() for path in before} == before


def test_a_changed_parameter_of_a_probe(restore, change):
    clear()
    change("{kind: drop_last, count: 1}", "{kind: drop_last, count: 2}")
    lines, counts = restore()
    assert again(lines)[:2] == [("probe", "other parameters")] * 2
    assert followers(lines[2:]) == ["judge", "report"]
    assert counts == "6 jobs restored, 4 jobs will run again"
    assert not list(Path("results/runs").rglob("robustness.parquet"))
    assert not any(Path(name).exists() for name in EXTRAS)


def test_a_changed_parameter_of_a_model(restore, packed, change):
    clear()
    change("regularisation: 10", "regularisation: 20")
    lines, _ = restore()
    steps = [step for step, _ in again(lines)]
    assert steps == ["train", "compare", "judge", "report"]  # the run, and the tables and the report that mention it
    assert not list(Path("results/runs/toy").glob("ease-*"))
    assert len(list(Path("results/runs/toy").glob("*/*/ranks.parquet"))) == 3


def test_other_code_upstream_takes_its_dependants_along(restore, packed, edit_sidecar):
    """Code of `prepare` changed: its own request differs; the runs are as they were, but their input is not there."""
    (prepare,) = packed.of("prepare").values()
    edit_sidecar(VERSION / path_of(prepare), code="0" * 64)
    clear()
    lines, counts = restore()
    found = again(lines)
    assert found[0] == ("prepare", "other code")
    assert {reason.split("/")[0] for _, reason in found[1:]} <= {"made from another data", "made from another results"}
    assert counts == f"{len(packed.requests)} jobs will run again"
    assert not Path("data").exists()
    assert not list(Path("results").glob("runs"))


@pytest.fixture
def edit_sidecar():
    """Make a packed sidecar one of another request."""
    from seqrepro.files import canonical_json, sha256_text, write_json

    def edit(path, **fields):
        record = read_json(path)
        record["request"] |= fields
        record["request_sha256"] = sha256_text(canonical_json(record["request"]))
        path.unlink()  # it may be a hard link
        write_json(path, record)

    return edit


def test_other_data_upstream(restore, packed, finish, capsys):
    """The data in place were made by this tree's request, but are not those that the packed runs saw."""
    clear()
    write_requests(packed)
    (prepare,) = packed.of("prepare").values()
    finish(prepare, "other bytes")
    shutil.rmtree(VERSION / prepare.folder)
    lines, _ = restore()
    assert again(lines)[0] == ("prepare", "not in this version")
    assert again(lines)[1] == ("train", "made from another data/prepared/toy/sequences.parquet")
    assert len(lines) == len(packed.requests)
    assert state_of(prepare) == "done"  # what is in place and right stays
    assert "other bytes" in (prepare.output / "sequences.parquet").read_text()


@pytest.mark.parametrize("how", ["changed", "removed", "emptied"])
def test_a_damaged_file_is_refused(restore, packed, how):
    clear()
    request = list(packed.of("train").values())[-1]
    name = f"{request.folder}/ranks.parquet"
    path = VERSION / name
    path.unlink()
    if how != "removed":
        path.write_text("x" if how == "changed" else "")
    lines, _ = restore()
    assert again(lines)[0] == ("train", f"{name} is damaged")
    assert [step for step, _ in again(lines)] == ["train", "probe", "compare", "judge", "report"]
    assert not request.output.joinpath("ranks.parquet").exists()


@pytest.mark.parametrize("content", ["", "{}", "[]", "{", '{"step": 1}'])
def test_a_damaged_sidecar_is_refused(restore, packed, content):
    clear()
    request = next(iter(packed.of("train").values()))
    (VERSION / path_of(request)).write_text(content)
    lines, _ = restore()
    assert [step for step, _ in again(lines)] == ["train", "compare", "judge", "report"]


def test_stale_results_in_place_are_removed(restore, packed, finish, change):
    """As after a checkout of other parameters: missing records of Snakemake must not hide the change."""
    change("{kind: drop_last, count: 1}", "{kind: drop_last, count: 2}")
    probes = list(Path("results/runs").rglob("robustness.parquet"))
    assert len(probes) == 2
    lines, _ = restore()
    assert again(lines)[:2] == [("probe", "other parameters")] * 2
    assert followers(lines[2:]) == ["judge"]
    assert not any(path.exists() or path.with_name("provenance.json").exists() for path in probes)


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_garbage_in_place_is_replaced(restore, packed, content):
    request = next(iter(packed.of("train").values()))
    path_of(request).unlink()
    path_of(request).write_text(content)
    assert restore()[0] == []
    assert state_of(request) == "done"


def test_stale_results_without_a_packed_one_are_removed(restore, packed, finish, edit_sidecar):
    request = next(iter(packed.of("probe").values()))
    shutil.rmtree(VERSION / request.folder)
    edit_sidecar(path_of(request), code="0" * 64)
    lines, _ = restore()
    assert again(lines)[0] == ("probe", "not in this version")
    assert followers(lines[1:]) == ["judge"]
    assert not (request.output / "robustness.parquet").exists()


def test_done_results_without_a_packed_one_stay(restore, packed):
    request = next(iter(packed.of("probe").values()))
    shutil.rmtree(VERSION / request.folder)
    restore()
    assert state_of(request) == "done"
    assert (request.output / "robustness.parquet").is_file()


def test_no_version(repository, capsys):
    assert main(["restore"]) == 2
    message = "results/versions/small: no version of suite 'small' is there; `dvc pull` fetches it"
    assert capsys.readouterr().err == f"seqrepro restore: {message}\n"


def test_the_list_of_contents(packed):
    contents = read_json(VERSION / "CONTENTS.json")
    assert contents["suite"] == "small"
    found = {path.relative_to(VERSION).as_posix(): sha256_file(path) for path in VERSION.rglob("*") if path.is_file()}
    del found["CONTENTS.json"]
    assert found == contents["files"]
    assert set(EXTRAS) < set(found)


def test_packing_forgets_what_is_no_longer_asked(packed, make_plan, finish, change):
    change("regularisation: 10", "regularisation: 20")
    plan = make_plan()
    for request in plan.requests.values():
        if state_of(request) != "done":
            finish(request)
    assert main(["pack"]) == 0
    assert len(list((VERSION / "results/runs/toy").glob("ease-*/*/ranks.parquet"))) == 1
    assert not list(VERSION.rglob(".*.partial"))


def test_packing_twice_is_the_same(packed):
    before = {path: path.read_bytes() for path in VERSION.rglob("*") if path.is_file()}
    assert main(["pack"]) == 0
    assert {path: path.read_bytes() for path in VERSION.rglob("*") if path.is_file()} == before


def test_a_run_made_again_does_not_reach_into_the_version(packed, finish):
    """The packed file may be a hard link to the result."""
    request = next(iter(packed.of("train").values()))
    path = request.output / "ranks.parquet"
    before = path.read_bytes()
    finish(request, "made again")
    assert path.read_bytes() != before
    assert (VERSION / path).read_bytes() == before


def unfinish_sidecar(request):
    path_of(request).unlink()
    return path_of(request)


def unfinish_weights(request):
    path = request.output / "model.safetensors"
    path.unlink()
    return path


def unfinish_bytes(request):
    path = request.output / "metrics.json"
    path.write_text("better")
    return path


def unfinish_request(request):
    path_of(request).write_text("{}")
    return path_of(request)


def unfinish_receipt(request):
    path = Path("results/small/tracking.json")
    path.unlink()
    return path


@pytest.mark.parametrize(
    "undo", [unfinish_sidecar, unfinish_weights, unfinish_bytes, unfinish_request, unfinish_receipt]
)
def test_an_unfinished_suite_is_not_packed(packed, capsys, undo):
    before = {path: path.read_bytes() for path in VERSION.rglob("*") if path.is_file()}
    capsys.readouterr()
    named = undo(next(iter(packed.of("train").values())))
    assert main(["pack"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"seqrepro pack: {named}: ")
    assert len(error.splitlines()) == 1
    assert {path for path in VERSION.rglob("*") if path.is_file()} == set(before)


def test_raw_files_are_not_packed(make_plan, finish, change, repository):
    change("suite: small", "suite: public")
    plan = make_plan("public")
    for request in plan.requests.values():
        finish(request)
    write_manifest(plan, Path("results/public/MANIFEST.json"))
    for name in ("audit.csv", "tracking.json"):
        write_text(Path("results/public") / name, name)
    assert main(["pack"]) == 0
    version = VERSIONS / "public"
    assert not list(version.rglob("u.data"))
    assert (version / "data/raw/ml-100k/provenance.json").is_file()
    assert (version / "data/prepared/movies/sequences.parquet").is_file()


def test_place_makes_one_file_of_two_names(tmp_path):
    one, two = tmp_path / "a/one", tmp_path / "b/two"
    write_text(one, "text")
    for _ in range(2):  # the second time both are one file already
        place(one, two)
        assert two.read_text() == "text"
        assert [path.name for path in two.parent.iterdir()] == ["two"]


def test_place_copies_where_links_are_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    write_text(tmp_path / "one", "text")
    place(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "text"
    assert not (tmp_path / "one").samefile(tmp_path / "two")

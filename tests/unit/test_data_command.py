"""`seqrepro data`: what it prints, and when it fails."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqrepro.cli import main
from seqrepro.commands import data
from seqrepro.errors import CheckFailed, InputError

TIMED = "user\titem\ttimestamp\n1\t5\t1\n1\t6\t2\n1\t7\t2\n2\t5\t3\n2\t8\t4\n"
PLAIN = "1 5 7 6\n2 5 8\n"
RENUMBERED = "2 3 1\n1 3 2 4\n"


def entry(name: str, text: str, kind: str, counts: tuple[int, int, int], **more: Any) -> dict[str, Any]:
    file = {
        "name": name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "sources": [{"kind": "mirror", "path": name, "provenance": "archived"}],
    }
    raw = dict(zip(("users", "items", "interactions"), counts, strict=True))
    told = {"title": "T", "family": "f", "variant": "v", "terms": "t", "citation": "c", "homepage": "https://x.org/"}
    told |= {"format": kind, "order_source": "source", "provenance": "archived", "expected": {"raw": raw}}
    return told | {"files": [file]} | more


def reference(name: str, ids: str = "same", **expected: int) -> dict[str, Any]:
    return {"entry": name, "ids": ids, "expected": {"users": 2, **expected}}


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder with a registry of three entries, and a mirror that holds two of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEQREPRO_MIRROR", raising=False)
    Path("mirror").mkdir()
    Path("mirror/timed.tsv").write_text(TIMED)
    Path("mirror/plain.txt").write_text(PLAIN)
    entries = {
        "timed": entry("timed.tsv", TIMED, "user_item_timestamp_tsv", (2, 4, 5)),
        "plain": entry("plain.txt", PLAIN, "s3rec_sequences", (2, 4, 5)),
        "away": entry("away.txt", RENUMBERED, "s3rec_sequences", (2, 4, 5)),
    }

    def write(**changes: dict[str, Any]) -> None:
        Path("registry").mkdir(exist_ok=True)
        changed = {name: fields | changes.get(name, {}) for name, fields in entries.items()}
        Path("registry/datasets.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))

    write()
    return write


def lines(capsys, *words: str) -> list[str]:
    data.main(list(words))
    return capsys.readouterr().out.splitlines()


def test_list(registry, capsys):
    found = lines(capsys, "list")
    assert found[0].split()[:2] == ["entry", "class"]
    assert found[1].split() == ["timed", "archived", "2", "/", "4", "/", "5", "source", "-", "T"]
    assert len(found) == 4


def test_verify_says_a_line_a_dataset(registry, capsys):
    registry(timed={"references": [reference("plain", equal=1, ties=1, test_targets=1, validation_targets=1)]})
    found = lines(capsys, "verify", "--mirror", "mirror")
    assert found == [
        "OK          timed  archived; 2 / 4 / 5; against plain: 1 of 2 users equal, 1 differ only in ties, "
        "1 other test targets",
        "OK          plain  archived; 2 / 4 / 5",
        "not at hand away   archived; data/raw/away/away.txt is not there, and the mirror lacks away.txt",
    ]


def test_verify_compares_by_structure_and_by_maps(registry, capsys):
    Path("mirror/away.txt").write_text(RENUMBERED)
    maps = {}
    for key, rows in (("user_map", "2\t2\n1\t1\n"), ("item_map", "3\t5\n2\t7\n4\t6\n1\t8\n")):
        text = f"there\there\n{rows}"
        Path(f"mirror/{key}.tsv").write_text(text)
        source = {"kind": "mirror", "path": f"{key}.tsv", "provenance": "archived"}
        maps[key] = {"name": f"{key}.tsv", "sha256": hashlib.sha256(text.encode()).hexdigest(), "sources": [source]}
    both = [reference("away", "structure", equal=2, untold=2), reference("away", "maps", equal=2) | maps]
    registry(plain={"references": both})
    assert lines(capsys, "verify", "plain", "--mirror", "mirror") == [
        "OK          plain  archived; 2 / 4 / 5; equal to away; equal to away"
    ]


def test_verify_of_a_reference_that_is_away_or_was_never_compared(registry, capsys):
    registry(plain={"references": [reference("away", equal=2), reference("timed") | {"expected": None}]})
    assert lines(capsys, "verify", "plain", "--mirror", "mirror") == [
        "OK          plain  archived; 2 / 4 / 5; away is not at hand, not compared; "
        "against timed: 1 of 2 users equal, 1 differ only in ties, 1 other test targets"
    ]


def test_files_in_data_raw_come_first(registry, capsys):
    Path("data/raw/plain").mkdir(parents=True)
    Path("data/raw/plain/plain.txt").write_text(PLAIN)
    assert lines(capsys, "verify", "plain") == ["OK          plain  archived; 2 / 4 / 5"]
    assert "no mirror is set" in lines(capsys, "verify", "timed")[0]
    Path("data/raw/plain/plain.txt").write_text(PLAIN + "3 5\n")
    with pytest.raises(CheckFailed, match=r"^1 of 1 datasets failed: plain$"):
        data.main(["verify", "plain", "--mirror", "mirror"])
    assert "plain.txt: sha256 of the content: found " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"expected": {"raw": {"users": 2, "items": 4, "interactions": 6}}},
            "raw: found 2 / 4 / 5, expected 2 / 4 / 6",
        ),
        ({"expected": {"2_core": {"users": 1, "items": 4, "interactions": 6}}}, "filter: {'k_core': 2} leaves none"),
        (
            {"references": [reference("timed", equal=2)]},
            "timed: found users 2, equal 1, ties 1, other 0, test_targets 1",
        ),
        ({"format": "user_item_pairs"}, "row 1: found 4 columns, expected 2 (user, item)"),
    ],
)
def test_what_is_not_as_the_registry_says_fails(registry, capsys, change, problem):
    registry(plain=change)
    assert main(["data", "verify", "plain", "--mirror", "mirror"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("FAILED      plain  ")
    assert problem in printed.out
    assert printed.err == "seqrepro data: 1 of 1 datasets failed: plain\n"


@pytest.mark.parametrize(("words", "problem"), [([], "found no action"), (["verify", "--fast"], "--fast")])
def test_bad_arguments(registry, words, problem):
    with pytest.raises(InputError, match=problem):
        data.main(words)


def test_an_unknown_entry(registry):
    with pytest.raises(InputError, match="no entry 'plane'"):
        data.main(["verify", "plane"])


def test_colour_on_a_terminal(registry, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert lines(capsys, "verify", "plain", "--mirror", "mirror")[0].startswith("\x1b[32mOK         \x1b[0m plain")
    monkeypatch.setenv("NO_COLOR", "1")
    assert lines(capsys, "verify", "plain", "--mirror", "mirror")[0].startswith("OK          plain")


def test_the_mirror_of_the_parameters_serves(registry, capsys):
    text = (Path(__file__).parents[2] / "params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("mirror: null", "mirror: mirror"))
    assert [line.split()[0] for line in lines(capsys, "verify")] == ["OK", "OK", "not"]

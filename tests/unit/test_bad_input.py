"""Bad input: one line that names file and row, what was found and what was expected; nothing half-written."""

import bz2
import errno
import gzip
import json
import lzma
import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqrepro.data import prepare
from seqrepro.data.formats import user_file
from seqrepro.data.own import times
from seqrepro.errors import InputError, SeqReproError
from seqrepro.files import atomic, write_json, write_parquet, write_text
from seqrepro.request import Request

COLUMNS = {"user": "who", "item": "what", "timestamp": "when"}
RATED = {"user": "who", "item": "what", "rating": "when"}
HEAD = "who,what,when\na,b,5\n"
NOW = 1_700_000_000


@pytest.fixture(autouse=True)
def today(monkeypatch):
    monkeypatch.setattr(times.time, "time", lambda: float(NOW))


def read(path: Path, content: str | bytes, format: str = "csv", columns=COLUMNS, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return user_file.read({path.name: path}, columns, format, **options)


def refusal(path: Path, content: str | bytes, *arguments, **options) -> str:
    """The message, without the path that it begins with."""
    with pytest.raises(InputError) as caught:
        read(path, content, *arguments, **options)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


TIME = "ISO 8601, or whole seconds or milliseconds since 1970"
ROWS = [
    ("a,b\n", "row 3: found 2 columns, expected 3"),
    ("a,b,6,7\n", "row 3: found 4 columns, expected 3"),
    ("\n\na,b\n", "row 5: found 2 columns, expected 3"),
    ('"x\ny",b,6\na\n', "row 5: found 1 columns, expected 3"),
    ('a,"b,6\na,b,7\n', "row 3: found 2 columns, expected 3"),
    (",b,6\n", "row 3: missing user: found who '', expected an id"),
    ("a, ,6\n", "row 3: missing item: found what ' ', expected an id"),
    ("nan,b,6\n", "row 3: user id written as a float: found who 'nan', expected a whole number or text"),
    ("a,17.0,6\n", "row 3: item id written as a float: found what '17.0', expected a whole number or text"),
    ("a,1e+06,6\n", "row 3: item id written as a float: found what '1e+06', expected a whole number or text"),
    ("a,b,\n", f"row 3: unreadable timestamp: found when '', expected {TIME}"),
    ("a,b,6.5\n", f"row 3: unreadable timestamp: found when '6.5', expected {TIME}"),
    ("a,b,0x10\n", f"row 3: unreadable timestamp: found when '0x10', expected {TIME}"),
    ("a,b,99999999999999999999\n", f"row 3: unreadable timestamp: found when '{'9' * 20}', expected {TIME}"),
    ("a,b,-1\n", "row 3: negative timestamp: found when '-1', expected a time since 1970"),
    (f"a,b,{NOW + 86_401}\n", f"row 3: future timestamp: found when '{NOW + 86_401}', expected a time that has been"),
    (
        "a,b,2020-01-01\n",
        "row 3: found a timestamp in ISO 8601, but in a whole number at row 2; "
        "expected one kind (or the key timestamps)",
    ),
    (
        "a,b,1600000000000\n",
        "row 3: found a timestamp in whole milliseconds, but in whole seconds at row 2; "
        "expected one kind (or the key timestamps)",
    ),
]


@pytest.mark.parametrize(("row", "message"), ROWS)
def test_a_bad_row(tmp_path, row, message):
    assert refusal(tmp_path / "a.csv", HEAD + row + "a,c,7\n") == message


def test_the_first_bad_row_is_named_whatever_is_wrong_with_it(tmp_path):
    assert refusal(tmp_path / "a.csv", HEAD + "a,b,x\n,b,6\n").startswith("row 3: unreadable timestamp")
    assert refusal(tmp_path / "a.csv", HEAD + ",b,6\na,b,x\n").startswith("row 3: missing user")
    assert refusal(tmp_path / "a.csv", HEAD + ",b,x\n").startswith("row 3: missing user")


def test_dates_that_do_not_exist_and_times_before_1970(tmp_path):
    head = "who,what,when\n"
    assert "row 2: unreadable timestamp" in refusal(tmp_path / "a.csv", head + "a,b,2021-02-30\n")
    assert "row 3: unreadable timestamp" in refusal(tmp_path / "a.csv", head + "a,b,2021-02-28\na,b,yesterday\n")
    assert "row 2: negative timestamp" in refusal(tmp_path / "a.csv", head + "a,b,1969-12-31T23:59:59Z\n")
    assert "row 2: future timestamp" in refusal(tmp_path / "a.csv", head + "a,b,2999-01-01\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file, expected rows"),
        (b"who,what,when\n", "found no row, expected some"),
        (b"\n\n", "row 1: no column 'who'; found ''"),
        (b"user,what,when\n1,2,3\n", "row 1: no column 'who'; found 'user', 'what', 'when'"),
        (b"whom,what,when\n1,2,3\n", "row 1: no column 'who'; did you mean 'whom'?"),
        (b"who,what,when,who\n1,2,3,4\n", "row 1: found column 'who' 2 times, expected it once"),
        (b"who;what;when\n", "row 1: found one column 'who;what;when', expected ',' between columns; is it ';'?"),
        (
            b"who\twhat\twhen\n",
            "row 1: found one column 'who\\twhat\\twhen', expected ',' between columns; is it '\\t'?",
        ),
        (b"who,what,when\na,\xe9,5\n", "row 2: found bytes that are not UTF-8, expected UTF-8 text"),
        ("who,what,when\n".encode("utf-16"), "row 1: found bytes that are not UTF-8, expected UTF-8 text"),
    ],
)
def test_a_bad_file(tmp_path, content, message):
    assert refusal(tmp_path / "a.csv", content) == message


@pytest.mark.parametrize(
    ("kind", "packed"),
    [
        ("gzip", gzip.compress),
        ("xz", lzma.compress),
        ("bzip2", bz2.compress),
        ("zstd", lambda content: pa.compress(content, "zstd", asbytes=True)),
    ],
)
def test_a_truncated_file(tmp_path, kind, packed):
    content = packed((HEAD + "a,b,6\n" * 5000).encode())
    for length in (len(content) - 5, len(content) // 2):
        message = refusal(tmp_path / "a.csv", content[:length])
        assert message.startswith(f"damaged or truncated {kind} file (")


def test_a_parquet_file_that_is_none(tmp_path):
    path = tmp_path / "a.parquet"
    assert refusal(path, HEAD, "parquet").startswith("not a whole Parquet file (")
    pq.write_table(pa.table({"who": ["a"], "what": ["b"], "when": [5]}), path)
    whole = path.read_bytes()
    assert refusal(path, whole[:-9], "parquet").startswith("not a whole Parquet file (")
    assert refusal(path, b"", "parquet").startswith("not a whole Parquet file (")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"who": [1.0, 2.0]}, "found user ids of type double, expected whole numbers or text"),
        ({"what": [b"1", b"2"]}, "found item ids of type binary, expected whole numbers or text"),
        ({"who": ["a", None]}, "row 2: missing user: found who None, expected an id"),
        ({"what": [3, None]}, "row 2: missing item: found what None, expected an id"),
        ({"when": [5.0, 6.0]}, f"row 1: found timestamps of type double, expected {TIME}"),
        ({"when": [5, None]}, f"row 2: unreadable timestamp: found when None, expected {TIME}"),
    ],
)
def test_bad_columns_of_a_parquet_file(tmp_path, columns, message):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"who": ["a", "b"], "what": [3, 4], "when": [5, 6]} | columns), path)
    assert refusal(path, path.read_bytes(), "parquet") == message


LINE = '{"who": "a", "what": 7, "when": 5}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LINE + "\n{'who'}\n", "row 3: found no JSON object, expected one a line"),
        (LINE + "[1]\n", "row 2: found no JSON object, expected one a line"),
        (LINE + LINE[:-5], "row 2: found no JSON object, expected one a line"),
        (LINE + LINE.replace('"a"', "8"), "row 2: found who 8, expected text as in the rows before"),
        (LINE + LINE.replace("7", "7.5"), "row 2: found what 7.5, expected an integer as in the rows before"),
        (LINE + LINE.replace("7", "true"), "row 2: found what True, expected an integer as in the rows before"),
        (LINE + '{"what": 7, "when": 5}', "row 2: missing user: found who None, expected an id"),
        (LINE.replace("who", "user"), "row 1: no column 'who'; found 'user', 'what', 'when'"),
        ("a,b,c\n", "found no line with who, what, when, expected a JSON object a line"),
    ],
)
def test_bad_json_lines(tmp_path, content, message):
    assert refusal(tmp_path / "a.jsonl", content, "jsonl") == message


def test_ratings(tmp_path):
    for value in ("x", "", "nan", "inf"):
        found = f"rating that is no number: found when '{value}', expected a number"
        assert refusal(tmp_path / "a.csv", HEAD + f"a,b,{value}\n", "csv", RATED) == f"row 3: {found}"


MIXED = "a,b,6\n,b,6\na,,6\na,b\nnan,b,6\na,b,x\na,b,-1\na,b,99999999999\na,c,7\n,,x\n"


def test_rows_are_dropped_only_when_asked_for_and_counted_by_reason(tmp_path):
    found = read(tmp_path / "a.csv", HEAD + MIXED, bad_rows="drop")
    assert found.items.to_pylist() == ["b", "b", "c"]
    assert found.timestamps.tolist() == [5, 6, 7]
    assert found.dropped == {
        "broken row": 1,
        "missing user": 2,
        "missing item": 1,
        "user id written as a float": 1,
        "unreadable timestamp": 1,
        "negative timestamp": 1,
        "future timestamp": 1,
    }
    found = read(tmp_path / "a.jsonl", LINE + "x\n[2]\n" + LINE.replace("7", "8"), "jsonl", bad_rows="drop")
    assert (found.items.to_pylist(), found.dropped) == ([7, 8], {"broken row": 2})
    found = read(tmp_path / "a.csv", HEAD + "a,c,x\na,d,4\n", "csv", RATED, bad_rows="drop")
    assert (found.ratings.tolist(), found.dropped) == ([5.0, 4.0], {"rating that is no number": 1})
    assert "found no row that is good" in refusal(tmp_path / "a.csv", "who,what,when\na,b,x\n", bad_rows="drop")


def test_units_that_cannot_be_told_apart_are_an_error_even_then(tmp_path):
    assert "expected one kind" in refusal(tmp_path / "a.csv", HEAD + "a,b,2020-01-01\n", bad_rows="drop")


def test_ids_of_dropped_rows_do_not_decide_what_ids_are(tmp_path):
    found = read(tmp_path / "a.csv", "who,what,when\n1,2,3\nx,2,oops\n", bad_rows="drop")
    assert found.users.equals(pa.array([1]))


def asked(raw: Path, **options) -> Request:
    wanted = {"source": "file", "format": "user_file", "order_source": "timestamp", "filter": {}}
    wanted["options"] = {"columns": COLUMNS, "format": "csv", **options}
    return Request("prepare", "seqrepro.data.prepare", str(raw.parent / "out"), [str(raw)], wanted, [], "")


def test_prepare_counts_what_was_dropped_and_writes_nothing_on_an_error(tmp_path):
    raw = tmp_path / "a.csv"
    raw.write_text(HEAD + MIXED)
    with pytest.raises(InputError):
        prepare.run(asked(raw))
    assert not (tmp_path / "out").exists()
    prepare.run(asked(raw, bad_rows="drop"))
    statistics = json.loads((tmp_path / "out/statistics.json").read_text())
    assert sum(statistics["dropped"].values()) == 8 and statistics["n_interactions"] == 3


def write_all(folder: Path) -> dict[str, callable]:
    table = pa.table({"a": [os.urandom(8) for _ in range(20_000)]})
    return {
        "text": lambda: write_text(folder / "deep/text", "x" * 200_000),
        "json": lambda: write_json(folder / "deep/json", {"a": "x" * 200_000}),
        "parquet": lambda: write_parquet(folder / "deep/parquet", table),
        "weights": lambda: _weights(folder / "deep/weights"),
        "checkpoint": lambda: _checkpoint(folder / "deep/checkpoint"),
    }


def _weights(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    with atomic(path) as partial:
        save_file({"a": torch.rand(50_000)}, partial)


def _checkpoint(path: Path) -> None:
    import torch

    with atomic(path) as partial:
        torch.save({"a": torch.rand(50_000)}, partial)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("what", ["text", "json", "parquet", "weights", "checkpoint"])
def test_a_full_disk(small_disk, what):
    with pytest.raises(SeqReproError) as caught:
        write_all(small_disk)[what]()
    assert str(caught.value) == f"{small_disk}/deep/{what}: not written: the disk is full"
    assert caught.value.exit_code == 1
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


def test_a_full_disk_leaves_the_old_file(small_disk):
    write_text(small_disk / "a", "old")
    with pytest.raises(SeqReproError):
        write_text(small_disk / "a", "x" * 200_000)
    assert (small_disk / "a").read_text() == "old"


@pytest.mark.parametrize("call", ["fsync", "replace", "mkstemp", "mkdir"])
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_what_the_system_says_wherever_it_says_it(tmp_path, monkeypatch, call, number, reason):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    places = {"fsync": "os.fsync", "replace": "pathlib.Path.replace", "mkstemp": "tempfile.mkstemp"}
    monkeypatch.setattr(places.get(call, "pathlib.Path.mkdir"), fail)
    with pytest.raises(SeqReproError) as caught:
        write_text(tmp_path / "a", "x")
    assert str(caught.value) == f"{tmp_path / 'a'}: not written: {reason}"
    assert list(tmp_path.iterdir()) == []


def test_other_errors_pass_as_they_are(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "a"):
        raise ZeroDivisionError
    with pytest.raises(InputError, match=r"^mine$"), atomic(tmp_path / "a"):
        raise InputError("mine")
    assert list(tmp_path.iterdir()) == []


def test_more_interactions_than_a_list_column_can_count(tmp_path, monkeypatch):
    raw = tmp_path / "a.csv"
    raw.write_text(HEAD + "a,c,6\n")
    monkeypatch.setattr(prepare, "MOST_INTERACTIONS", 1)
    with pytest.raises(InputError, match=r"^found 2 interactions, expected at most 1$"):
        prepare.run(asked(raw))
    assert not (tmp_path / "out").exists()

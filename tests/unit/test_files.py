"""Writing is atomic, repeatable, and leaves ordinary permissions."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from seqrepro.errors import InputError
from seqrepro.files import (
    atomic,
    canonical_json,
    read_json,
    sha256_file,
    sha256_text,
    write_json,
    write_parquet,
    write_text,
)


def test_a_writer_that_raises_leaves_nothing(tmp_path):
    path = tmp_path / "deep/er/file.txt"
    with pytest.raises(RuntimeError), atomic(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert list(path.parent.iterdir()) == []


def test_a_writer_that_raises_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_is_killed_leaves_nothing_under_the_final_name(tmp_path):
    path = tmp_path / "file.txt"
    program = f"""
import os, signal
from pathlib import Path
from seqrepro.files import atomic
with atomic(Path({str(path)!r})) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    (left,) = tmp_path.iterdir()
    assert (left.name[0], left.suffix, left.read_text()) == (".", ".partial", "half")


def test_the_partial_file_stands_in_the_same_folder(tmp_path):
    path = tmp_path / "file.txt"
    with atomic(path) as partial:
        assert partial.parent == path.parent
        assert not path.exists()
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert not partial.exists()


def test_a_writer_that_writes_to_another_name_is_an_error(tmp_path):
    path = tmp_path / "file.txt"
    with pytest.raises(FileNotFoundError), atomic(path) as partial:
        partial.unlink()
    assert not path.exists()


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "file.txt", "x")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == mode


def test_text_has_unix_line_ends_and_is_utf8(tmp_path):
    write_text(tmp_path / "file.txt", "é\nb\n")
    assert (tmp_path / "file.txt").read_bytes() == b"\xc3\xa9\nb\n"


def test_the_same_table_gives_the_same_bytes(tmp_path):
    columns = {"user": pa.array([1, 2, 3], pa.int64()), "items": pa.array([[1], [2, 3], []], pa.list_(pa.int32()))}
    table = pa.table(columns)
    write_parquet(tmp_path / "a.parquet", table)
    write_parquet(tmp_path / "b.parquet", pa.table(columns).replace_schema_metadata({"made": "yesterday"}))
    write_parquet(tmp_path / "c.parquet", pa.concat_tables([table.slice(0, 1), table.slice(1)]).combine_chunks())
    assert len({sha256_file(path) for path in tmp_path.iterdir()}) == 1


def test_json_is_sorted_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": 1}


def test_json_refuses_nan_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "expected a JSON object, found list"),
    ],
)
def test_a_file_that_is_no_json_object(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_canonical_json_and_its_hash():
    assert canonical_json({"b": [1, 2.0], "a": None}) == '{"a":null,"b":[1,2.0]}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("inf"))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_text("") == empty


def test_the_hash_of_a_file_is_that_of_its_text(tmp_path):
    path = Path(tmp_path / "a")
    path.write_bytes("é".encode())
    assert sha256_file(path) == sha256_text("é")


def test_whoever_reads_the_old_file_goes_on_reading_it(tmp_path):
    """The new file takes over the name in one step; the old one's bytes are never touched."""
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"

"""Disks that are full or closed, processes that are killed or meet: one line, and never half a file under its name."""

import fcntl
import gzip
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_web import serve
from seqrepro.data import retrieve as step
from seqrepro.data.sources import fetch, web
from seqrepro.errors import SeqReproError
from seqrepro.request import Request

CONTENT = hashlib.shake_256(b"toy").digest(300_000)
TARGET = Path("data/raw/toy")
NOBODY = 65534


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SEQREPRO_MIRROR", raising=False)
    monkeypatch.setattr(web, "PAUSES_S", ())
    monkeypatch.chdir(tmp_path)
    with serve() as server:
        yield server


def request(root: str, path: str = "toy.txt", compression: str = "none") -> Request:
    source = {"kind": "url", "url": f"{root}/{path}", "compression": compression, "provenance": "primary"}
    file = {"name": "toy.txt", "sha256": hashlib.sha256(CONTENT).hexdigest(), "sources": [source]}
    return Request("retrieve", "seqrepro.data.retrieve", str(TARGET), [], {"files": [file]}, [], "")


def fails(wanted: Request) -> str:
    with pytest.raises(SeqReproError) as caught:
        step.run(wanted)
    assert "\n" not in str(caught.value)
    assert not (TARGET / "toy.txt").exists() and not (TARGET / "SHA256SUMS").exists()
    return str(caught.value)


def left() -> list[str]:
    return sorted(path.name for path in TARGET.iterdir())


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of a few bytes at `folder`, which is made the working directory."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a small file system here")
    before = Path.cwd()
    try:
        os.chdir(folder)
        yield
    finally:
        os.chdir(before)
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """A folder that may be read and not written, for somebody who is not root."""
    for parent in (folder, *folder.parents[:1]):
        parent.chmod(0o755)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_full_disk_during_a_download(server, tmp_path):
    server.put("/toy.txt", CONTENT)
    with small_disk(tmp_path / "disk", "128k"):
        message = fails(request(server.root))
        assert message.startswith(f"{TARGET}/.toy.txt-")
        assert message.endswith(".part: not written: the disk is full")
        subprocess.run(["mount", "-o", "remount,size=4m", str(tmp_path / "disk")], check=True)
        step.run(request(server.root))
        assert server.asked[-1][1] is not None  # what fitted was kept
        assert left() == ["SHA256SUMS", "toy.txt"]


def test_a_full_disk_during_decompression(server, tmp_path):
    server.put("/toy.gz", gzip.compress(CONTENT))
    with small_disk(tmp_path / "disk", "420k"):
        assert fails(request(server.root, "toy.gz", "gzip")) == (f"{TARGET}/toy.txt: not written: the disk is full")
        assert [name.rpartition("-")[0] for name in left()] == [".toy.gz", ".toy.gz"]  # the download, and its record
        subprocess.run(["mount", "-o", "remount,size=4m", str(tmp_path / "disk")], check=True)
        step.run(request(server.root, "toy.gz", "gzip"))
        assert len(server.asked) == 1


def test_a_limit_of_the_size_of_files(server):
    server.put("/toy.txt", CONTENT)
    with small_files(100_000):
        message = fails(request(server.root))
    assert message.endswith(".part: not written: the file is larger than is allowed")
    step.run(request(server.root))
    assert server.asked[-1][1] == "bytes=100000-"
    assert (TARGET / "toy.txt").read_bytes() == CONTENT


def test_a_limit_met_in_decompression(server):
    server.put("/toy.gz", gzip.compress(bytes(300_000)))
    with small_files(100_000):
        message = fails(request(server.root, "toy.gz", "gzip"))
    assert message == f"{TARGET}/toy.txt: not written: the file is larger than is allowed"
    assert not [name for name in left() if name.endswith(".partial")]


def test_a_disk_that_fills_up_under_the_list_of_checksums(server, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    server.put("/toy.txt", CONTENT)
    monkeypatch.setattr(step, "write_text", full)
    with pytest.raises(SeqReproError, match=rf"^{TARGET}/SHA256SUMS: not written: the disk is full$"):
        step.run(request(server.root))


def test_a_folder_that_may_not_be_written(server, tmp_path):
    server.put("/toy.txt", CONTENT)
    with closed(tmp_path):
        assert fails(request(server.root)) == f"{TARGET}: not written: permission denied"
    TARGET.mkdir(parents=True)
    with closed(TARGET):
        assert fails(request(server.root)).endswith(": not written: permission denied")
    assert left() == []


def test_a_mirror_that_may_not_be_read(server, tmp_path, monkeypatch, caplog):
    def refuse(path, form):
        if path.is_relative_to("mirror"):
            raise PermissionError(13, "Permission denied")

    server.put("/toy.txt", CONTENT)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/toy.txt").write_bytes(CONTENT)
    monkeypatch.setenv("SEQREPRO_MIRROR", "mirror")
    monkeypatch.setattr(fetch, "check_form", refuse)
    wanted = request(server.root)
    sources = wanted.parameters["files"][0]["sources"]
    sources.append({"kind": "mirror", "path": "toy.txt", "compression": "none", "provenance": "archived"})
    assert step.run(wanted)[0].read_bytes() == CONTENT
    assert "mirror mirror (toy.txt): cannot be read (Permission denied)" in caplog.text


def test_a_file_where_a_folder_belongs_and_a_folder_where_a_file_belongs(server):
    server.put("/toy.txt", CONTENT)
    Path("data").write_text("")
    with pytest.raises(SeqReproError, match=rf"^{TARGET}: not written: a part of its path is a file$"):
        step.run(request(server.root))
    Path("data").unlink()
    (TARGET / "toy.txt").mkdir(parents=True)
    with pytest.raises(SeqReproError, match=rf"^{TARGET}/toy.txt: not written: Is a directory$"):
        step.run(request(server.root))


def test_two_processes_do_not_write_into_one_folder(server):
    server.put("/toy.txt", CONTENT)
    TARGET.mkdir(parents=True)
    handle = os.open(TARGET, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert fails(request(server.root)) == f"{TARGET}: another process is retrieving into this folder, expected none"
    os.close(handle)
    step.run(request(server.root))


KILLED = """
import json, sys
from seqrepro.data.retrieve import run
from seqrepro.request import Request
run(Request("retrieve", "seqrepro.data.retrieve", "data/raw/toy", [], json.loads(sys.argv[1]), [], ""))
"""


def test_a_step_that_is_killed_goes_on_where_it_was(server):
    page = server.put("/toy.txt", CONTENT, drip=(10_000, 0.02))
    environment = os.environ | {"PYTHONPATH": str(Path(web.__file__).parents[3])}
    parameters = json.dumps(request(server.root).parameters)
    process = subprocess.Popen([sys.executable, "-c", KILLED, parameters], env=environment)
    while sum(path.stat().st_size for path in TARGET.glob(".*.part")) < 50_000 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert all(name.startswith(".") for name in left())
    (TARGET / ".toy.txt.abc.partial").write_bytes(b"what a killed process half wrote")
    came = next(TARGET.glob(".*.part")).stat().st_size
    page.drip = None
    step.run(request(server.root))
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={came}-"]
    assert left() == ["SHA256SUMS", "toy.txt"]
    assert (TARGET / "toy.txt").read_bytes() == CONTENT

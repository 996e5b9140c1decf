"""Retrieving: every way in which a source can fail is one line, and leaves nothing under the final name."""

import hashlib
import io
import lzma
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from seqrepro.data import sources
from seqrepro.data.retrieve import run
from seqrepro.errors import InputError
from seqrepro.request import Request

CONTENT = b"1 1 2 3\n2 3 1\n" * 100
HTML = b"<!DOCTYPE html><html><body>Please accept our terms</body></html>"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(content: bytes = CONTENT) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("toy/toy.txt"), content)
    return buffer.getvalue()


class Web:
    """What the local server answers: path -> body; `cut` bytes are announced but not sent; and what it was asked."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.resumes: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []
        self.root = ""


@pytest.fixture
def web(monkeypatch, tmp_path):
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            web.asked.append((self.path, wanted))
            if self.path == "/moved.zip":
                self.send_response(302)
                self.send_header("Location", "/toy.zip")
                self.end_headers()
                return
            if self.path not in web.bodies:
                self.send_error(404)
                return
            body = web.bodies[self.path]
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.path in web.resumes else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            cut = 0 if start else web.cut.get(self.path, 0)
            self.wfile.write(body[start : len(body) - cut])
            self.close_connection = True

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    web.root = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SEQREPRO_MIRROR", raising=False)
    monkeypatch.setattr(sources, "PAUSES_S", (0.0, 0.0))
    monkeypatch.chdir(tmp_path)
    yield web
    server.shutdown()
    server.server_close()
    thread.join()


def file(*origins: dict, content: bytes = CONTENT, known: bool = True) -> dict:
    return {"name": "toy.txt", "sha256": sha256(content) if known else None, "sources": list(origins)}


def url(web: Web, path: str) -> dict:
    return {"kind": "url", "url": f"{web.root}/{path}", "provenance": "primary"}


def archive(web: Web, path: str = "toy.zip", **fields: str) -> dict:
    return {"kind": "archive", "url": f"{web.root}/{path}", "member": "toy/toy.txt", "provenance": "primary"} | fields


MIRRORED = {"kind": "mirror", "path": "toy/toy.txt.xz", "compression": "xz", "provenance": "third-party"}


def retrieve(*files: dict, mirror: str | None = None) -> list[Path]:
    request = Request("retrieve", "seqrepro.data.retrieve", "data/raw/toy", [], {"files": list(files)}, [], "")
    with pytest.MonkeyPatch.context() as patch:
        if mirror is not None:
            patch.setenv("SEQREPRO_MIRROR", mirror)
        return run(request)


def fails(*files: dict, mirror: str | None = None) -> str:
    """The message of a retrieval that must fail with one line and leave no file."""
    with pytest.raises(InputError) as caught:
        retrieve(*files, mirror=mirror)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("data/raw/toy/toy.txt: ")
    assert [path for path in Path("data").rglob("*") if path.is_file()] == []
    return message


def make_mirror(folder: Path, content: bytes = CONTENT) -> Path:
    (folder / "toy").mkdir(parents=True)
    (folder / "toy/toy.txt.xz").write_bytes(lzma.compress(content))
    return folder


def test_a_member_of_an_archive(web):
    web.bodies["/toy.zip"] = zipped()
    md5 = hashlib.md5(zipped()).hexdigest()
    written = retrieve(file(archive(web, md5=md5, sha256=sha256(zipped()))))
    assert written == [Path("data/raw/toy/toy.txt"), Path("data/raw/toy/SHA256SUMS")]
    assert written[0].read_bytes() == CONTENT
    assert written[1].read_text() == f"{sha256(CONTENT)}  toy.txt\n"


def test_a_plain_file_and_a_redirect(web):
    web.bodies |= {"/toy.txt": CONTENT, "/toy.zip": zipped()}
    retrieve(file(url(web, "toy.txt")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT
    Path("data/raw/toy/toy.txt").unlink()
    retrieve(file(archive(web, "moved.zip")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_a_correct_file_is_not_downloaded_again(web):
    web.bodies["/toy.txt"] = CONTENT
    retrieve(file(url(web, "toy.txt")))
    retrieve(file(url(web, "toy.txt")))
    assert len(web.asked) == 1
    Path("data/raw/toy/toy.txt").write_bytes(b"damaged")
    retrieve(file(url(web, "toy.txt")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_an_archive_is_downloaded_once_for_all_its_members(web):
    web.bodies["/toy.zip"] = zipped()
    retrieve(file(archive(web)), file(archive(web)) | {"name": "again.txt"})
    assert [path for path, _ in web.asked] == ["/toy.zip"]


def test_a_html_page_instead_of_the_archive_and_of_the_file(web):
    web.bodies |= {"/toy.zip": HTML, "/toy.txt": HTML}
    assert "an HTML page instead of a zip file" in fails(file(archive(web)))
    assert "an HTML page instead of the file" in fails(file(url(web, "toy.txt"), known=False))


def test_bytes_that_are_no_archive(web):
    web.bodies["/toy.zip"] = b"garbage"
    assert "not a zip file: starts with b'garb'" in fails(file(archive(web)))


def test_a_damaged_archive_and_a_missing_member(web):
    body = bytearray(zipped())
    body[60] ^= 0xFF
    web.bodies["/toy.zip"] = bytes(body)
    assert "damaged zip file" in fails(file(archive(web)))
    web.bodies["/toy.zip"] = zipped()
    assert "no member toy/none.txt" in fails(file(archive(web, member="toy/none.txt")))


def test_a_truncated_download(web):
    web.bodies["/toy.txt"] = CONTENT
    web.cut["/toy.txt"] = 100
    assert f"truncated: {len(CONTENT) - 100} bytes came, expected {len(CONTENT)}" in fails(file(url(web, "toy.txt")))
    assert len(web.asked) == 3


def test_a_broken_download_is_resumed_where_it_stopped(web):
    web.bodies["/toy.txt"] = CONTENT
    web.cut["/toy.txt"] = 100
    web.resumes.add("/toy.txt")
    retrieve(file(url(web, "toy.txt")))
    assert web.asked == [("/toy.txt", None), ("/toy.txt", f"bytes={len(CONTENT) - 100}-")]
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_a_wrong_checksum_of_the_content(web):
    web.bodies["/toy.txt"] = CONTENT
    message = fails(file(url(web, "toy.txt"), content=b"other"))
    assert f"sha256 of the content: found {sha256(CONTENT)}, expected {sha256(b'other')}" in message


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_wrong_checksum_of_the_archive(web, algorithm):
    web.bodies["/toy.zip"] = zipped()
    expected = "0" * (32 if algorithm == "md5" else 64)
    assert f"{algorithm} of the zip file: found" in fails(file(archive(web, **{algorithm: expected})))


def test_404_is_not_tried_again(web):
    assert "HTTP 404 Not Found" in fails(file(url(web, "none.txt")))
    assert len(web.asked) == 1


def test_a_server_that_is_not_there(web):
    web.root = "http://127.0.0.1:9"
    assert "http://127.0.0.1:9/toy.txt: cannot be reached" in fails(file(url(web, "toy.txt")))


def test_the_sources_are_tried_in_order_and_all_are_named(web):
    web.bodies["/toy.zip"] = HTML
    message = fails(file(url(web, "none.txt"), archive(web)))
    assert message.index("none.txt: HTTP 404") < message.index("toy.zip (toy/toy.txt): an HTML page")
    web.bodies["/toy.txt"] = CONTENT
    retrieve(file(url(web, "none.txt"), archive(web), url(web, "toy.txt")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_a_mirror_that_is_set_is_tried_first(web, tmp_path):
    web.bodies["/toy.txt"] = CONTENT
    retrieve(file(url(web, "toy.txt"), MIRRORED), mirror=str(make_mirror(tmp_path / "mirror")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT
    assert web.asked == []


def test_a_mirror_is_a_url_too(web):
    web.bodies["/copies/toy/toy.txt.xz"] = lzma.compress(CONTENT)
    retrieve(file(MIRRORED), mirror=f"{web.root}/copies/")
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_a_bad_mirror_falls_through_to_the_other_sources(web, tmp_path, caplog):
    web.bodies["/toy.txt"] = CONTENT
    retrieve(file(url(web, "toy.txt"), MIRRORED), mirror=str(make_mirror(tmp_path / "mirror", b"something else")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT
    assert "sha256 of the content: found" in caplog.text


def test_a_mirror_that_is_missing_or_lacks_the_file_or_is_damaged(web, tmp_path):
    assert "no such folder" in fails(file(MIRRORED), mirror=str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert "no such file in the mirror" in fails(file(MIRRORED), mirror=str(tmp_path / "empty"))
    stored = make_mirror(tmp_path / "mirror") / "toy/toy.txt.xz"
    stored.write_bytes(stored.read_bytes()[:-20])
    assert "not a whole xz file" in fails(file(MIRRORED), mirror=str(tmp_path / "mirror"))
    assert "HTTP 404" in fails(file(MIRRORED), mirror=f"{web.root}/none")


def test_without_a_mirror_the_error_says_how_to_give_one(web):
    advice = "set SEQREPRO_MIRROR or `mirror:` in params.yaml to a folder or URL holding toy/toy.txt.xz"
    assert fails(file(MIRRORED)).endswith(f"only a mirror holds this file; {advice}")
    assert fails(file(url(web, "none.txt"), MIRRORED)).endswith(f"HTTP 404 Not Found; {advice}")


def test_an_unknown_checksum_is_said_to_be_unverified(web, caplog):
    web.bodies["/toy.txt"] = CONTENT
    retrieve(file(url(web, "toy.txt"), known=False))
    assert f"sha256 {sha256(CONTENT)} is unverified" in caplog.text


def test_a_request_that_breaks_the_schema(web):
    with pytest.raises(InputError, match=r"data/raw/toy: files\.0\.sources"):
        retrieve(file())

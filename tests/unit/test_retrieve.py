"""Retrieving: every way in which a source can fail is one line, and leaves nothing under the final name."""

import hashlib
import io
import lzma
import zipfile
from pathlib import Path

import pytest

from local_web import Web, serve
from seqrepro.data.retrieve import run
from seqrepro.data.sources import web as downloading
from seqrepro.data.sources.checksums import git_blob_sha1
from seqrepro.errors import InputError
from seqrepro.request import Request

CONTENT = b"1 1 2 3\n2 3 1\n" * 100
HTML = b"<!DOCTYPE html><html><body>Please accept our terms</body></html>"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def zipped(content: bytes = CONTENT) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("toy/toy.txt"), content)
    return buffer.getvalue()


@pytest.fixture
def web(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SEQREPRO_MIRROR", raising=False)
    monkeypatch.setattr(downloading, "PAUSES_S", (0.0, 0.0))
    monkeypatch.chdir(tmp_path)
    with serve() as web:
        yield web


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
    """The message of a retrieval that must fail with one line and leave no file under a final name."""
    with pytest.raises(InputError) as caught:
        retrieve(*files, mirror=mirror)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("data/raw/toy/toy.txt: ")
    assert [path for path in Path("data").rglob("*") if path.is_file() and not path.name.startswith(".")] == []
    return message


def make_mirror(folder: Path, content: bytes = CONTENT) -> Path:
    (folder / "toy").mkdir(parents=True)
    (folder / "toy/toy.txt.xz").write_bytes(lzma.compress(content))
    return folder


def test_a_member_of_an_archive(web):
    web.put("/toy.zip", zipped())
    md5 = hashlib.md5(zipped()).hexdigest()
    written = retrieve(file(archive(web, md5=md5, sha256=sha256(zipped()))))
    assert written == [Path("data/raw/toy/toy.txt"), Path("data/raw/toy/SHA256SUMS")]
    assert written[0].read_bytes() == CONTENT
    assert written[1].read_text() == f"{sha256(CONTENT)}  toy.txt\n"


def test_a_plain_file_and_a_redirect(web):
    web.put("/toy.txt", CONTENT)
    web.put("/toy.zip", zipped())
    web.redirect("/moved.zip", "/toy.zip")
    retrieve(file(url(web, "toy.txt")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT
    Path("data/raw/toy/toy.txt").unlink()
    retrieve(file(archive(web, "moved.zip")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_a_correct_file_is_not_downloaded_again(web):
    web.put("/toy.txt", CONTENT)
    retrieve(file(url(web, "toy.txt")))
    retrieve(file(url(web, "toy.txt")))
    assert len(web.asked) == 1
    Path("data/raw/toy/toy.txt").write_bytes(b"damaged")
    retrieve(file(url(web, "toy.txt")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_an_archive_is_downloaded_once_for_all_its_members(web):
    web.put("/toy.zip", zipped())
    retrieve(file(archive(web)), file(archive(web)) | {"name": "again.txt"})
    assert [path for path, _ in web.asked] == ["/toy.zip"]


def test_a_html_page_instead_of_the_archive_and_of_the_file(web):
    web.put("/toy.zip", HTML)
    web.put("/toy.txt", HTML)
    assert "an HTML page instead of a zip file" in fails(file(archive(web)))
    assert "an HTML page instead of the file" in fails(file(url(web, "toy.txt"), known=False))


def test_bytes_that_are_no_archive(web):
    web.put("/toy.zip", b"garbage")
    assert "not a zip file: starts with b'garb'" in fails(file(archive(web)))


def test_a_damaged_archive_and_a_missing_member(web):
    body = bytearray(zipped())
    body[60] ^= 0xFF
    web.put("/toy.zip", bytes(body))
    assert "damaged zip file" in fails(file(archive(web)))
    web.put("/toy.zip", zipped())
    assert "no member toy/none.txt" in fails(file(archive(web, member="toy/none.txt")))


def test_a_truncated_download(web):
    web.put("/toy.txt", CONTENT, etag=None, cuts=[100] * 3)
    assert f"truncated: 100 bytes came, expected {len(CONTENT)}" in fails(file(url(web, "toy.txt")))
    assert web.asked == [("/toy.txt", None)] * 3


def test_a_broken_download_is_resumed_where_it_stopped(web):
    web.put("/toy.txt", CONTENT, cuts=[100])
    retrieve(file(url(web, "toy.txt")))
    assert web.asked == [("/toy.txt", None), ("/toy.txt", "bytes=100-")]
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_a_job_that_gave_up_is_resumed_by_the_next(web):
    web.put("/toy.txt", CONTENT, cuts=[100, 0, 0])
    assert "(the next start goes on from the 100 bytes that are there)" in fails(file(url(web, "toy.txt")))
    retrieve(file(url(web, "toy.txt")))
    assert web.asked[-1] == ("/toy.txt", "bytes=100-")
    assert sorted(path.name for path in Path("data/raw/toy").iterdir()) == ["SHA256SUMS", "toy.txt"]


def test_what_is_there_in_whole_is_not_downloaded_again_when_another_file_fails(web):
    web.put("/toy.zip", zipped())
    files = [file(archive(web), known=False), file(url(web, "late.txt")) | {"name": "late.txt"}]
    with pytest.raises(InputError, match=r"late\.txt: HTTP 404"):
        retrieve(*files)
    web.put("/late.txt", CONTENT)
    retrieve(*files)
    assert [path for path, _ in web.asked] == ["/toy.zip", "/late.txt", "/late.txt"]


def test_wrong_bytes_of_an_earlier_start_are_downloaded_once_more(web):
    web.put("/toy.txt", CONTENT, cuts=[100, 0, 0])
    fails(file(url(web, "toy.txt")))
    part = next(Path("data/raw/toy").glob(".*.part"))
    part.write_bytes(b"\0" * 100)  # as a power cut leaves them
    retrieve(file(url(web, "toy.txt")))
    assert [wanted for _, wanted in web.asked[-2:]] == ["bytes=100-", None]
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_wrong_content_is_not_kept(web):
    web.put("/toy.txt", CONTENT)
    fails(file(url(web, "toy.txt"), content=b"other"))
    assert list(Path("data/raw/toy").iterdir()) == []
    assert len(web.asked) == 1


def test_a_wrong_checksum_of_the_content(web):
    web.put("/toy.txt", CONTENT)
    message = fails(file(url(web, "toy.txt"), content=b"other"))
    assert f"sha256 of the content: found {sha256(CONTENT)}, expected {sha256(b'other')}" in message


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_wrong_checksum_of_the_archive(web, algorithm):
    web.put("/toy.zip", zipped())
    expected = "0" * (32 if algorithm == "md5" else 64)
    assert f"{algorithm} of the zip file: found" in fails(file(archive(web, **{algorithm: expected})))


def test_404_is_not_tried_again(web):
    assert "HTTP 404 Not Found" in fails(file(url(web, "none.txt")))
    assert len(web.asked) == 1


def test_a_server_that_is_not_there(web):
    web.root = "http://127.0.0.1:9"
    assert "http://127.0.0.1:9/toy.txt: cannot be reached" in fails(file(url(web, "toy.txt")))


def test_the_sources_are_tried_in_order_and_all_are_named(web):
    web.put("/toy.zip", HTML)
    message = fails(file(url(web, "none.txt"), archive(web)))
    assert message.index("none.txt: HTTP 404") < message.index("toy.zip (toy/toy.txt): an HTML page")
    web.put("/toy.txt", CONTENT)
    retrieve(file(url(web, "none.txt"), archive(web), url(web, "toy.txt")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_a_mirror_that_is_set_is_tried_first(web, tmp_path):
    web.put("/toy.txt", CONTENT)
    retrieve(file(url(web, "toy.txt"), MIRRORED), mirror=str(make_mirror(tmp_path / "mirror")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT
    assert web.asked == []


def test_a_mirror_is_a_url_too(web):
    web.put("/copies/toy/toy.txt.xz", lzma.compress(CONTENT))
    retrieve(file(MIRRORED), mirror=f"{web.root}/copies/")
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


def test_a_bad_mirror_falls_through_to_the_other_sources(web, tmp_path, caplog):
    web.put("/toy.txt", CONTENT)
    retrieve(file(url(web, "toy.txt"), MIRRORED), mirror=str(make_mirror(tmp_path / "mirror", b"something else")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT
    assert "sha256 of the content: found" in caplog.text


def test_a_mirror_that_is_missing_or_lacks_the_file_or_is_damaged(web, tmp_path):
    assert "no such folder" in fails(file(MIRRORED), mirror=str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert "no such file in the mirror" in fails(file(MIRRORED), mirror=str(tmp_path / "empty"))
    stored = make_mirror(tmp_path / "mirror") / "toy/toy.txt.xz"
    stored.write_bytes(stored.read_bytes()[:-20])
    assert "damaged xz file" in fails(file(MIRRORED), mirror=str(tmp_path / "mirror"))
    assert "HTTP 404" in fails(file(MIRRORED), mirror=f"{web.root}/none")


def test_without_a_mirror_the_error_says_how_to_give_one(web):
    advice = "set SEQREPRO_MIRROR or `mirror:` in params.yaml to a folder or URL holding toy/toy.txt.xz"
    assert fails(file(MIRRORED)).endswith(f"only a mirror holds this file; {advice}")
    assert fails(file(url(web, "none.txt"), MIRRORED)).endswith(f"HTTP 404 Not Found; {advice}")


def test_an_unknown_checksum_is_said_to_be_unverified(web, caplog):
    web.put("/toy.txt", CONTENT)
    retrieve(file(url(web, "toy.txt"), known=False))
    assert f"sha256 {sha256(CONTENT)} is unverified" in caplog.text


def test_a_request_that_breaks_the_schema(web):
    with pytest.raises(InputError, match=r"data/raw/toy: files\.0\.sources"):
        retrieve(file())


def test_a_git_blob_sha1_verifies_where_no_sha256_is_known(web, caplog):
    web.put("/toy.txt", CONTENT)
    known = file(url(web, "toy.txt"), known=False) | {"git_blob_sha1": blob_sha1(CONTENT)}
    retrieve(known)
    retrieve(known)
    assert len(web.asked) == 1
    assert "unverified" not in caplog.text
    for left in Path("data/raw/toy").iterdir():
        left.unlink()
    expected = f"found {blob_sha1(CONTENT)}, expected {blob_sha1(b'other')}"
    assert f"git blob sha1 of the content: {expected}" in fails(known | {"git_blob_sha1": blob_sha1(b"other")})


def test_the_git_blob_sha1_is_git_s_own(tmp_path):
    (tmp_path / "hello").write_bytes(b"hello world\n")
    assert git_blob_sha1(tmp_path / "hello") == "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"  # git hash-object


def test_the_size_of_the_content(web):
    web.put("/toy.txt", CONTENT)
    wrong = file(url(web, "toy.txt"), known=False) | {"size": len(CONTENT) + 1}
    assert f"size of the content: found {len(CONTENT)} bytes, expected {len(CONTENT) + 1}" in fails(wrong)
    wrong |= {"size": len(CONTENT) - 1}
    assert f"more than the {len(CONTENT) - 1:,} bytes" in fails(wrong)
    retrieve(wrong | {"size": len(CONTENT)})


@pytest.mark.parametrize("field", ["md5", "sha256", "size"])
def test_checks_of_what_a_mirror_stores(web, tmp_path, field):
    stored = (make_mirror(tmp_path / "mirror") / "toy/toy.txt.xz").read_bytes()
    right = {"md5": hashlib.md5(stored).hexdigest(), "sha256": sha256(stored), "size": len(stored)}
    wrong = {"md5": "0" * 32, "sha256": "0" * 64, "size": 1}
    message = fails(file(MIRRORED | {field: wrong[field]}), mirror=str(tmp_path / "mirror"))
    assert f"{field} of the stored file: found {right[field]}" in message
    assert f"expected {wrong[field]}" in message
    retrieve(file(MIRRORED | {field: right[field]}), mirror=str(tmp_path / "mirror"))


def test_a_mirror_under_a_strange_name(web, tmp_path):
    retrieve(file(MIRRORED), mirror=str(make_mirror(tmp_path / "my mirror · données")))
    Path("data/raw/toy/toy.txt").unlink()
    web.put("/my%20mirror%20%C3%A9/toy/toy.txt.xz", lzma.compress(CONTENT))
    retrieve(file(MIRRORED), mirror=f"{web.root}/my mirror é/")
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT


@pytest.mark.parametrize("mirror", ["http://", "http://[bad/", "http://127.0.0.1:port/", "https://" + "x" * 70 + ".é/"])
def test_a_mirror_that_is_no_usable_url(web, mirror):
    assert f"mirror {mirror} (toy/toy.txt.xz): " in fails(file(MIRRORED), mirror=mirror)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (url, "url", "https://example.org/my file.txt"),
        (url, "url", "https://example.org/données.txt"),
        (url, "url", "ftp://example.org/toy.txt"),
        (url, "url", "file:///etc/passwd"),
        (url, "compression", "zip"),
        (url, "size", 0),
        (archive, "archive", "rar"),
        (archive, "member", "../toy.txt"),
        (archive, "member", "toy/../../toy.txt"),
        (archive, "member", "/etc/passwd"),
        (archive, "member", "toy/"),
        (archive, "member", "toy\\toy.txt"),
        (archive, "member", "toy\ntoy.txt"),
    ],
)
def test_sources_that_break_the_schema(web, kind, field, value):
    with pytest.raises(InputError) as caught:
        retrieve(file(kind(web, "toy") | {field: value}))
    assert str(caught.value).startswith("data/raw/toy: files.0.sources.0.")
    assert f".{field}: " in str(caught.value) and f"found {value!r}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../toy.txt", "toy/toy.txt", "my toy.txt", "données.txt", ".toy", ""])
def test_file_names_that_break_the_schema(web, name):
    with pytest.raises(InputError, match=r"^data/raw/toy: files\.0\.name: [^\n]*$"):
        retrieve(file(url(web, "toy.txt")) | {"name": name})


def test_members_with_spaces_and_other_letters(web):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("données 2014/été.csv", CONTENT)
    web.put("/toy.zip", buffer.getvalue())
    retrieve(file(archive(web, member="données 2014/été.csv")))
    assert Path("data/raw/toy/toy.txt").read_bytes() == CONTENT

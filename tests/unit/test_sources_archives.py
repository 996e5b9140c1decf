"""Reading stored files: each form gives its content; bombs, links, foreign names and damage are refused in one line."""

import bz2
import gzip
import hashlib
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_web import serve
from seqrepro.data.retrieve import run
from seqrepro.data.sources import archives
from seqrepro.data.sources.archives import check_form, content
from seqrepro.data.sources.failures import WrongContent
from seqrepro.errors import InputError
from seqrepro.request import Request

CONTENT = hashlib.shake_256(b"toy").digest(50_000) + b"the end\n" * 1000
MEMBER = "toy/ratings.csv"
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


def zipped(content: bytes = CONTENT, name: str = MEMBER, mode: int = 0) -> bytes:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = mode << 16
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("toy/README", "first")
        archive.writestr(info, content)
    return buffer.getvalue()


def tarred(content: bytes = CONTENT, name: str = MEMBER, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    first, info = tarfile.TarInfo("toy/README"), tarfile.TarInfo(name)
    first.size, info.type, info.linkname = 5, kind, link
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        archive.addfile(first, io.BytesIO(b"first"))
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


FORMS = {
    "zip": ("zip", MEMBER, zipped()),
    "tar": ("tar", MEMBER, tarred()),
    "tar.gz": ("tar", MEMBER, gzip.compress(tarred())),
    "tar.xz": ("tar", MEMBER, lzma.compress(tarred())),
    "tar.bz2": ("tar", MEMBER, bz2.compress(tarred())),
    "gzip": ("gzip", None, gzip.compress(CONTENT)),
    "xz": ("xz", None, lzma.compress(CONTENT)),
    "none": ("none", None, CONTENT),
}


@pytest.fixture
def stored(tmp_path):
    return tmp_path / "stored"


def read(stored: Path, body: bytes, form: str, member: str | None = None, size: int | None = None) -> bytes:
    stored.write_bytes(body)
    check_form(stored, form)
    return b"".join(content(stored, form, member, size))


def refused(stored: Path, body: bytes, form: str, member: str | None = None, size: int | None = None) -> str:
    with pytest.raises(WrongContent) as caught:
        read(stored, body, form, member, size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", FORMS)
def test_each_form_gives_the_content(stored, name):
    form, member, body = FORMS[name]
    assert read(stored, body, form, member) == CONTENT
    assert read(stored, body, form, member, len(CONTENT)) == CONTENT


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"none"}))
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
def test_a_truncated_file_of_each_form(stored, name, kept):
    form, member, body = FORMS[name]
    length = len(body) if name != "tar" else body.rindex(b"the end")  # padding follows in a plain tar file
    message = refused(stored, body[: int(length * kept)], form, member)
    assert message.startswith(f"damaged {form} file (") or message == f"the tar file has no member {MEMBER}"


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"none", "tar"}))
def test_a_flipped_byte_in_the_middle(stored, name):
    form, member, body = FORMS[name]
    at = len(body) // 2
    flipped = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
    assert refused(stored, flipped, form, member).startswith(f"damaged {form} file (")


def test_a_flipped_byte_behind_the_member_is_found_too(stored):
    body = bytearray(gzip.compress(tarred()))
    body[-6] ^= 0xFF  # in the checksum of all
    assert refused(stored, bytes(body), "tar", MEMBER).startswith("damaged tar file (CRC check failed")


@given(st.sampled_from(sorted(set(FORMS) - {"none"})), st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_any_damage_gives_one_line_or_nothing_bad(tmp_path_factory, name, at, noise):
    form, member, body = FORMS[name]
    at %= len(body)
    stored = tmp_path_factory.getbasetemp() / "noisy"
    stored.write_bytes(body[:at] + noise + body[at + len(noise) :])
    try:
        check_form(stored, form)
        found = b"".join(content(stored, form, member))
    except WrongContent as error:
        assert "\n" not in str(error)
    else:
        assert found == CONTENT or name == "tar"  # a plain tar file has no checksum of the content


@pytest.mark.parametrize(
    ("form", "start"), [("zip", rb"PK\x03\x04"), ("gzip", rb"\x1f\x8b"), ("xz", rb"\xfd7zXZ\x00")], ids=str
)
def test_another_form_than_the_registry_says(stored, form, start):
    expected = (
        f"not a {form} file: starts with {b'garbage'[: len(archives.MAGIC[form])]!r}, expected b'{start.decode()}'"
    )
    assert refused(stored, b"garbage", form) == expected


def test_garbage_is_no_tar_file(stored):
    assert refused(stored, b"garbage" * 1000, "tar", MEMBER).startswith("damaged tar file (")


@pytest.mark.parametrize("form", ["zip", "tar", "gzip", "xz"])
def test_a_page_instead(stored, form):
    assert refused(stored, b"\n <!DOCTYPE html><p>404", form) == f"an HTML page instead of a {form} file"
    assert refused(stored, b"<HTML>", "none") == "an HTML page instead of the file"


@pytest.mark.parametrize("name", ["zip", "tar", "tar.gz"])
def test_no_such_member(stored, name):
    form, _, body = FORMS[name]
    assert refused(stored, body, form, "toy/none.csv") == f"the {form} file has no member toy/none.csv"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_members_of_a_tar_file_that_are_no_files(stored, kind):
    message = refused(stored, tarred(kind=kind, link="/etc/passwd"), "tar", MEMBER)
    assert message == f"member {MEMBER} is not a regular file (a link, a folder or a device)"


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_members_of_a_zip_file_that_are_no_files(stored, mode):
    message = refused(stored, zipped(b"/etc/passwd", mode=mode | 0o777), "zip", MEMBER)
    assert message == f"member {MEMBER} is not a regular file (a link, a folder or a device)"


def test_an_encrypted_member(stored):
    body = bytearray(zipped())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.rindex(signature) + flags] |= 1
    assert "encrypted" in refused(stored, bytes(body), "zip", MEMBER)


def test_a_leading_dot_in_a_tar_file_is_left_out(stored):
    assert read(stored, tarred(name=f"./{MEMBER}"), "tar", MEMBER) == CONTENT


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("evil", ["../evil", "../../../../evil", "/tmp/seqrepro-evil", "toy/../../evil"])
def test_names_in_an_archive_write_nothing_anywhere(tmp_path, monkeypatch, kind, evil):
    """An archive that holds an evil name beside the member: only the member's content appears."""
    root = tmp_path / "a/b"
    root.mkdir(parents=True)
    monkeypatch.chdir(root)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SEQREPRO_MIRROR", raising=False)
    with serve() as web:
        web.put("/toy", (zipped if kind == "zip" else tarred)(b"evil", name=evil))
        source = {"kind": "archive", "archive": kind, "url": f"{web.root}/toy", "provenance": "primary"}
        wanted = {"name": "README", "sha256": None, "sources": [source | {"member": "toy/README"}]}
        run(Request("retrieve", "seqrepro.data.retrieve", "data/raw/toy", [], {"files": [wanted]}, [], ""))
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["a/b/data/raw/toy/README", "a/b/data/raw/toy/SHA256SUMS"]
    assert Path("data/raw/toy/README").read_bytes() == b"first"
    assert not Path("/tmp/seqrepro-evil").exists()


BOMB = bytes(20_000_000)


@pytest.mark.parametrize(
    ("form", "member", "body"),
    [
        ("zip", MEMBER, zipped(BOMB)),
        ("tar", MEMBER, gzip.compress(tarred(BOMB))),
        ("tar", "toy/README2", gzip.compress(tarred(BOMB))),  # behind the bomb
        ("gzip", None, gzip.compress(BOMB)),
        ("xz", None, lzma.compress(BOMB)),
    ],
    ids=["zip", "tar", "tar-behind", "gzip", "xz"],
)
def test_a_bomb_stops_at_the_limit(stored, monkeypatch, form, member, body):
    monkeypatch.setattr(archives, "FREE", 1 << 20)
    stored.write_bytes(body)
    limit = max(1 << 20, 200 * len(body))
    assert limit < len(BOMB)
    came = 0
    with pytest.raises(WrongContent, match=f"^unpacks to more than the {limit:,} bytes that are allowed for it$"):
        for piece in content(stored, form, member):
            came += len(piece)
    assert came <= limit


def test_a_known_size_is_the_limit_both_ways(stored, monkeypatch):
    assert refused(stored, gzip.compress(BOMB), "gzip", size=1000).startswith("unpacks to more than the 1,000 bytes")
    monkeypatch.setattr(archives, "FREE", 0)
    assert read(stored, gzip.compress(BOMB), "gzip", size=len(BOMB)) == BOMB
    assert read(stored, gzip.compress(tarred(BOMB)), "tar", MEMBER, size=len(BOMB)) == BOMB


def test_the_bomb_s_target_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE", 1 << 20)
    monkeypatch.chdir(tmp_path)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "bomb.gz").write_bytes(gzip.compress(BOMB))
    monkeypatch.setenv("SEQREPRO_MIRROR", str(mirror))
    source = {"kind": "mirror", "path": "bomb.gz", "compression": "gzip", "provenance": "archived"}
    wanted = {"name": "bomb", "sha256": None, "sources": [source]}
    with pytest.raises(InputError, match="unpacks to more than"):
        run(Request("retrieve", "seqrepro.data.retrieve", "data/raw/toy", [], {"files": [wanted]}, [], ""))
    assert list(Path("data/raw/toy").iterdir()) == []


@pytest.mark.parametrize(
    ("stored_as", "compression", "encoding", "name"),
    [
        ("gzip", "gzip", "gzip", "toy.json.gz"),  # a server that so calls the compression that the file has
        ("gzip", "gzip", "x-gzip", "toy.json.gz"),
        ("gzip", "gzip", None, "toy.json.gz"),
        ("gzip", "none", "gzip", "toy.json"),  # a server that compresses on the way
        ("xz", "xz", None, "toy.json.xz"),
    ],
)
def test_a_compression_is_undone_once(tmp_path, monkeypatch, stored_as, compression, encoding, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SEQREPRO_MIRROR", raising=False)
    with serve() as web:
        web.put(f"/{name}", COMPRESS[stored_as](CONTENT), headers={"Content-Encoding": encoding} if encoding else {})
        source = {"kind": "url", "url": f"{web.root}/{name}", "compression": compression, "provenance": "primary"}
        wanted = {"name": "toy.json", "sha256": hashlib.sha256(CONTENT).hexdigest(), "sources": [source]}
        run(Request("retrieve", "seqrepro.data.retrieve", "data/raw/toy", [], {"files": [wanted]}, [], ""))
    assert Path("data/raw/toy/toy.json").read_bytes() == CONTENT


@pytest.mark.parametrize(("encoding", "name"), [("gzip", "toy.json.gz"), ("br", "toy.json")])
def test_a_compression_that_stays_and_one_that_nobody_asked_for(tmp_path, monkeypatch, encoding, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SEQREPRO_MIRROR", raising=False)
    packed = gzip.compress(CONTENT)
    with serve() as web:
        web.put(f"/{name}", packed, headers={"Content-Encoding": encoding})
        source = {"kind": "url", "url": f"{web.root}/{name}", "provenance": "primary"}
        wanted = {"name": name, "sha256": hashlib.sha256(packed).hexdigest(), "sources": [source]}
        request = Request("retrieve", "seqrepro.data.retrieve", "data/raw/toy", [], {"files": [wanted]}, [], "")
        if encoding == "gzip":
            assert run(request)[0].read_bytes() == packed
        else:
            with pytest.raises(InputError, match=r"sent with Content-Encoding br, which was not asked for$"):
                run(request)

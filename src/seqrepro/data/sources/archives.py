"""Reading the content of a stored file as a stream: plain, decompressed, or one member of an archive.

Nothing is ever unpacked under a name that an archive gives: one member is streamed to the caller, and it must be a
regular file. What a stream gives is bounded, so that a few bytes that unpack to a whole disk (a "bomb") are refused.
"""

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from seqrepro.data.sources.failures import WrongContent

CHUNK = 1 << 20
FREE = 1 << 30  # bytes that any file may unpack to
RATIO = 200  # beyond that, how many times its stored bytes
MAGIC = {"zip": b"PK\x03\x04", "gzip": b"\x1f\x8b", "xz": b"\xfd7zXZ\x00", "bzip2": b"BZh"}
OPENERS: dict[str, Callable[[Path], Any]] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
)


class Bounded:
    """A stream that may be read up to a limit."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.limit, self.count = stream, limit, 0

    def read(self, size: int = CHUNK) -> bytes:
        """The next bytes, at most `size`.

        Raises:
            WrongContent: more than the limit came.
        """
        piece = self.stream.read(size)
        self.count += len(piece)
        if self.count > self.limit:
            raise WrongContent(f"unpacks to more than the {self.limit:,} bytes that are allowed for it")
        return piece


def content(stored: Path, form: str, member: str | None = None, size: int | None = None) -> Iterator[bytes]:
    """The content of a stored file, piece by piece.

    Args:
        stored: the file.
        form: none, gzip or xz: a file, so compressed; zip or tar: an archive.
        member: which file of the archive.
        size: bytes of the content, where known; it is then the limit, else 1 GiB or 200 times the stored bytes.

    Raises:
        WrongContent: damaged, no such member or not a regular file, or more than the limit.
    """
    limit = max(FREE, RATIO * stored.stat().st_size)
    try:
        with _opened(stored, form, member, limit + (size or 0)) as stream:
            bounded = Bounded(stream, limit if size is None else size)
            while piece := bounded.read():
                yield piece
    except DAMAGE as error:
        kind = "file" if form == "none" else f"{form} file"
        raise WrongContent(f"damaged {kind} ({' '.join(str(error).split()) or type(error).__name__})") from None


def check_form(stored: Path, form: str) -> None:
    """Check that a file starts as its kind does, and is no web page: error and consent pages come as files too.

    Raises:
        WrongContent: it starts otherwise.
    """
    with stored.open("rb") as stream:
        start = stream.read(512)
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise WrongContent("an HTML page instead of " + ("the file" if form == "none" else f"a {form} file"))
    magic = MAGIC.get(form, b"")
    if not start.startswith(magic):
        raise WrongContent(f"not a {form} file: starts with {start[: len(magic)]!r}, expected {magic!r}")


def _opened(stored: Path, form: str, member: str | None, limit: int) -> AbstractContextManager[IO[bytes]]:
    if member is None:
        return _decompressed(stored, form)
    return _zip_member(stored, member) if form == "zip" else _tar_member(stored, member, limit)


def _decompressed(stored: Path, form: str) -> AbstractContextManager[IO[bytes]]:
    opener = OPENERS.get(form)
    return cast(IO[bytes], opener(stored)) if opener else stored.open("rb")


@contextmanager
def _zip_member(stored: Path, member: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(stored) as archive:
        if member not in archive.NameToInfo:
            raise WrongContent(f"the zip file has no member {member}")
        info = archive.getinfo(member)
        _check_regular(member, stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG))
        with archive.open(info) as stream:
            yield stream


@contextmanager
def _tar_member(stored: Path, member: str, limit: int) -> Iterator[IO[bytes]]:
    """One pass over the archive, to its end: only there stands the checksum of what is compressed."""
    with _decompressed(stored, _compression(stored)) as plain:
        bounded = Bounded(plain, limit)
        with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r|", encoding="utf-8") as archive:
            info = next((info for info in archive if info.name.removeprefix("./") == member), None)
            if info is None:
                raise WrongContent(f"the tar file has no member {member}")
            _check_regular(member, info.isreg())
            yield cast(IO[bytes], archive.extractfile(info))
        while bounded.read():
            pass


def _compression(stored: Path) -> str:
    """How a tar file is compressed, by its first bytes."""
    with stored.open("rb") as stream:
        start = stream.read(8)
    return next((form for form in OPENERS if start.startswith(MAGIC[form])), "none")


def _check_regular(member: str, regular: bool) -> None:
    if not regular:
        raise WrongContent(f"member {member} is not a regular file (a link, a folder or a device)")

"""Getting the bytes of one file from one source: the web, a zip file on the web, or a mirror.

Everything lands in a workspace that the caller removes; nothing here writes into `data/`. A source that cannot
give the file raises `SourceError` with a few words that say why, and the caller tries the next one.
"""

import hashlib
import logging
import lzma
import shutil
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO

from seqrepro.data.registry import ArchiveSource, MirrorSource, Source, UrlSource

TIMEOUT_S = 10.0
PAUSES_S = (1.0, 3.0)  # between the attempts of one download
ZIP_MAGIC = b"PK\x03\x04"
CHUNK = 1 << 20

log = logging.getLogger(__name__)


class SourceError(Exception):
    """This source cannot give the file; another may."""


class Interrupted(Exception):
    """A download stopped before its end; what came stays on disk and the next attempt goes on from there."""


@dataclass
class Workspace:
    """A temporary folder with the downloads of one job, so that a zip file is fetched once for all its members."""

    folder: Path
    downloads: dict[str, Path | SourceError] = field(default_factory=dict)

    def download(self, url: str) -> Path:
        """The file at a URL, downloaded at the first request; a failure is remembered too.

        Raises:
            SourceError: the file cannot be had from there.
        """
        if url not in self.downloads:
            self.downloads[url] = self._attempt(url, self.folder / f"download-{len(self.downloads)}")
        result = self.downloads[url]
        if isinstance(result, SourceError):
            raise result
        return result

    def _attempt(self, url: str, path: Path) -> Path | SourceError:
        try:
            download(url, path)
        except SourceError as error:
            return error
        return path


def describe(source: Source, mirror: str | None) -> str:
    """A source in one phrase, for logs and errors."""
    if isinstance(source, MirrorSource):
        return f"mirror {mirror} ({source.path})"
    if isinstance(source, ArchiveSource):
        return f"{source.url} ({source.member})"
    return source.url


def fetch(source: Source, mirror: str | None, target: Path, workspace: Workspace) -> None:
    """Write the content that a source gives, extracted or decompressed, to `target`.

    Raises:
        SourceError: the source does not have it, cannot be reached, or gives something else.
    """
    if isinstance(source, ArchiveSource):
        archive = workspace.download(source.url)
        check_archive(archive, source)
        with _member(archive, source.member) as stream:
            _copy(stream, target)
        return
    if isinstance(source, UrlSource):
        stored, compression = workspace.download(source.url), "none"
    else:
        stored, compression = from_mirror(source, mirror, workspace), source.compression
    if is_html(stored):
        raise SourceError("an HTML page instead of the file")
    with _opened(stored, compression) as stream:
        _copy(stream, target)


def from_mirror(source: MirrorSource, mirror: str | None, workspace: Workspace) -> Path:
    """The stored file of a mirror, which is a folder or a URL.

    Raises:
        SourceError: no mirror is set, or it does not hold the file.
    """
    if mirror is None:
        raise SourceError("no mirror is set")
    if mirror.startswith(("http://", "https://")):
        return workspace.download(f"{mirror.rstrip('/')}/{source.path}")
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise SourceError("no such folder")
    stored = folder / source.path
    if not stored.is_file():
        raise SourceError("no such file in the mirror")
    return stored


def check_archive(path: Path, source: ArchiveSource) -> None:
    """Check that a download is a zip file, and the one that the registry knows.

    Raises:
        SourceError: it is something else.
    """
    if is_html(path):
        raise SourceError("an HTML page instead of a zip file")
    with path.open("rb") as stream:
        start = stream.read(len(ZIP_MAGIC))
    if start != ZIP_MAGIC:
        raise SourceError(f"not a zip file: starts with {start!r}, expected {ZIP_MAGIC!r}")
    for algorithm, expected in (("md5", source.md5), ("sha256", source.sha256)):
        if expected is not None:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, algorithm).hexdigest()
            if found != expected:
                raise SourceError(f"{algorithm} of the zip file: found {found}, expected {expected}")


def is_html(path: Path) -> bool:
    """Whether a file starts like a web page, as error pages and consent pages do."""
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def download(url: str, path: Path) -> None:
    """Download with time-outs, redirects, and further attempts that resume where the last one stopped.

    Raises:
        SourceError: the server refuses, or all attempts broke off.
    """
    for pause in (*PAUSES_S, None):
        try:
            _download_rest(url, path)
            return
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code < 500:
                raise SourceError(reason) from None
        except (OSError, HTTPException, Interrupted) as error:
            reason = _reason(error)
        if pause is None:
            raise SourceError(reason)
        log.info("%s: %s; trying again in %g s", url, reason, pause)
        time.sleep(pause)


def _download_rest(url: str, path: Path) -> None:
    have = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "seqrepro"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumed = response.status == 206
        with path.open("ab" if resumed else "wb") as stream:
            shutil.copyfileobj(response, stream, CHUNK)
        _check_length(response, path, have if resumed else 0)


def _check_length(response: HTTPResponse, path: Path, before: int) -> None:
    announced = response.headers.get("Content-Length")
    found = path.stat().st_size
    if announced is not None and found != before + int(announced):
        raise Interrupted(f"truncated: {found} bytes came, expected {before + int(announced)}")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError):
        return f"cannot be reached ({error.reason})"
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as stream:
            yield stream
    except KeyError:
        raise SourceError(f"the zip file has no member {member}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(f"damaged zip file ({error})") from None


@contextmanager
def _opened(path: Path, compression: str) -> Iterator[IO[bytes]]:
    try:
        with lzma.open(path) if compression == "xz" else path.open("rb") as stream:
            yield stream
    except (lzma.LZMAError, EOFError) as error:
        raise SourceError(f"not a whole xz file ({error})") from None


def _copy(stream: IO[bytes], target: Path) -> None:
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out, CHUNK)

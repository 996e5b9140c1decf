"""Getting the content of one file from one source: the web, an archive on the web, or a mirror.

A source that cannot give the file raises `SourceError` with a few words that say why, and the caller tries the next.
"""

import hashlib
import string
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from seqrepro.data.source_kinds import ArchiveSource, MirrorSource, Source
from seqrepro.data.sources.archives import check_form, content
from seqrepro.data.sources.failures import SourceError, WrongContent
from seqrepro.data.sources.part import Part
from seqrepro.data.sources.web import download


@dataclass
class Downloads:
    """The downloads of one job: each URL is fetched once, and stays until the job is done."""

    folder: Path
    failures: dict[str, SourceError] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    inherited: set[str] = field(default_factory=set)

    def get(self, url: str, size: int | None) -> Part:
        """The download of a URL, finished; a failure is remembered too.

        Raises:
            SourceError: the file cannot be had from there.
        """
        if url in self.failures:
            raise self.failures[url]
        part = Part.of(self.folder, url)
        if url not in self.begun and part.have:
            self.inherited.add(url)
        self.begun.add(url)
        try:
            download(url, part, size)
        except SourceError as error:
            self.failures[url] = error
            raise
        return part

    def forget(self, url: str) -> bool:
        """Remove a download that gave wrong content; True if some of its bytes came from an earlier start."""
        Part.of(self.folder, url).drop()
        inherited = url in self.inherited
        self.inherited.discard(url)
        if inherited:
            self.failures.pop(url, None)
        return inherited

    def clear(self) -> None:
        """Remove all downloads."""
        for pattern in (".*.part", ".*.part.json"):
            for path in self.folder.glob(pattern):
                path.unlink()


@dataclass(frozen=True)
class Stored:
    """A file as a source stores it, and what must be undone to get at the content."""

    path: Path
    form: str  # none, gzip, xz, zip, tar
    member: str | None


def describe(source: Source, mirror: str | None) -> str:
    """A source in one phrase, for logs and errors."""
    if isinstance(source, MirrorSource):
        return f"mirror {mirror} ({source.path})"
    if isinstance(source, ArchiveSource):
        return f"{source.url} ({source.member})"
    return source.url


def fetch(source: Source, mirror: str | None, downloads: Downloads) -> Stored:
    """What a source stores, checked as far as the registry knows it.

    Args:
        source: where the file is.
        mirror: the folder or URL of the mirror, if one is set.
        downloads: those of this job.

    Raises:
        SourceError: the source does not have it, cannot be reached, or gives something else.
        SeqReproError: the disk does not take the download.
    """
    url = address(source, mirror)
    if url is None:
        path, encoding = _in_folder(source, mirror), "identity"
    else:
        part = downloads.get(url, source.size)
        version = part.version()
        path, encoding = part.path, version.encoding if version else "identity"
    stored = Stored(path, *_form(source, encoding))
    try:
        check_form(path, stored.form)
        _check_stored(path, source)
    except OSError as error:
        raise SourceError(f"cannot be read ({error.strerror})") from None
    return stored


def unpack(stored: Stored, size: int | None, target: Path) -> None:
    """Write the content of what is stored to `target`; `size` is its bytes, where known.

    Raises:
        WrongContent: damaged, not there, or too long.
        OSError: the disk does not take it.
    """
    with target.open("wb") as out:
        for piece in content(stored.path, stored.form, stored.member, size):
            out.write(piece)


def address(source: Source, mirror: str | None) -> str | None:
    """The URL of what a source stores; None if it is a file of a mirror that is a folder.

    Raises:
        SourceError: no mirror is set.
    """
    if not isinstance(source, MirrorSource):
        return source.url
    if mirror is None:
        raise SourceError("no mirror is set")
    if not mirror.startswith(("http://", "https://")):
        return None
    return quote(f"{mirror.rstrip('/')}/{source.path}", safe=string.punctuation)


def _in_folder(source: Source, mirror: str | None) -> Path:
    assert isinstance(source, MirrorSource) and mirror is not None
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise SourceError("no such folder")
    stored = folder / source.path
    if not stored.is_file():
        raise SourceError("no such file in the mirror")
    return stored


def _form(source: Source, encoding: str) -> tuple[str, str | None]:
    """What must be undone, and the member to take.

    A server that calls a .gz file `Content-Encoding: gzip` means the one compression that the file has anyway; one
    that compresses a plain file on the way, unasked, adds a compression that must be undone.
    """
    if isinstance(source, ArchiveSource):
        return source.archive, source.member
    name = source.path if isinstance(source, MirrorSource) else source.url
    if source.compression == "none" and encoding != "identity" and not name.endswith(".gz"):
        if encoding not in ("gzip", "x-gzip"):
            raise WrongContent(f"sent with Content-Encoding {encoding}, which was not asked for")
        return "gzip", None
    return source.compression, None


def _check_stored(stored: Path, source: Source) -> None:
    """Compare a stored file with the size and the checksums that the registry gives for it."""
    what = f"of the {source.archive} file" if isinstance(source, ArchiveSource) else "of the stored file"
    size = stored.stat().st_size
    if source.size not in (None, size):
        raise WrongContent(f"size {what}: found {size} bytes, expected {source.size}")
    for algorithm, expected in (("md5", source.md5), ("sha256", source.sha256)):
        if expected is not None:
            with stored.open("rb") as stream:
                found = hashlib.file_digest(stream, algorithm).hexdigest()
            if found != expected:
                raise WrongContent(f"{algorithm} {what}: found {found}, expected {expected}")

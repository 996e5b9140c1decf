"""The `retrieve` step: bring the files of one registry entry to `data/raw/<entry>/`, checked.

The order of the attempts: a mirror that is set (environment variable SEQREPRO_MIRROR; the workflow sets it from
`mirror:` in `params.yaml`) is asked first, since the user asked for it and the checksum makes sure that the content is
the same; then the other sources in the order of the registry. The environment is read here and not in the plan, so
where the bytes came from is no part of what a run is.

A download that breaks off stays beside the files, under a hidden name, until the entry is complete: the next start goes
on from there. Files under their final names are always whole and checked.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from seqrepro.data.source_kinds import MIRROR_VARIABLE, MirrorSource, RawFile, RawFiles, Source, first_problem
from seqrepro.data.sources.checksums import git_blob_sha1
from seqrepro.data.sources.failures import SourceError, WrongContent, writing
from seqrepro.data.sources.fetch import Downloads, address, describe, fetch, unpack
from seqrepro.errors import InputError
from seqrepro.files import atomic, canonical_json, sha256_file, write_text
from seqrepro.request import Request

log = logging.getLogger(__name__)


def run(request: Request) -> list[Path]:
    """Retrieve all files of one entry into `request.folder`.

    Raises:
        InputError: a file that no source gives; one line with everything that was tried.
        SeqReproError: the disk does not take it.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    try:
        files = RawFiles.validate_json(canonical_json(request.parameters["files"]))
    except ValidationError as error:
        raise InputError(f"{request.folder}: files.{first_problem(error)}") from None
    with _alone(request.output):
        downloads = Downloads(request.output)
        paths = [retrieve(file, request.output / file.name, mirror, downloads) for file in files]
        checksums = write_checksums(request.output, paths)
        downloads.clear()
    return [*paths, checksums]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder, keep other processes out of it, and remove what a killed one half wrote.

    Raises:
        InputError: another process is at work in it.
        SeqReproError: it cannot be made or written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        if not _locked(handle):
            raise InputError(f"{folder}: another process is retrieving into this folder, expected none")
        with writing(folder):
            for half in folder.glob(".*.partial"):
                half.unlink()
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Lock an open folder, until it is closed; where the file system has no locks, go without."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.debug("no lock: %s", error)
    return True


def write_checksums(folder: Path, paths: list[Path]) -> Path:
    """Write `SHA256SUMS`, which `sha256sum --check` reads; it stands for the files in the workflow."""
    lines = [f"{sha256_file(path)}  {path.name}\n" for path in sorted(paths)]
    with writing(folder / "SHA256SUMS"):
        write_text(folder / "SHA256SUMS", "".join(lines))
    return folder / "SHA256SUMS"


def retrieve(file: RawFile, path: Path, mirror: str | None, downloads: Downloads) -> Path:
    """Make sure that `path` holds the file's content: it stays if it is right, else the sources are tried in turn.

    Raises:
        InputError: no source gives the content.
        SeqReproError: the disk does not take it.
    """
    if file.known and path.is_file() and difference(file, path) is None:
        log.info("%s: already there, checksum verified", path)
        return path
    failures: list[str] = []
    for source in attempts(file, mirror):
        name = describe(source, mirror)
        try:
            _from(source, file, path, mirror, downloads)
        except SourceError as error:
            failures.append(f"{name}: {error}")
            log.warning("%s: %s: %s", path, name, error)
        else:
            log.info("%s: from %s (%s)", path, name, source.provenance)
            return path
    raise InputError(_failure(file, path, mirror, failures))


def attempts(file: RawFile, mirror: str | None) -> list[Source]:
    """The sources to try, in order: the mirror's first if one is set, without them otherwise."""
    mirrored: list[Source] = [source for source in file.sources if isinstance(source, MirrorSource)]
    others: list[Source] = [source for source in file.sources if not isinstance(source, MirrorSource)]
    return mirrored + others if mirror else others


def difference(file: RawFile, path: Path) -> str | None:
    """How the content at `path` differs from what the registry knows of the file, in one line; None if it does not."""
    size = path.stat().st_size
    if file.size not in (None, size):
        return f"size of the content: found {size} bytes, expected {file.size}"
    if file.sha256 is not None and (found := sha256_file(path)) != file.sha256:
        return f"sha256 of the content: found {found}, expected {file.sha256}"
    if file.git_blob_sha1 is not None and (found := git_blob_sha1(path)) != file.git_blob_sha1:
        return f"git blob sha1 of the content: found {found}, expected {file.git_blob_sha1}"
    return None


def _from(source: Source, file: RawFile, path: Path, mirror: str | None, downloads: Downloads) -> None:
    """Take the file from one source; bytes of an earlier start that turn out wrong are fetched once more."""
    url = address(source, mirror)
    while True:
        try:
            return _place(source, file, path, mirror, downloads)
        except WrongContent as error:
            if url is None or not downloads.forget(url):
                raise
            log.info("%s: %s; once more without what an earlier start left", url, error)


def _place(source: Source, file: RawFile, path: Path, mirror: str | None, downloads: Downloads) -> None:
    stored = fetch(source, mirror, downloads)
    with writing(path), atomic(path) as partial:
        unpack(stored, file.size, partial)
        if problem := difference(file, partial):
            raise WrongContent(problem)
        if not file.known:
            log.warning("%s: sha256 %s is unverified, the registry knows none", path, sha256_file(partial))


def _failure(file: RawFile, path: Path, mirror: str | None, failures: list[str]) -> str:
    tried = f"not retrieved; tried {'; '.join(failures)}" if failures else "only a mirror holds this file"
    paths = [source.path for source in file.sources if isinstance(source, MirrorSource)]
    if mirror or not paths:
        return f"{path}: {tried}"
    advice = f"set {MIRROR_VARIABLE} or `mirror:` in params.yaml to a folder or URL holding {paths[0]}"
    return f"{path}: {tried}; {advice}"

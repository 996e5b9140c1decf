"""The `retrieve` step: bring the files of one registry entry to `data/raw/<entry>/`, checked.

The order of the attempts: a mirror that is set (environment variable SEQREPRO_MIRROR; the workflow sets it from
`mirror:` in `params.yaml`) is asked first, since the user asked for it and the checksum makes sure that the content is
the same; then the other sources in the order of the registry. The environment is read here and not in the plan, so
where the bytes came from is no part of what a run is.
"""

import logging
import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

from seqrepro.data.registry import MIRROR_VARIABLE, MirrorSource, RawFile, RawFiles, Source, first_problem
from seqrepro.data.sources import SourceError, Workspace, describe, fetch
from seqrepro.errors import InputError
from seqrepro.files import atomic, canonical_json, sha256_file, write_text
from seqrepro.request import Request

log = logging.getLogger(__name__)


def run(request: Request) -> list[Path]:
    """Retrieve all files of one entry into `request.folder`.

    Raises:
        InputError: a file that no source gives; one line with everything that was tried.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    try:
        files = RawFiles.validate_json(canonical_json(request.parameters["files"]))
    except ValidationError as error:
        raise InputError(f"{request.folder}: files.{first_problem(error)}") from None
    with tempfile.TemporaryDirectory(prefix="seqrepro-") as folder:
        workspace = Workspace(Path(folder))
        paths = [retrieve(file, request.output / file.name, mirror, workspace) for file in files]
    return [*paths, write_checksums(request.output, paths)]


def write_checksums(folder: Path, paths: list[Path]) -> Path:
    """Write `SHA256SUMS`, which `sha256sum --check` reads; it stands for the files in the workflow."""
    lines = [f"{sha256_file(path)}  {path.name}\n" for path in sorted(paths)]
    write_text(folder / "SHA256SUMS", "".join(lines))
    return folder / "SHA256SUMS"


def retrieve(file: RawFile, path: Path, mirror: str | None, workspace: Workspace) -> Path:
    """Make sure that `path` holds the file's content: it stays if it is right, else the sources are tried in turn.

    Raises:
        InputError: no source gives the content.
    """
    if file.sha256 is not None and path.is_file() and sha256_file(path) == file.sha256:
        log.info("%s: already there, checksum verified", path)
        return path
    failures: list[str] = []
    for source in attempts(file, mirror):
        name = describe(source, mirror)
        try:
            _place(file, source, path, mirror, workspace)
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


def _place(file: RawFile, source: Source, path: Path, mirror: str | None, workspace: Workspace) -> None:
    with atomic(path) as partial:
        fetch(source, mirror, partial, workspace)
        found = sha256_file(partial)
        if file.sha256 is not None and found != file.sha256:
            raise SourceError(f"sha256 of the content: found {found}, expected {file.sha256}")
        if file.sha256 is None:
            log.warning("%s: sha256 %s is unverified, the registry knows none", path, found)


def _failure(file: RawFile, path: Path, mirror: str | None, failures: list[str]) -> str:
    tried = f"not retrieved; tried {'; '.join(failures)}" if failures else "only a mirror holds this file"
    paths = [source.path for source in file.sources if isinstance(source, MirrorSource)]
    if mirror or not paths:
        return f"{path}: {tried}"
    advice = f"set {MIRROR_VARIABLE} or `mirror:` in params.yaml to a folder or URL holding {paths[0]}"
    return f"{path}: {tried}; {advice}"

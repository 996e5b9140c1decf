"""The `retrieve` step of your own file: a copy in `data/raw/`, so that all further steps treat it like any other.

The path comes from the list that the plan keeps (see `local_files`), so neither the request nor the sidecar holds it.
"""

import shutil
from pathlib import Path

from seqrepro.data.own.local_files import find
from seqrepro.errors import InputError
from seqrepro.files import atomic, sha256_file, write_text
from seqrepro.request import Request


def run(request: Request) -> list[Path]:
    """Copy the file into `request.folder`, under its own name; it stays if it is there already.

    Raises:
        InputError: the file is gone, or is not the one that was planned with.
    """
    name, expected = request.parameters["file"], request.parameters["sha256"]
    target, sums = request.output / name, request.output / "SHA256SUMS"
    if not target.is_file() or sha256_file(target) != expected:
        _copy(find(expected, name), target, expected)
    for other in set(request.output.iterdir()) - {target, sums}:  # of the time before
        other.unlink()
    write_text(sums, f"{expected}  {name}\n")
    return [target, sums]


def _copy(source: Path, target: Path, expected: str) -> None:
    try:
        stream = source.open("rb")
    except OSError as error:
        raise InputError(f"{source}: {error.strerror}; it was there when the run was planned") from None
    with stream, atomic(target) as partial, partial.open("wb") as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
        copy.flush()
        if (found := sha256_file(partial)) != expected:
            raise InputError(f"{source}: found sha256 {found}, expected {expected}: it has changed; run again")

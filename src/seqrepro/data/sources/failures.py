"""How getting a file goes wrong: by the source, which another source may make good, or by the disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seqrepro.errors import SeqReproError
from seqrepro.files import CANNOT_WRITE


class SourceError(Exception):
    """This source cannot give the file now; another may."""


class WrongContent(SourceError):
    """What this source gave is not the file: its bytes are of no use to a later start."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line what the operating system has against writing a file: disk full, read-only, no permission.

    Raises:
        SeqReproError: it refused.
    """
    try:
        yield
    except OSError as error:
        reason = CANNOT_WRITE.get(error.errno or 0, error.strerror or str(error))
        raise SeqReproError(f"{path}: not written: {reason}") from None

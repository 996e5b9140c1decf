"""A download that may not be finished: its bytes, and beside them which version of which file they belong to.

Both stand in `data/raw/<entry>/` under names that depend on the URL alone, so that a job that was killed goes on where
it stopped.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from seqrepro.data.sources.failures import writing
from seqrepro.errors import InputError
from seqrepro.files import read_json, sha256_text, write_json


@dataclass(frozen=True)
class Version:
    """What a server says of the file that it sends: enough to know the same file again."""

    url: str
    etag: str | None
    modified: str | None
    size: int | None  # bytes of the whole file; None while nobody has said
    encoding: str  # Content-Encoding, `identity` if there is none

    @property
    def validator(self) -> str | None:
        """What `If-Range` may carry: a strong ETag, else the date of the last change, else nothing."""
        strong = self.etag is not None and not self.etag.startswith("W/")
        return self.etag if strong else self.modified


def last_part(url: str) -> str:
    """What stands after the last slash of a URL, without query and fragment."""
    return re.split(r"[?#]", url)[0].rpartition("/")[2]


@dataclass(frozen=True)
class Part:
    """The file of a download."""

    path: Path

    @classmethod
    def of(cls, folder: Path, url: str) -> "Part":
        """Where the download of a URL stands: `.<last part of the URL>-<hash>.part`."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", last_part(url))[-80:]
        return cls(folder / f".{name}-{sha256_text(url)[:8]}.part")

    @property
    def record(self) -> Path:
        """The file that says what the bytes belong to."""
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def have(self) -> int:
        """How many bytes are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self) -> Version | None:
        """What the bytes belong to; None if nothing usable says so."""
        try:
            return Version(**read_json(self.record))
        except (InputError, TypeError):
            return None

    def complete(self) -> bool:
        """Whether all bytes have come."""
        version = self.version()
        return version is not None and 0 < self.have == version.size

    @contextmanager
    def add(self, version: Version, resumed: bool) -> Iterator[IO[bytes]]:
        """Yield the file to add bytes to: what is there is kept if `resumed`, else given up.

        Raises:
            SeqReproError: the disk is full, or may not be written.
        """
        with writing(self.path), self.path.open("ab" if resumed else "wb") as stream:
            self.write_record(version)
            yield stream

    def write_record(self, version: Version) -> None:
        """Write down what the bytes belong to."""
        with writing(self.record):
            write_json(self.record, asdict(version))

    def drop(self) -> None:
        """Remove the bytes and the record."""
        for path in (self.path, self.record):
            with suppress(FileNotFoundError):
                path.unlink()

"""Opening your own file, compressed or not: its first bytes say so, not its name."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from seqrepro.errors import InputError

MAGIC = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
OPENERS: dict[str, Callable[[Path], Any]] = {
    "gzip": gzip.open,
    "xz": lzma.open,
    "bzip2": bz2.open,
    "zstd": lambda path: pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"),
}
DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The decompressed bytes of a file, as a stream.

    Raises:
        InputError: an empty file, or (while it is read) a damaged or truncated one.
    """
    with path.open("rb") as stream:
        start = stream.read(max(map(len, MAGIC)))
    if not start:
        raise InputError(f"{path}: found an empty file, expected rows")
    kind = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), "")
    try:
        with OPENERS[kind](path) if kind else path.open("rb") as stream:
            yield stream
    except DAMAGED as error:
        what = f"damaged or truncated {kind} file" if kind else "cannot be read"
        raise InputError(f"{path}: {what} ({one_line(error)})") from None


def one_line(error: Exception) -> str:
    """What a library says, without line breaks."""
    return " ".join(str(error).split())

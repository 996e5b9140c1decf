"""Reading, writing and hashing files. Every write is atomic: a file under its final name is whole."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqrepro.errors import InputError, SeqReproError

if TYPE_CHECKING:
    import pyarrow as pa

Json = dict[str, Any]
CANNOT_WRITE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than is allowed",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a part of its path is a file",
    errno.EIO: "the disk reports an error",
}


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it, else remove it.

    Raises:
        SeqReproError: it cannot be written, for a reason in `CANNOT_WRITE`. Other errors pass.
    """
    partial: Path | None = None
    try:
        partial = _beside(path)
        yield partial
        _flush(partial)
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    except Exception as error:
        if reason := _cannot_write(error, path.parent):
            raise SeqReproError(f"{path}: not written: {reason}") from error
        raise
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    return Path(name)


def _cannot_write(error: Exception, folder: Path) -> str | None:
    """Why nothing can be written, if that is what an error means; libraries have classes of their own for it."""
    if isinstance(error, OSError):
        return CANNOT_WRITE.get(error.errno or 0)
    full = not isinstance(error, SeqReproError) and folder.is_dir() and shutil.disk_usage(folder).free == 0
    return CANNOT_WRITE[errno.ENOSPC] if full or os.strerror(errno.ENOSPC) in str(error) else None


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: sorted keys, two spaces, no NaN, a final newline."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Json:
    """Read a JSON object.

    Raises:
        InputError: the file is missing or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def write_parquet(path: Path, table: "pa.Table") -> None:
    """Write a Parquet file atomically (zstd). The same table gives the same bytes."""
    import pyarrow.parquet as pq

    with atomic(path) as partial:
        pq.write_table(table.replace_schema_metadata(None), partial, compression="zstd")


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_text(text: str) -> str:
    """Hexadecimal SHA-256 of a UTF-8 text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

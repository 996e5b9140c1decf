"""Checksums that vouch for a file, besides SHA-256: some files are cited by the name that git gives their content."""

import hashlib
from pathlib import Path


def git_blob_sha1(path: Path) -> str:
    """Hexadecimal SHA-1 of a file's content as git computes it for a blob: of a header with the size, and the bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as stream:
        hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()

"""Where your own files are on this machine, and what they hold.

The plan names a file by the SHA-256 of its content; requests and sidecars never hold its path. This list, which the
plan keeps under `results/plan/` and nothing else passes on, leads from the one to the other. It also saves hashing a
file again whose size and time have not changed.
"""

from functools import cache
from pathlib import Path
from typing import Any

from seqrepro.errors import InputError
from seqrepro.files import Json, read_json, sha256_file, write_json

LIST = Path("results/plan/local_files.json")


def content_sha256(path: Path) -> str:
    """SHA-256 of a file's content, from the list if the file is the one that was hashed before.

    Raises:
        InputError: no such file, or one that cannot be read; the message says where params.yaml names it.
    """
    try:
        facts = path.stat()
        if not path.is_file():
            raise InputError(f"params.yaml: datasets: path: {path}: found no regular file, expected one")
        return _listed(path.absolute(), facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise InputError(f"params.yaml: datasets: path: {path}: {_words(error)}; expected your file there") from None


def find(sha256: str, name: str) -> Path:
    """The file of this content and name, wherever it is.

    Raises:
        InputError: the plan knows of none.
    """
    for path, facts in _read().items():
        if facts["sha256"] == sha256 and Path(path).name == name:
            return Path(path)
    raise InputError(f"{LIST}: no file '{name}' with sha256 {sha256}; `seqrepro plan` looks at your files again")


@cache
def _listed(path: Path, size: int, mtime_ns: int) -> str:
    known = _read()
    facts = known.get(str(path), {})
    if (facts.get("size"), facts.get("mtime_ns")) == (size, mtime_ns):
        return str(facts["sha256"])
    digest = sha256_file(path)
    there = {name: facts for name, facts in known.items() if Path(name).is_file()}
    write_json(LIST, there | {str(path): {"size": size, "mtime_ns": mtime_ns, "sha256": digest}})
    return digest


def _read() -> dict[str, Json]:
    try:
        return read_json(LIST)
    except InputError:  # not there yet, or damaged: the files are hashed anew
        return {}


def _words(error: OSError) -> Any:
    return "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"

"""Sidecars: who made these files, from what, with which code and environment.

Every step leaves one `provenance.json` in its folder. It never holds a user name, a token or an absolute path.
"""

import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seqrepro.files import canonical_json, read_json, sha256_file, sha256_text, write_json
from seqrepro.provenance.fingerprint import LOCK
from seqrepro.request import Request

NAME = "provenance.json"
SCHEMA_VERSION = 1
SAME = ("schema_version", "request_sha256", "inputs", "outputs")  # a repetition that agrees in these adds nothing
Record = dict[str, Any]


def request_hash(request: Request) -> str:
    """Hexadecimal SHA-256 of a request's canonical JSON."""
    return sha256_text(canonical_json(request.as_json()))


def path_of(request: Request) -> Path:
    """Where the sidecar of a request stands."""
    return request.output / NAME


def read_sidecar(request: Request) -> Record | None:
    """The sidecar that a finished request left, or None. Raises InputError if it is no JSON object."""
    path = path_of(request)
    return read_json(path) if path.is_file() else None


def write_sidecar(request: Request, outputs: list[Path], started: datetime, before: Record | None = None) -> Path:
    """Record a finished step beside its results.

    Args:
        request: what was asked.
        outputs: the files that the step wrote.
        started: when it began (UTC).
        before: the record of an earlier time; it stays if the step was repeated and gave the same bytes.
    """
    record = _record(request, outputs, started)
    same = before is not None and all(before.get(key) == record[key] for key in SAME)
    write_json(path_of(request), before if same else record)
    return path_of(request)


def _record(request: Request, outputs: list[Path], started: datetime) -> Record:
    ended = datetime.now(UTC)
    return {
        "schema_version": SCHEMA_VERSION,
        "step": request.step,
        "request": request.as_json(),
        "request_sha256": request_hash(request),
        "inputs": hashes([name for name in request.inputs if Path(name).is_file()]),
        "outputs": hashes(outputs),
        "code": request.code,
        "git": git_state(),
        "environment": environment(request.parameters),
        "started": started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "seconds": round((ended - started).total_seconds(), 3),
        "exit": 0,
    }


def hashes(paths: Sequence[str | Path]) -> dict[str, str]:
    """SHA-256 of each file, by its path relative to the repository."""
    return {Path(path).as_posix(): sha256_file(Path(path)) for path in sorted(paths, key=str)}


def git_state() -> dict[str, Any]:
    """The commit, and whether tracked files differ from it; nulls outside a git checkout."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def environment(parameters: dict[str, Any]) -> dict[str, Any]:
    """What the numbers depend on besides code, data and parameters."""
    training = parameters.get("config", {}).get("training", {})
    return {
        "lock_sha256": sha256_file(LOCK) if LOCK.is_file() else None,
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "device": training.get("device", "cpu"),
        "threads": training.get("threads"),
        "precision": training.get("precision"),
        **_torch(),
    }


def _torch() -> dict[str, Any]:
    if (torch := sys.modules.get("torch")) is None:
        return {"torch": None, "cpu_capability": None}
    return {"torch": torch.__version__, "cpu_capability": torch.backends.cpu.get_cpu_capability()}


def _git(*arguments: str) -> str | None:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

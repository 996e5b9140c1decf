"""Versions of a suite's whole result, weights included: `pack` gathers them for DVC, `restore` puts them back.

A version is a folder `results/versions/<suite>/` with the same paths below it as the repository. What `restore` puts
back must be what this tree asks for: the same request (parameters and code), made from the inputs that are there.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrepro.config.requests import SuitePlan, state_of
from seqrepro.errors import InputError
from seqrepro.files import atomic, read_json, sha256_file, write_json
from seqrepro.provenance.manifest import ROOT
from seqrepro.provenance.sidecar import NAME, path_of, request_hash
from seqrepro.request import Request

VERSIONS = Path("results/versions")
CONTENTS = "CONTENTS.json"


def pack(plan: SuitePlan, extras: list[Path]) -> dict[str, str]:
    """Gather the results of a suite (hard links where the disk allows).

    Args:
        plan: the suite; all its jobs must be done.
        extras: files that no sidecar lists: the manifest, the receipts.

    Returns:
        SHA-256 of each file, by its path in the repository.

    Raises:
        InputError: a job is not done.
    """
    folder = VERSIONS / plan.suite
    files: dict[str, str] = {}
    for request in plan.requests.values():
        sidecar = path_of(request)
        if state_of(request) != "done":
            raise InputError(f"{sidecar}: {state_of(request)}; the suite is not finished")
        files[sidecar.as_posix()] = sha256_file(sidecar)
        files |= {name: digest for name, digest in read_json(sidecar)["outputs"].items() if _is_packed(name)}
    for path in extras:
        if not path.is_file():
            raise InputError(f"{path}: no such file; the suite is not finished")
        files[path.as_posix()] = sha256_file(path)
    for name, digest in files.items():
        if not Path(name).is_file() or sha256_file(Path(name)) != digest:
            raise InputError(f"{name}: missing, or not what its sidecar says; `seqrepro audit` says more")
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name in files:
        place(Path(name), folder / name)
    write_json(folder / CONTENTS, {"schema_version": 1, "suite": plan.suite, "files": files})
    return files


@dataclass(frozen=True)
class Restored:
    """What became of one job's results."""

    request: Request
    reason: str  # empty: restored

    @property
    def done(self) -> bool:
        """Whether the results are back."""
        return not self.reason


def restore(plan: SuitePlan, extras: list[Path]) -> list[Restored]:
    """Put back what matches this tree, in topological order, and remove stale results of the rest.

    Raises:
        InputError: there is no version of the suite.
    """
    folder = VERSIONS / plan.suite
    if not (folder / CONTENTS).is_file():
        raise InputError(f"{folder}: no version of suite '{plan.suite}' is there; `dvc pull` fetches it")
    accepted: dict[str, str] = {}
    results = []
    for request in plan.requests.values():
        record = _packed_record(folder, request)
        reason = _mismatch(request, record, folder, accepted)
        if reason:
            _remove_stale(request)
        else:
            accepted |= record["outputs"]
            if request.step != "retrieve":  # without its files it has not run; whoever needs them fetches them again
                _install(folder, [*record["outputs"], path_of(request).as_posix()])
        results.append(Restored(request, reason))
    if all(result.done for result in results):
        _install(folder, [path.as_posix() for path in extras if not _differs_from_the_committed(folder, path)])
    return results


def place(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`: a hard link, or a copy where links are refused; atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(target)
    partial.unlink(missing_ok=True)  # rename of two links to one file leaves both


def _is_packed(name: str) -> bool:
    """Raw files stay out: their owners' terms often forbid to pass them on. Their sidecar, with checksums, goes in."""
    return not name.startswith("data/raw/") or Path(name).name == NAME


def _differs_from_the_committed(folder: Path, path: Path) -> bool:
    """The root manifest comes from git; a version may confirm it but never replaces it."""
    return path == ROOT and path.is_file() and path.read_bytes() != (folder / path).read_bytes()


def _packed_record(folder: Path, request: Request) -> dict[str, Any]:
    try:
        return read_json(folder / path_of(request))
    except InputError:  # not there, or not a sidecar
        return {}


def _mismatch(request: Request, record: dict[str, Any], folder: Path, accepted: dict[str, str]) -> str:
    """Why a packed result is not what this tree asks for; empty if it is."""
    if not {"request", "request_sha256", "inputs", "outputs"} <= set(record):
        return "not in this version"
    if record["request_sha256"] != request_hash(request):
        old = record["request"]
        return "other parameters" if old["parameters"] != request.parameters else "other code"
    for name, digest in record["inputs"].items():
        there = accepted.get(name) or (sha256_file(Path(name)) if Path(name).is_file() else None)
        if there != digest:
            return f"made from another {name}"
    for name, digest in record["outputs"].items():
        if _is_packed(name) and (not (folder / name).is_file() or sha256_file(folder / name) != digest):
            return f"{name} is damaged"
    return ""


def _install(folder: Path, names: list[str]) -> None:
    for name in names:
        if (folder / name).is_file():
            with atomic(Path(name)) as partial:
                shutil.copyfile(folder / name, partial)


def _remove_stale(request: Request) -> None:
    sidecar = path_of(request)
    if not sidecar.is_file():
        return
    if state_of(request) == "changed":
        for path in [*map(Path, _outputs(sidecar)), sidecar]:
            path.unlink(missing_ok=True)


def _outputs(sidecar: Path) -> list[str]:
    try:
        return list(read_json(sidecar).get("outputs", {}))
    except InputError:  # not a sidecar at all
        return []

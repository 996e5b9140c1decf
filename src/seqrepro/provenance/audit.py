"""Audit: is every result what its sidecar says, is every sidecar what the manifest says, and does all of it fit?

The chain is root manifest -> sidecar -> artifact. To change a number unnoticed, somebody would have to edit the
artifact, its sidecar and the manifest, and the manifest is committed.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrepro.errors import InputError
from seqrepro.files import Json, canonical_json, read_json, sha256_file, sha256_text
from seqrepro.provenance.fingerprint import fingerprint
from seqrepro.provenance.sidecar import NAME
from seqrepro.request import Request

FAILING = ("changed", "missing", "inconsistent")
SIDECAR_FIELDS = {"request_sha256": str, "inputs": dict, "outputs": dict, "code": str, "git": dict}
MADE_BY_STEPS = re.compile(r"^(data|results)/")
KEPT_ELSEWHERE = re.compile(r"^data/|\.safetensors$|/(topk|ranks-[^/]+)\.parquet$|/log\.jsonl$")  # by DVC, not by git


@dataclass(frozen=True)
class Finding:
    """One check of one file.

    status: 'ok'; 'changed', 'missing' or 'inconsistent' (the audit fails); 'absent' (kept by DVC, not in this clone);
    'older code' (the tree has moved on since); 'not committed'; 'not listed'.
    """

    file: str
    check: str
    status: str
    detail: str = ""


def audit(manifests: list[Path], others: Sequence[Path] = ()) -> list[Finding]:
    """Check everything that the manifests list.

    Args:
        manifests: what is checked.
        others: further manifests, only read to know which runs belong to some suite.

    Raises:
        InputError: there is no manifest, or one that cannot be read.
    """
    if not manifests:
        raise InputError("results/MANIFEST.json: no such file; nothing to audit")
    listed: dict[str, str] = {}
    findings: list[Finding] = []
    for path in manifests:
        findings.append(_manifest_finding(path))
        for name, digest in listed_sidecars(path).items():
            if listed.setdefault(name, digest) != digest:
                findings.append(Finding(name, "manifest", "inconsistent", f"{path} lists another checksum"))
    sidecars = {name: record for name in listed if (record := _read_sidecar(Path(name)))}
    produced = {path: digest for record in sidecars.values() for path, digest in record["outputs"].items()}
    for name, digest in sorted(listed.items()):
        findings += _sidecar_findings(name, digest, sidecars.get(name), produced)
        findings += _orphans(name, sidecars.get(name), listed)
    known = {name for path in others for name in listed_sidecars(path)} | set(listed)
    return findings + list(_unlisted(known))


def failures(findings: list[Finding]) -> list[Finding]:
    """The findings that make an audit fail."""
    return [finding for finding in findings if finding.status in FAILING]


def _sidecar_findings(
    name: str, digest: str, record: dict[str, Any] | None, produced: dict[str, str]
) -> Iterator[Finding]:
    checked = _file_finding(name, digest, "sidecar")
    yield checked
    if record is None:
        if checked.status == "ok":
            yield Finding(name, "sidecar", "inconsistent", "not a sidecar")
        return
    for output, expected in sorted(record["outputs"].items()):
        yield _file_finding(output, expected, "artifact")
    yield from _input_findings(name, record, produced)
    yield from _request_findings(name, record)


def _file_finding(name: str, expected: str, check: str) -> Finding:
    path = Path(name)
    if not path.is_file():
        return Finding(name, check, "absent" if KEPT_ELSEWHERE.search(name) else "missing")
    found = sha256_file(path)
    if found != expected:
        return Finding(name, check, "changed", f"sha256 {found[:12]}, expected {expected[:12]}")
    return Finding(name, check, "ok")


def _input_findings(name: str, record: dict[str, Any], produced: dict[str, str]) -> Iterator[Finding]:
    """What a step read must be what the step before it wrote."""
    for path, digest in sorted(record["inputs"].items()):
        if path in produced and produced[path] != digest:
            yield Finding(name, "inputs", "inconsistent", f"was made from another {path}")
            return
    yield Finding(name, "inputs", "ok")


def _orphans(name: str, record: Json | None, listed: dict[str, str]) -> Iterator[Finding]:
    """Inputs made by a step whose sidecar no manifest lists: nothing vouches for them."""
    made = {Path(path).parent / NAME for path in (record or {"inputs": {}})["inputs"] if MADE_BY_STEPS.match(path)}
    for sidecar in sorted(path.as_posix() for path in made if path.as_posix() not in listed):
        yield Finding(name, "inputs", "inconsistent", f"no manifest lists {sidecar}")


def _request_findings(name: str, record: dict[str, Any]) -> Iterator[Finding]:
    request = record["request"]
    if sha256_text(canonical_json(request)) != record["request_sha256"]:
        yield Finding(name, "parameters", "inconsistent", "the request is not the one that was hashed")
    elif Path(request["folder"]) != Path(name).parent:
        yield Finding(name, "parameters", "inconsistent", f"belongs to {request['folder']}")
    elif (hash8 := _folder_hash(request)) and hash8 != _config_hash(request)[:8]:
        yield Finding(name, "parameters", "inconsistent", f"the folder says {hash8}, the parameters say otherwise")
    else:
        yield Finding(name, "parameters", "ok")
    if record["code"] != request["code"]:
        yield Finding(name, "code", "inconsistent", "two fingerprints in one sidecar")
    elif record["code"] == fingerprint((request["module"], *request["uses"])):
        yield Finding(name, "code", "ok")
    else:
        commit = (record["git"]["commit"] or "unknown")[:12]
        yield Finding(name, "code", "older code", f"made at commit {commit}; this tree's code differs")


def _folder_hash(request: dict[str, Any]) -> str | None:
    match = re.match(r"results/runs/[^/]+/[^/]+-([0-9a-f]{8})/", request["folder"] + "/")
    return match.group(1) if match else None


def _config_hash(request: dict[str, Any]) -> str:
    return sha256_text(canonical_json(request["parameters"]["config"]))


def _manifest_finding(path: Path) -> Finding:
    """Whether a manifest is the committed one (a suite's own manifest is not meant to be committed)."""
    command = ["git", "diff", "--quiet", "HEAD", "--", str(path)]
    tracked = subprocess.run(["git", "ls-files", "--error-unmatch", str(path)], capture_output=True, check=False)
    if tracked.returncode:
        return Finding(path.as_posix(), "manifest", "ok", "not under version control")
    same = subprocess.run(command, capture_output=True, check=False).returncode == 0
    return Finding(path.as_posix(), "manifest", "ok" if same else "not committed", "" if same else "differs from HEAD")


def _unlisted(known: set[str]) -> Iterator[Finding]:
    for path in sorted(Path("results/runs").rglob("provenance.json")):
        if path.as_posix() not in known:
            yield Finding(path.as_posix(), "manifest", "not listed", "no table of a listed suite uses it")


def listed_sidecars(path: Path) -> dict[str, str]:
    """Path and SHA-256 of each sidecar of a manifest. Raises InputError."""
    sidecars = read_json(path).get("sidecars")
    if not isinstance(sidecars, dict):
        raise InputError(f"{path}: not a manifest (expected an object under 'sidecars')")
    return sidecars


def _read_sidecar(path: Path) -> Json | None:
    """A sidecar, or None if it is not there or is not one."""
    try:
        record = read_json(path)
        Request(**record["request"])
    except (InputError, KeyError, TypeError):
        return None
    whole = all(isinstance(record.get(key), kind) for key, kind in SIDECAR_FIELDS.items())
    return record if whole else None

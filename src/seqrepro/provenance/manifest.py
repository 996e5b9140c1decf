"""The manifest: one file that lists the checksum of every sidecar, so that a sidecar cannot be edited unnoticed."""

from pathlib import Path

from seqrepro.config.requests import SuitePlan
from seqrepro.files import read_json, sha256_file, write_json
from seqrepro.provenance.sidecar import path_of

ROOT = Path("results/MANIFEST.json")


def manifest_path(suite: str, versioned: bool) -> Path:
    """A versioned suite stands in the committed root manifest, another one in its own."""
    return ROOT if versioned else Path(f"results/{suite}/MANIFEST.json")


def write_manifest(plan: SuitePlan, path: Path) -> int:
    """List the sidecars of a suite, beside those of other suites that stand there and still exist, as they stand there.

    Data may be absent from a clone; its lines stay.

    Returns:
        The number of sidecars listed.
    """
    before = read_json(path)["sidecars"] if path.is_file() else {}
    kept = {name: digest for name, digest in before.items() if Path(name).is_file() or name.startswith("data/")}
    wanted = (path_of(request) for request in plan.requests.values())
    sidecars = kept | {sidecar.as_posix(): sha256_file(sidecar) for sidecar in wanted if sidecar.is_file()}
    write_json(path, {"schema_version": 1, "sidecars": sidecars})
    return len(sidecars)


def manifests() -> list[Path]:
    """All manifests of the results folder, the root first."""
    return [path for path in (ROOT, *sorted(Path("results").glob("*/MANIFEST.json"))) if path.is_file()]

"""`seqrepro audit`: check manifest -> sidecars -> artifacts, parameters, code, selections; exit 1 if one is wrong."""

import csv
import io
from collections import Counter
from pathlib import Path

from seqrepro.commands.arguments import parser
from seqrepro.errors import CheckFailed
from seqrepro.files import write_text
from seqrepro.provenance.audit import Finding, audit, failures
from seqrepro.provenance.manifest import manifests
from seqrepro.provenance.selections import selection_findings


def main(words: list[str]) -> int:
    """Print what was checked and everything that is not in order.

    Raises:
        CheckFailed: an artifact, a sidecar or a request was changed, or is missing; the files are named.
    """
    arguments = parser("audit", __doc__ or "")
    arguments.add_argument("--manifest", type=Path, action="append", help="a manifest (default: all in results/)")
    arguments.add_argument("--csv", type=Path, help="also write every single check to this file")
    given = arguments.parse_args(words)
    checked = given.manifest or manifests()
    findings = audit(checked, others=manifests()) + selection_findings(checked)
    print(summary(findings))
    bad = failures(findings)
    if bad:
        raise CheckFailed("\n".join(f"{f.file}: {f.check} {f.status} {f.detail}".rstrip() for f in bad))
    if given.csv:
        write_text(given.csv, as_csv(findings))
    return 0


def summary(findings: list[Finding]) -> str:
    """Counts of each check and status, and a line for each finding that is not 'ok'."""
    counts = Counter((finding.check, finding.status) for finding in findings)
    table = [f"{check:12} {status:14} {number:6}" for (check, status), number in sorted(counts.items())]
    others = [f for f in findings if f.status != "ok"]
    lines = [f"  {f.status}: {f.file} {f.detail}".rstrip() for f in others if f.status != "absent"]
    return "\n".join([f"{'check':12} {'status':14} {'files':>6}", *table, *lines])


def as_csv(findings: list[Finding]) -> str:
    """All findings as CSV text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["file", "check", "status", "detail"])
    writer.writerows((f.file, f.check, f.status, f.detail) for f in findings)
    return stream.getvalue()

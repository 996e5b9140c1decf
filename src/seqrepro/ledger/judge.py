"""The judge step: a verdict for each claim of each paper, from rank files and tables.

`verdicts.json` has the claims with their parts, what each dataset says about them, and a hash of all that the verdict
rests on: the claim's text and the checksums of rank files and tables. `verdicts.csv` has a row a bound.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from seqrepro.files import Json, canonical_json, sha256_file, sha256_text, write_json
from seqrepro.ledger import tables
from seqrepro.ledger.bounds import Bound, detectable, seeds_needed
from seqrepro.ledger.claims import Claim, Claims, Tabulated, Untestable, read_claims
from seqrepro.ledger.evidence import Evidence, Row, collect, seed_folder
from seqrepro.ledger.verdicts import Find, Finding, adjusted, findings, verdict, whole
from seqrepro.request import Request

SUCCESS = {"known": "reproduced", "re-derived": "supported"}
ROWS = pa.schema(
    [
        *((name, tables.TEXT) for name in ("paper", "claim", "part", "kind", "dataset", "state", "test")),
        *((name, tables.REAL) for name in ("value", "low", "high", "p_holm", "detectable")),
        *((name, tables.WHOLE) for name in ("seeds", "seeds_needed", "users")),
        *((name, tables.TEXT) for name in ("missing", "verdict_of_part", "verdict_of_claim", "provenance")),
    ]
)


def run(request: Request) -> list[Path]:
    """Write the verdicts of a suite into the request's folder, and return the files.

    Parameters of the request: suite, runs. Inputs: rank files of runs, and the claims of papers.

    Raises:
        InputError: a file of claims, a rank file or a table is not what it must be.
    """
    evidence = collect(request.parameters["runs"])
    papers = [read_claims(Path(path)) for path in request.inputs if Path(path).name == "claims.yaml"]
    judged = [one for claims in papers for one in judge(claims, evidence, request.output.parent)]
    rows = tables.complete((row for claim in judged for row in _rows(claim)), ROWS)
    write_json(request.output / "verdicts.json", {"claims": judged})
    return [request.output / "verdicts.json", *tables.write_table(request.output / "verdicts", rows, ROWS)]


def judge(claims: Claims, evidence: list[Evidence], results: Path) -> list[Json]:
    """The claims of a paper with their verdicts, as JSON.

    Args:
        claims: of one paper.
        evidence: of all configurations of a suite.
        results: the suite's folder, where tables lie.
    """
    finders = {claim.protocol: _finder(evidence, claim.protocol) for claim in claims.claims}
    found = [
        [findings(part, finders[claim.protocol], claim.masking, results) for part in claim.parts]
        for claim in claims.claims
    ]
    for family in dict.fromkeys(claim.family for claim in claims.claims):
        own = [i for i, claim in enumerate(claims.claims) if claim.family == family]
        corrected = iter(adjusted([part for i in own for part in found[i]]))
        for i in own:
            found[i] = [next(corrected) for _ in found[i]]
    return [
        _judged(claims, claim, parts, _provenance(claim, evidence, results))
        for claim, parts in zip(claims.claims, found, strict=True)
    ]


def _finder(evidence: list[Evidence], protocol: str) -> Find:
    known = {
        (one.run["model"], one.run["dataset"]): one
        for one in reversed(evidence)
        if one.run["protocol_name"] == protocol and one.run["data_class"] != "generated"
    }
    return lambda model, dataset: known.get((model, dataset))


def _judged(claims: Claims, claim: Claim, found: list[list[Finding]], provenance: str) -> Json:
    success = SUCCESS[claim.basis]
    verdicts = [verdict(part, own, success) for part, own in zip(claim.parts, found, strict=True)]
    parts = [
        {
            "id": part.id,
            "kind": part.kind,
            "verdict": word,
            "deciding": part.deciding,
            "note": part.reason if isinstance(part, Untestable) else part.note,
            "findings": [_finding(finding) for finding in own],
        }
        for part, own, word in zip(claim.parts, found, verdicts, strict=True)
    ]
    told = claim.canonical()
    return {
        "paper": claims.paper,
        **{key: told[key] for key in ("id", "statement", "origin", "source", "basis", "family", "protocol", "masking")},
        "verdict": whole([word for part, word in zip(claim.parts, verdicts, strict=True) if part.deciding]),
        "parts": parts,
        "provenance": provenance,
    }


def _provenance(claim: Claim, evidence: list[Evidence], results: Path) -> str:
    """A hash of the claim, of the ranks of its models and of its tables."""
    ranks = [
        seed_folder(one.run, seed) / "ranks.parquet"
        for one in evidence
        if one.run["model"] in claim.models()
        for seed in one.seeds
    ]
    made = [results / part.table for part in claim.parts if isinstance(part, Tabulated)]
    read = {path.as_posix(): sha256_file(path) for path in [*ranks, *made] if path.is_file()}
    return sha256_text(canonical_json({"claim": claim.canonical(), "read": read}))


def _finding(finding: Finding) -> Json:
    told: dict[str, Any] = {"dataset": finding.dataset, "extension": not finding.counts, "state": finding.state}
    if finding.missing:
        return told | {"missing": finding.missing}
    if finding.rows:
        return told | {"rows": finding.rows[0], "rows_needed": finding.rows[1]}
    bounds = [_bound(bound, finding.seeds) for bound in finding.bounds]
    return told | {"seeds": finding.seeds, "users": finding.users, "bounds": bounds}


def _bound(bound: Bound, seeds: int) -> Json:
    estimate, is_open = bound.estimate, bound.state == "open"
    return {
        "test": bound.text,
        "state": bound.state,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "p_holm": bound.p,
        "detectable": detectable(estimate),
        "seeds_needed": seeds_needed(estimate, seeds) if is_open and seeds else None,
        "variance_of_users": estimate.users.variance,
        "variance_of_seeds": estimate.seeds.variance,
    }


def _rows(claim: Json) -> list[Row]:
    rows = []
    for part in claim["parts"]:
        for finding in part["findings"] or [{}]:
            for bound in finding.get("bounds") or [{}]:
                rows.append(
                    {**finding, **bound}
                    | {"paper": claim["paper"], "claim": claim["id"], "part": part["id"], "kind": part["kind"]}
                    | {"verdict_of_part": part["verdict"], "verdict_of_claim": claim["verdict"]}
                    | {"provenance": claim["provenance"]}
                )
    return rows

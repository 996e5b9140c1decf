"""The judge step: a verdict for each claim of each paper, from rank files, probes, tables and published numbers.

`verdicts.json` has the claims with their parts, what each dataset says about them, and a hash of all that the verdict
rests on: the claim's text, that of its gates, and the checksums of the files that were read; and the gates with what
each dataset says. `verdicts.csv` has a row a bound of a claim, and a row a printed number of a gate.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from seqrepro.files import Json, canonical_json, sha256_file, sha256_text, write_json
from seqrepro.ledger import tables
from seqrepro.ledger.bounds import Bound, detectable, seeds_needed
from seqrepro.ledger.claims import Claim, Claims, Gate, read_claims
from seqrepro.ledger.evidence import Row, collect, seed_folder
from seqrepro.ledger.gates import AtGate, as_json, at_gates, bars, verdict_of
from seqrepro.ledger.grounds import PUBLISHED, Grounds
from seqrepro.ledger.parts import AnyPart, OfPrinted, Probed, Scaling, Tabulated, Untestable
from seqrepro.ledger.published import read_published
from seqrepro.ledger.variations import VARIED
from seqrepro.ledger.verdicts import Finding, adjusted, findings, verdict, whole
from seqrepro.request import Request

SUCCESS = {"known": "reproduced", "re-derived": "supported", "control": "reproduced"}
OF_CONTROLS = {"reproduced": "passed", "not reproduced": "failed"}  # the other words are the same
Passages = dict[str, list[AtGate]]  # what each gate says about each of its datasets
FILES = ("claims.yaml", "controls.yaml")
ROWS = pa.schema(
    [
        *((name, tables.TEXT) for name in ("paper", "claim", "part", "kind", "dataset", "metric", "state", "test")),
        *(
            (name, tables.REAL)
            for name in ("value", "low", "high", "p_holm", "detectable", "variance_of_users", "variance_of_seeds")
        ),
        *((name, tables.WHOLE) for name in ("seeds", "seeds_needed", "users")),
        *((name, tables.TEXT) for name in ("missing", "reasons", "verdict_of_part", "verdict_of_claim", "provenance")),
    ]
)


def run(request: Request) -> list[Path]:
    """Write the verdicts of a suite into the request's folder, and return the files.

    Parameters of the request: suite, runs, probes (the file of each), datasets and rankings (as claims name them).
    Inputs: rank files of runs, files of probes, tables, published numbers, and the claims of papers.

    Raises:
        InputError: a file of claims, a rank file, a file of a probe, a table or a published number is not what it must
            be.
    """
    grounds = _grounds(request)
    papers = [read_claims(Path(path)) for path in request.inputs if Path(path).name in FILES]
    passages = [at_gates(claims, grounds) for claims in papers]
    both = list(zip(papers, passages, strict=True))
    gates = [one for claims, found in both for one in judge_gates(claims, grounds, found)]
    judged = [one for claims, found in both for one in judge(claims, grounds, found)]
    found_rows = [row for gate in gates for row in _rows_of_gate(gate)] + [row for one in judged for row in _rows(one)]
    rows = tables.complete(found_rows, ROWS)
    write_json(request.output / "verdicts.json", {"gates": gates, "claims": judged})
    return [request.output / "verdicts.json", *tables.write_table(request.output / "verdicts", rows, ROWS)]


def judge_gates(claims: Claims, grounds: Grounds, found: Passages) -> list[Json]:
    """The gates of a paper with their verdicts, as JSON; `found` is what each says."""
    return [
        {
            **{"paper": claims.paper, **gate.canonical()},
            "parts": [{"id": part.id, "model": part.model, "note": part.note} for part in gate.parts],
            "claims": [claim.id for claim in claims.claims if gate.id in claim.gates],
            "verdict": verdict_of(found[gate.id]),
            "datasets": [as_json(one) for one in found[gate.id]],
            "provenance": _provenance(gate, [], claims.paper, grounds),
        }
        for gate in claims.gates
    ]


def judge(claims: Claims, grounds: Grounds, gates: Passages) -> list[Json]:
    """The claims of a paper with their verdicts, as JSON; `gates` is what each of its gates says."""
    grounds = replace(grounds, of_controls=claims.are_controls)
    found = [_found(claim, claims.paper, grounds, bars(claim, gates)) for claim in claims.claims]
    for family in dict.fromkeys(claim.family for claim in claims.claims):
        own = [i for i, claim in enumerate(claims.claims) if claim.family == family]
        corrected = iter(adjusted([part for i in own for part in found[i]]))
        for i in own:
            found[i] = [next(corrected) for _ in found[i]]
    return [
        _judged(claims, claim, parts, _provenance(claim, _gates(claim, claims), claims.paper, grounds))
        for claim, parts in zip(claims.claims, found, strict=True)
    ]


def _found(claim: Claim, paper: str, grounds: Grounds, shut: dict[str, str]) -> list[list[Finding]]:
    return [findings(part, claim, paper, grounds, shut) for part in claim.parts]


def _gates(claim: Claim, claims: Claims) -> list[Gate]:
    return [gate for gate in claims.gates if gate.id in claim.gates]


def _grounds(request: Request) -> Grounds:
    wanted = request.parameters
    return Grounds(
        wanted["suite"],
        request.output.parent,
        collect(wanted["runs"]),
        frozenset(request.inputs),
        wanted["probes"],
        wanted["datasets"],
        wanted["rankings"],
        {path: read_published([Path(path)]) for path in request.inputs if Path(path).name == "published.csv"},
    )


def _judged(claims: Claims, claim: Claim, found: list[list[Finding]], provenance: str) -> Json:
    words = OF_CONTROLS if claims.are_controls else {}
    verdicts = [verdict(part, own, _success(part, claim)) for part, own in zip(claim.parts, found, strict=True)]
    parts = [
        {
            "id": part.id,
            "kind": part.kind,
            "verdict": words.get(word, word),
            "deciding": part.deciding,
            "note": part.reason if isinstance(part, Untestable) else part.note,
            "findings": [_finding(finding) for finding in own],
        }
        for part, own, word in zip(claim.parts, found, verdicts, strict=True)
    ]
    told = claim.canonical()
    decided = whole(claim.parts, verdicts)
    return {
        "paper": claims.paper,
        **{key: told[key] for key in ("id", "statement", "origin", "source", "basis", "family", "protocol", "masking")},
        "gates": claim.gates,
        **({"vouched": claim.vouched} if claims.are_controls else {}),
        "verdict": words.get(decided, decided),
        "parts": parts,
        "provenance": provenance,
    }


def _success(part: AnyPart, claim: Claim) -> str:
    """The word for a part that holds; one of printed numbers is tested only where protocol and number are known."""
    return SUCCESS["known" if isinstance(part, OfPrinted) else claim.basis]


def _provenance(claim: Claim | Gate, gates: list[Gate], paper: str, grounds: Grounds) -> str:
    """A hash of a claim and its gates, of ranks and measurements of their models, of tables and of what is printed."""
    told: Json = {"claim": claim.canonical()} | ({"gates": [gate.canonical() for gate in gates]} if gates else {})
    read = {path: digest for one in (claim, *gates) for path, digest in _read(one, paper, grounds).items()}
    return sha256_text(canonical_json(told | {"read": read}))


def _read(claim: Claim | Gate, paper: str, grounds: Grounds) -> dict[str, str]:
    """The checksums of all that a claim or a gate is judged by."""
    models, probes = claim.models(), {part.probe for part in claim.parts if isinstance(part, Probed)}
    own = [one for one in grounds.evidence if any(model in models for model, _ in one.run["names"])]
    ranks = [seed_folder(one.run, seed) / "ranks.parquet" for one in own for seed in one.seeds]
    measured = [path for one in own for probe in sorted(probes) for path in grounds.measurement_files(one, probe)]
    made = [grounds.table(part.table) for part in claim.parts if isinstance(part, Tabulated)]
    made += [grounds.table(VARIED) for part in claim.parts if isinstance(part, Scaling)]
    printed = [Path(PUBLISHED.format(paper=paper)) for part in claim.parts if isinstance(part, OfPrinted)]
    paths = (path for path in [*ranks, *measured, *made, *printed] if path.as_posix() in grounds.inputs)
    return {path.as_posix(): sha256_file(path) for path in paths if path.is_file()}


def _finding(finding: Finding) -> Json:
    told: dict[str, Any] = {"dataset": finding.dataset, "extension": not finding.counts, "state": finding.state}
    if finding.metric:
        told |= {"metric": finding.metric, "printed": [number.as_json() for number in finding.printed]}
    if finding.barred:
        return told | {"reasons": finding.barred}
    if finding.missing:
        return told | {"missing": finding.missing}
    if finding.rows:
        return told | {"rows": finding.rows[0], "rows_needed": finding.rows[1]}
    if finding.ours:
        told |= {"ours": {name: getattr(finding.ours, name) for name in ("value", "low", "high")}}
    if finding.gain:
        told |= {"gain": dict(zip(("value", "low", "high"), finding.gain, strict=True))}
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


def _rows_of_gate(gate: Json) -> list[Row]:
    """A row a printed number: our value over it, less 1, with its interval."""
    common = {"paper": gate["paper"], "claim": gate["id"], "kind": "gate", "provenance": gate["provenance"]}
    rows = []
    for one in gate["datasets"]:
        place = {key: one.get(key) for key in ("dataset", "missing", "reasons")}
        for value in one["values"] or [{}]:
            told = {name: value.get(f"relative_{name}") for name in ("value", "low", "high")}
            told |= {"state": value.get("interval"), "part": value.get("part"), "metric": value.get("metric")}
            told |= {"seeds": value.get("seeds"), "users": value.get("users"), "test": _test(value)}
            words = {"verdict_of_part": one["verdict"], "verdict_of_claim": gate["verdict"]}
            rows.append(common | place | told | words)
    return rows


def _test(value: Json) -> str | None:
    return f"{value['metric']} of {value['model']} over {value['printed']['value']:.4g}, less 1" if value else None


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

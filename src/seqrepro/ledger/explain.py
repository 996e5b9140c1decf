"""A verdict in words: what was compared, with which runs, what came out, and why that is the verdict."""

from math import sqrt

from seqrepro.files import Json

STATES = {"holds": "holds", "fails": "fails", "open": "is open", "missing": "not tested"}
WHY = {
    "reproduced": "every test that it needs holds",
    "supported": "every test that it needs holds; the paper's protocol or its numbers are not known to us",
    "not reproduced": "it fails where it must hold",
    "inconclusive": "an interval includes what it must not, which is no evidence against it",
    "passed": "every test that it needs holds",
    "failed": "it fails where it must hold",
    "not comparable": "nothing that could be run decides it, or no number is printed of what was run",
    "not tested": "runs are missing",
}
BASIS = {
    "known": "protocol and value are published",
    "re-derived": "re-derived: protocol or value is not known to us",
    "control": "generated data, whose truth is known",
}


def explain(claim: Json) -> list[str]:
    """The lines that explain a claim of `verdicts.json`."""
    return [
        f"{claim['paper']}/{claim['id']}: {claim['statement']}",
        f"Source: {claim['source']} ({BASIS[claim['basis']]}).",
        *reasons(claim),
    ]


def explain_gate(gate: Json) -> list[str]:
    """The lines that explain a gate of `verdicts.json`."""
    return [
        f"{gate['paper']}/{gate['id']}: {gate['statement']}",
        f"Source: {gate['source']}.",
        f"Verdict: {gate['verdict']}.",
        *(f"  {part['note']}" for part in gate["parts"] if part["note"]),
        *(f"  {line}" for one in gate["datasets"] for line in _at_gate(one)),
        f"Claims that rest on it: {', '.join(gate['claims']) or 'none'}",
        f"Rests on: {gate['provenance']}",
    ]


def _at_gate(told: Json) -> list[str]:
    """What a gate says about one dataset."""
    why = told.get("missing") or told.get("reasons") or ""
    if told["verdict"] == "failed":
        why = f"explained: {told['explained']['text']}" if told["explained"] else "unexplained"
    head = f"{told['dataset']}: {told['verdict']}" + (f", {why}" if why else "")
    return [head, *(f"  {_reached(value)}" for value in told["values"])]


def _reached(value: Json) -> str:
    deviation, *ends = (_percent(value[f"relative_{name}"]) for name in ("value", "low", "high"))
    printed = f"printed {value['printed']['value']:.4g} ({value['printed']['reported_by']})"
    ours = f"ours {value['value']:.4f} ({value['seeds']} seeds, {value['users']:,} users)"
    margin = f"margin {100 * value['margin']:.0f} %, interval {value['interval']}"
    return f"{value['metric']}: {printed}, {ours}: {deviation}, interval [{', '.join(ends)}]; {margin}"


def reasons(claim: Json) -> list[str]:
    """The lines that say why the verdict is what it is, and what it rests on."""
    lines = [f"Verdict: {claim['verdict']}: {WHY[claim['verdict']]}."]
    for part in claim["parts"]:
        lines.append(
            f"- {part['id']} ({part['kind'].replace('_', ' ')}): {part['verdict']}"
            + ("" if part["deciding"] else ", no part of the claim's verdict")
        )
        lines += [f"  {part['note']}"] if part["note"] else []
        lines += [f"  {line}" for finding in part["findings"] for line in of_finding(finding)]
    return [*lines, f"Rests on: {claim['provenance']}"]


def of_finding(finding: Json) -> list[str]:
    """What one dataset or table says, line by line."""
    metric = f", {finding['metric']}" if "metric" in finding else ""
    place = finding["dataset"] + metric + (" (extension)" if finding["extension"] else "")
    if "reasons" in finding:
        return [f"{place}: not comparable: {finding['reasons']}"]
    if "missing" in finding:
        return [f"{place}: not tested, {finding['missing']}"]
    if "rows" in finding:
        return [
            f"{place}: {STATES[finding['state']]}, {finding['rows']} rows satisfy it, {finding['rows_needed']} must"
        ]
    counted = [(finding["seeds"], "seeds"), (finding["users"], "users")]
    extent = ", ".join(f"{number:,} {what}" for number, what in counted if number)
    head = f"{place}: {STATES[finding['state']]}" + (f" ({extent})" if extent else "")
    bounds = [f"  {of_bound(bound)}" for bound in finding["bounds"]]
    return [head, *(f"  {line}" for line in of_printed(finding)), *bounds]


def of_printed(finding: Json) -> list[str]:
    """The printed numbers that a finding is held against, and our own gain."""
    show = _percent if "gain" in finding else "{:.4g}".format
    told = [
        f"printed: {show(one['value'])} ({one['table']}; {one['reported_by']}; {one['source_class']})"
        for one in finding.get("printed", [])
    ]
    if len(told) > 1:
        told.append("These reports disagree: it holds or fails only if it does against each of them.")
    if "gain" in finding:
        low, high = (_percent(finding["gain"][end]) for end in ("low", "high"))
        told.append(f"our gain: {_percent(finding['gain']['value'])}, interval [{low}, {high}]")
    return told


def _percent(share: float | None) -> str:
    return "without end" if share is None else f"{100 * share:+.2f} %"


def of_bound(bound: Json) -> str:
    """One test: its value, interval and p value; if it is open, what would be needed."""
    text = f"{bound['test']} = {bound['value']:+.4f}, interval [{bound['low']:+.4f}, {bound['high']:+.4f}]"
    by_users, by_seeds = (sqrt(bound[f"variance_of_{part}"]) for part in ("users", "seeds"))
    text += f", standard error {by_users:.4f} by users and {by_seeds:.4f} by seeds"
    if bound["p_holm"] is not None:
        text += f", p {bound['p_holm']:.3g} (Holm)"
    text += f": {STATES[bound['state']]}"
    if bound["state"] != "open":
        return text
    needed = f"{bound['seeds_needed']} seeds would decide it" if bound["seeds_needed"] else "more seeds would not help"
    return f"{text}; {needed} if the value stayed; detectable with a power of 80 %: {bound['detectable']:.4f}"

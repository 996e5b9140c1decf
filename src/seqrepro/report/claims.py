"""What the pages show of the claims: each with its look, the words that explain it, its effects and its runs."""

from dataclasses import dataclass
from pathlib import Path

from seqrepro.files import Json, read_json
from seqrepro.ledger.claims import Claim
from seqrepro.ledger.explain import STATES, reasons
from seqrepro.ledger.parts import AnyPart, Probed, Tabulated
from seqrepro.report.effects import draw_effects, place_of


@dataclass(frozen=True)
class Look:
    """How a verdict is shown: by a sign, a pattern and a colour (of the style sheet), and in words."""

    sign: str
    pattern: str
    meaning: str
    of: str = ""  # "paper" or "control": whose verdict it is, if not of both; a page counts the words of those it shows


LOOKS = {
    "reproduced": Look(
        "\N{HEAVY CHECK MARK}", "solid", "It holds, by the paper's own protocol and printed values.", "paper"
    ),
    "supported": Look(
        "\N{CHECK MARK}",
        "striped",
        "It holds in our re-derivation; the paper's protocol or its numbers are not known to us.",
        "paper",
    ),
    "not reproduced": Look("\N{MULTIPLICATION X}", "crossed", "It fails where it must hold.", "paper"),
    "inconclusive": Look(
        "?", "dotted", "An interval includes what it must not. That is no evidence against the claim."
    ),
    "not comparable": Look(
        "\N{NOT EQUAL TO}", "lined", "Nothing that could be run decides it, or our runs differ in what it speaks of."
    ),
    "not tested": Look("\N{EN DASH}", "empty", "Its runs or tables are not planned in this suite, or not done."),
    "passed": Look("\N{CHECK MARK}", "solid", "Every bound of the control holds.", "control"),
    "failed": Look("\N{MULTIPLICATION X}", "crossed", "A bound of the control does not hold.", "control"),
}
OF_THE_LOSS = ("sharpness", "landscape", "trajectory")  # kinds of probes that look at the surface of the training loss
TITLES = {  # also the order of the papers' pages; other sets of claims come after them
    "samrec": "SAMRec",
    "hydrarec": "HydraRec",
    "tim4rec": "TiM4Rec",
    "performance_law": "Performance Law",
    "controls": "Controls",
}


def look(verdict: str) -> Look:
    """How a verdict is shown; an unknown one by its word alone."""
    return LOOKS.get(verdict, Look("", "empty", ""))


def title_of(paper: str) -> str:
    """The short title of a paper, or of another set of claims."""
    return TITLES.get(paper, paper.replace("_", " ").capitalize())


def order(paper: str) -> tuple[int, str]:
    """What papers are sorted by."""
    return [*TITLES, paper].index(paper), paper


def count(claims: list[Json]) -> dict[str, int]:
    """How many claims have each verdict: all words of the kinds of verdict that occur, in the order of `LOOKS`."""
    found = [claim["verdict"] for claim in claims]
    kinds = {look(word).of for word in found} - {""} or {"paper"}
    words = [word for word, one in LOOKS.items() if one.of in {"", *kinds}]
    return {word: found.count(word) for word in dict.fromkeys([*words, *found])}


def read_judged(wanted: Json, kind: str = "claims") -> dict[str, dict[str, Json]]:
    """{paper: {id: claim}} of `verdicts.json`, or its gates; nothing if the file is not there, or has none."""
    path = Path(wanted["verdicts"])
    judged: dict[str, dict[str, Json]] = {}
    for one in read_json(path).get(kind, []) if path.is_file() else []:
        judged.setdefault(one["paper"], {})[one["id"]] = one
    return judged


def show(judged: Json, claim: Claim, wanted: Json) -> Json:
    """A judged claim with all that the pages say of it.

    Args:
        judged: an entry of `verdicts.json`.
        claim: the same claim in the registry.
        wanted: the parameters of the report.
    """
    registered = {part.id: part for part in claim.parts}
    parts = [_part(part, registered.get(part["id"]), claim, wanted) for part in judged["parts"]]
    runs = {run["folder"]: run for part in parts for test in part["tests"] for run in test["runs"]}
    margins = {part.id: part.share for part in claim.parts if part.kind == "size" and hasattr(part, "share")}
    return judged | {
        "href": f"{judged['paper']}.html#{judged['id']}",
        "title": title_of(judged["paper"]),
        "why": reasons(judged),
        "words": " ".join([judged["source"], judged["family"], *(f"{part['id']} {part['note']}" for part in parts)]),
        "parts": parts,
        "tests": sum(len(part["tests"]) for part in parts),
        "effects": draw_effects(Path(wanted["figures"]), judged, margins),
        "runs": list(runs.values()),
        "tables": [part.table for part in claim.parts if isinstance(part, Tabulated)],
        "surfaces": _of_surfaces(claim, wanted),
    }


def _of_surfaces(claim: Claim, wanted: Json) -> list[str]:
    """The datasets on which a claim is about the surface of the training loss."""
    kinds = wanted["probes"]
    parts = [part for part in claim.parts if isinstance(part, Probed) and kinds.get(part.probe) in OF_THE_LOSS]
    return list(dict.fromkeys(name for part in parts for name in part.datasets))


def _part(judged: Json, part: AnyPart | None, claim: Claim, wanted: Json) -> Json:
    models = claim.model_copy(update={"parts": [part]}).models() if part else []
    lacking: dict[str, dict[str, list[str]]] = {"missing": {}, "reasons": {}}  # why there is no test: the places
    tests: list[Json] = []
    for finding in judged["findings"]:
        why = next((key for key in lacking if key in finding), None)
        if why:
            lacking[why].setdefault(finding[why], []).append(place_of(finding))
        else:
            tests += _tests(finding, runs_of(models, finding["dataset"], claim.protocol, wanted), wanted)
    return judged | lacking | {"tests": tests}


def _tests(finding: Json, runs: list[Json], wanted: Json) -> list[Json]:
    """A row a bound; one row for what a table says."""
    place = {"place": place_of(finding), "extension": finding["extension"], "runs": runs}
    place |= {key: finding.get(key) for key in ("seeds", "users", "gain", "printed")}
    if "rows" in finding:
        folder = (Path(wanted["verdicts"]).parent.parent / finding["dataset"]).parent.as_posix()
        said = {"rows": finding["rows"], "rows_needed": finding["rows_needed"], "folder": folder}
        return [place | said | {"outcome": _outcome(finding)}]
    return [place | bound | {"outcome": _outcome(bound)} for bound in finding.get("bounds", [])]


def _outcome(told: Json) -> str:
    state: str = told["state"]
    return STATES.get(state, state)


def runs_of(models: list[str], dataset: str, protocol: str, wanted: Json) -> list[Json]:
    """The runs of some models on a dataset, in the order of the models; a run may have several names."""
    own = [run for run in wanted["runs"] if run["dataset"] == dataset]
    known = {tuple(name): run for run in reversed(own) for name in wanted["names"][run["folder"]]}
    return [known[model, protocol] for model in models if (model, protocol) in known]

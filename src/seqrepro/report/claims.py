"""What the page shows of the claims: how many have which verdict, and each claim with the words that explain it."""

from dataclasses import dataclass
from pathlib import Path

from seqrepro.files import Json, read_json
from seqrepro.ledger.explain import reasons

SIGNS = {
    "reproduced": "\N{HEAVY CHECK MARK}",
    "supported": "\N{CHECK MARK}",
    "not reproduced": "\N{MULTIPLICATION X}",
    "inconclusive": "?",
    "not comparable": "\N{NOT EQUAL TO}",
    "not tested": "\N{EN DASH}",
}
TITLES = {
    "samrec": "SAMRec",
    "hydrarec": "HydraRec",
    "tim4rec": "TiM4Rec",
    "performance_law": "Performance Law",
}


@dataclass(frozen=True)
class Shown:
    """The claims of all papers as the page shows them."""

    counts: dict[str, int]  # by verdict
    papers: dict[str, list[Json]]  # the claims of each paper, by its title


def read_shown(path: Path) -> Shown:
    """The claims of `verdicts.json`; none if the file is not there."""
    claims = read_json(path)["claims"] if path.is_file() else []
    counts = {word: sum(claim["verdict"] == word for claim in claims) for word in SIGNS}
    papers: dict[str, list[Json]] = {}
    for claim in claims:
        shown = claim | {"sign": SIGNS[claim["verdict"]], "why": reasons(claim)}
        papers.setdefault(TITLES[claim["paper"]], []).append(shown)
    return Shown(counts, papers)

"""A paper's page: its claims with their tests, its published numbers, our deviations, and the runs behind it."""

from pathlib import Path
from typing import Any

from seqrepro.files import Json
from seqrepro.ledger import tables
from seqrepro.report.claims import count
from seqrepro.report.papers import Paper
from seqrepro.report.sections import SURFACE, Section
from seqrepro.report.suite import Suite


def page(suite: Suite, paper: Paper) -> dict[str, Any]:
    """The words of `<paper>.html`."""
    own = [row for row in suite.rows["published"] if row["paper"] == paper.name]
    results = Path(suite.wanted["verdicts"]).parent.parent
    tables_read = {table for claim in paper.claims for table in claim["tables"]}
    read = {(results / table).as_posix() for table in tables_read}
    return {
        "template": "paper.html.j2",
        "paper": paper,
        "counts": count(paper.claims),
        "missing": _missing(paper.claims),
        "beside": tables.places(own, suite.wanted["datasets"], suite.wanted["runs"]),
        "sections": [_shown(section, paper) for section in suite.sections if paper.name in section["papers"]],
        "fits": suite.fits if any(table.startswith("laws/") for table in tables_read) else [],
        "extras": [extra for extra in suite.extras if extra.path in read and extra.lines],
        "runs": _runs(suite, paper),
    }


def _shown(section: Section, paper: Paper) -> Section:
    """A section with the figures that this page shows: of the training loss some, and only if a claim is about it."""
    about = section["surface"] and any(section["runs"][0]["dataset"] in claim["surfaces"] for claim in paper.claims)
    figures = [drawn for group, own in section["drawn"].items() if group not in SURFACE for drawn in own]
    figures += section["drawn"]["curvature"] if about else []
    return section | {"figures": figures, "surface": section["surface"] if about else ""}


def _missing(claims: list[Json]) -> dict[str, list[str]]:
    """Why parts could not be tested, and the claims that wait for it."""
    waiting: dict[str, list[str]] = {}
    for claim in claims:
        for reason in dict.fromkeys(_reason(part, reason) for part in claim["parts"] for reason in part["missing"]):
            waiting.setdefault(reason, []).append(claim["id"])
    return waiting


def _reason(part: Json, reason: str) -> str:
    """Why a part could not be tested; the table that it is about is named, the datasets are not."""
    place = part["missing"][reason][0]
    return f"{place}: {reason}" if part["kind"] == "tabulated" and place not in reason else reason


def _runs(suite: Suite, paper: Paper) -> list[Json]:
    """The runs that its claims rest on, and those of its experiments that none rests on yet."""
    claims: dict[str, list[str]] = {run["folder"]: [] for run in suite.wanted["runs"] if paper.name in run["papers"]}
    for claim in paper.claims:
        for run in claim["runs"]:
            claims.setdefault(run["folder"], []).append(claim["id"])
    done = [row["folder"] for row in suite.rows["runs"] if row["state"] == "done"]
    shown = [run for run in suite.wanted["runs"] if run["folder"] in claims]
    return [run | {"claims": claims[run["folder"]], "done": done.count(run["folder"])} for run in shown]

"""The front page: all claims of all papers, and what the suite is."""

from typing import Any

from seqrepro.report.claims import count
from seqrepro.report.suite import Suite


def page(suite: Suite) -> dict[str, Any]:
    """The words of `index.html`."""
    counts = count(suite.claims)
    return {
        "template": "front.html.j2",
        "counts": counts,
        "by_paper": {paper.name: count(paper.claims) for paper in suite.papers},
    }

"""The page of results: tables and figures, dataset by dataset."""

from typing import Any

from seqrepro.report.suite import Suite


def page(suite: Suite) -> dict[str, Any]:
    """The words of `results.html`."""
    return {"template": "results.html.j2"}

"""The page of runs: a record behind each number."""

from typing import Any

from seqrepro.report.cells import RunRecord
from seqrepro.report.suite import Suite


def page(suite: Suite) -> dict[str, Any]:
    """The words of `runs.html`."""
    by_dataset: dict[str, list[RunRecord]] = {name: [] for name in suite.wanted["datasets"]}
    for record in suite.records:
        by_dataset[record.run["dataset"]].append(record)
    return {"template": "runs.html.j2", "by_dataset": by_dataset}

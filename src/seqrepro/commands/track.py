"""`seqrepro track`: bring MLflow in step with the run folders."""

from pathlib import Path

from seqrepro.commands.arguments import parser
from seqrepro.files import write_json
from seqrepro.tracking import Tracked, receipt, shown, store_uri, track


def main(words: list[str]) -> int:
    """Compare the store with the run folders, log what is new or changed, remove what is gone."""
    arguments = parser("track", __doc__ or "")
    arguments.add_argument("--receipt", type=Path, metavar="FILE", help="write the list of tracked runs there (JSON)")
    arguments.add_argument("--runs", type=Path, metavar="FOLDER", default=Path("results/runs"), help="(%(default)s)")
    arguments.add_argument("--uri", help="the MLflow store (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)")
    given = arguments.parse_args(words)
    uri = store_uri(given.uri)
    tracked = track(given.runs, uri)
    if given.receipt:
        write_json(given.receipt, receipt(tracked, uri))
    print(f"{_summary(tracked)} -> {shown(uri)}")
    return 0


def _summary(tracked: Tracked) -> str:
    counts = [f"{tracked.new} new", f"{tracked.unchanged} unchanged", f"{tracked.removed} removed"]
    if tracked.changed:
        counts.insert(1, f"{tracked.changed} changed")
    if tracked.incomplete:
        counts.append(f"{tracked.incomplete} incomplete and left out")
    return f"tracked {len(tracked.runs)} runs: {', '.join(counts)}"

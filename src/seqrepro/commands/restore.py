"""`seqrepro restore`: after `dvc pull`, put back every result that is what this tree asks for."""

from collections import Counter

from seqrepro.commands.arguments import add_suite, load_plan, parser
from seqrepro.config.requests import write_requests
from seqrepro.provenance.versions import restore
from seqrepro.workflow import Workflow


def main(words: list[str]) -> int:
    """Restore a suite and say what did not match, and why."""
    arguments = parser("restore", __doc__ or "")
    add_suite(arguments)
    parameters, plan = load_plan(arguments.parse_args(words).suite)
    write_requests(plan)
    results = restore(plan, Workflow(parameters, plan).extras)
    for result in results:
        if not result.done:
            print(f"will run again: {result.request.step} {result.request.folder} ({result.reason})")
    counts = Counter("restored" if result.done else "will run again" for result in results)
    print(", ".join(f"{number} jobs {what}" for what, number in counts.items()))
    return 0

"""`seqrepro pack`: gather a suite's whole result in results/versions/<suite>, for `dvc push`."""

import sys

from seqrepro.commands.arguments import add_suite, load_plan, parser
from seqrepro.provenance.versions import pack
from seqrepro.workflow import Workflow


def main(words: list[str]) -> int:
    """Pack a finished suite."""
    arguments = parser("pack", __doc__ or "")
    add_suite(arguments)
    parameters, plan = load_plan(arguments.parse_args(words).suite)
    files = pack(plan, Workflow(parameters, plan).extras)
    print(f"results/versions/{plan.suite}: {len(files)} files", file=sys.stderr)
    return 0

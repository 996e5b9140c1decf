"""`seqrepro manifest`: list the sidecars of a suite with their checksums."""

import sys

from seqrepro.commands.arguments import add_suite, load_plan, parser
from seqrepro.provenance.manifest import manifest_path, write_manifest


def main(words: list[str]) -> int:
    """Write the manifest that the suite stands in."""
    arguments = parser("manifest", __doc__ or "")
    add_suite(arguments)
    parameters, plan = load_plan(arguments.parse_args(words).suite)
    path = manifest_path(plan.suite, parameters.suites[plan.suite].versioned)
    print(f"{path}: {write_manifest(plan, path)} sidecars", file=sys.stderr)
    return 0

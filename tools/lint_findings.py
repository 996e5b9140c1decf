"""Read the output of `snakemake --lint`, and fail if it says more than that rules have no conda environment.

One environment for all rules is a decision (docs/adr/0008-environment.md), and the linter has no switch for it.
"""

import re
import sys

ACCEPTED = "Specify a conda environment or container for each rule."


def findings(text: str) -> list[str]:
    """All findings but the accepted one."""
    return [line for line in re.findall(r"^    \* (.*?):?$", text, re.MULTILINE) if ACCEPTED not in line]


if __name__ == "__main__":
    text = sys.stdin.read()
    if "Lints for" not in text:
        sys.exit(f"snakemake --lint said something else:\n{text}")
    found = findings(text)
    print(f"snakemake --lint: {len(found)} findings besides the missing conda directive")
    sys.exit("\n".join(found) or 0)

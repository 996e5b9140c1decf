"""`seqrepro verdict`: explain the verdict of one claim in words."""

from pathlib import Path

from seqrepro.commands.arguments import add_suite, claim_of, parser
from seqrepro.config.load import load_parameters
from seqrepro.errors import InputError
from seqrepro.files import read_json
from seqrepro.ledger.explain import explain


def main(words: list[str]) -> int:
    """Print what was compared, with which runs, what came out, and why that is the verdict."""
    arguments = parser("verdict", __doc__ or "")
    arguments.add_argument("claim", metavar="PAPER/CLAIM", nargs="?", help="such as samrec/C3")
    add_suite(arguments)
    given = arguments.parse_args(words)
    if given.claim is None:
        arguments.error("a claim is missing (`seqrepro claims list` prints them)")
    suite = given.suite or load_parameters().suite
    path = Path(f"results/{suite}/verdicts/verdicts.json")
    if not path.is_file():
        raise InputError(f"{path}: no such file; `seqrepro judge --suite {suite}` makes it")
    known = {f"{claim['paper']}/{claim['id']}": claim for claim in read_json(path)["claims"]}
    print("\n".join(explain(claim_of(known, given.claim, "verdict"))))
    return 0

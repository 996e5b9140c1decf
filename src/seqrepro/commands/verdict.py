"""`seqrepro verdict`: explain the verdict of one claim or gate in words."""

from pathlib import Path

from seqrepro.commands.arguments import add_suite, claim_of, parser
from seqrepro.config.load import load_parameters
from seqrepro.errors import InputError
from seqrepro.files import read_json
from seqrepro.ledger.explain import explain, explain_gate


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
    judged = read_json(path)
    found = [(explain, one) for one in judged["claims"]] + [(explain_gate, one) for one in judged.get("gates", [])]
    known = {f"{one['paper']}/{one['id']}": (tell, one) for tell, one in found}
    tell, one = claim_of(known, given.claim, "verdict")
    print("\n".join(tell(one)))
    return 0

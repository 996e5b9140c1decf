"""`seqrepro claims`: `list` the gates and claims of all papers, or `show` one."""

import json

from seqrepro.commands.arguments import Parser, claim_of, parser
from seqrepro.ledger.claims import all_claims


def main(words: list[str]) -> int:
    """Print a line a gate or claim, or one as it is written."""
    arguments = parser("claims", __doc__ or "")
    verbs = arguments.add_subparsers(dest="action", metavar="list | show", parser_class=Parser)
    verbs.add_parser("list", help="a line a gate or claim")
    shown = verbs.add_parser("show", help="one gate or claim, with its parts")
    shown.add_argument("claim", metavar="PAPER/CLAIM", help="such as samrec/C3")
    given = arguments.parse_args(words)
    if given.action is None:
        arguments.error("an action is missing, list or show")
    known = {f"{claims.paper}/{one.id}": one for claims in all_claims() for one in claims.statements}
    if given.action == "list":
        for name, claim in known.items():
            kinds = ", ".join(part.kind.replace("_", " ") for part in claim.parts)
            print(f"{name:20} {claim.statement} [{kinds}]")
    else:
        print(json.dumps(claim_of(known, given.claim, "claims").canonical(), indent=2, ensure_ascii=False))
    return 0

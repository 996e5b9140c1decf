"""`seqrepro controls`: `list` the controls, simulate their `power` again, or `check` what a suite made of them."""

from collections.abc import Iterator
from pathlib import Path

from seqrepro.commands.arguments import Parser, add_suite, parser
from seqrepro.config.load import load_parameters
from seqrepro.errors import CheckFailed, InputError
from seqrepro.files import read_json, write_text
from seqrepro.ledger.claims import CONTROLS, Claims, read_claims
from seqrepro.ledger.parts import AnyPart, Gain, Measured

ACTIONS = {
    "list": "a line a control",
    "power": "simulate gaps, margins and power from the laws of the data, and compare them with what is stated",
    "check": "a line a control; exit 1 if one that we vouch for has not passed",
}


def main(words: list[str]) -> int:
    """List the controls, simulate their power, or check a suite."""
    arguments = parser("controls", __doc__ or "")
    verbs = arguments.add_subparsers(dest="action", metavar=" | ".join(ACTIONS), parser_class=Parser)
    added = {name: verbs.add_parser(name, help=text) for name, text in ACTIONS.items()}
    add_suite(added["check"])
    added["check"].add_argument("--receipt", type=Path, metavar="FILE", help="write the lines there if all is well")
    given = arguments.parse_args(words)
    if given.action is None:
        arguments.error(f"an action is missing, {', '.join(ACTIONS)}")
    if given.action == "check":
        check(given.suite or load_parameters().suite, given.receipt)
    else:
        {"list": list_all, "power": power}[given.action](read_claims(CONTROLS))
    return 0


def list_all(controls: Claims) -> None:
    """Print a line a control."""
    for control in controls.claims:
        kinds = ", ".join(_side(part) if isinstance(part, Gain) else part.kind for part in control.parts)
        print(f"{control.id:4} {_whose(control.vouched):9} {control.statement} [{kinds}]")


def power(controls: Claims) -> None:
    """Print what is stated beside what a simulation finds.

    Raises:
        CheckFailed: something stated is not what was found.
    """
    print(f"{'control':22} {'margin':>9} {'true gap':>17} {'share of scale':>17} {'power':>17}   (stated | found)")
    wrong = [*_gains_off(controls), *_ratios_off(controls)]
    if wrong:
        raise CheckFailed(f"{CONTROLS}: {', '.join(wrong)}: stated is not what the simulation finds")


def check(suite: str, receipt: Path | None) -> None:
    """Print a line a control with its verdict.

    Raises:
        InputError: the suite has no verdicts, or no controls.
        CheckFailed: a control of our own has not passed.
    """
    path = Path(f"results/{suite}/verdicts/verdicts.json")
    if not path.is_file():
        raise InputError(f"{path}: no such file; `seqrepro judge --suite {suite}` makes it")
    found = [claim for claim in read_json(path)["claims"] if claim["paper"] == "controls"]
    if not found:
        raise InputError(f"{path}: no control in it; expected a suite with `claims: [controls]`")
    lines = [f"{one['id']:4} {_whose(one['vouched']):9} {one['verdict']:12} {one['statement']}" for one in found]
    print("\n".join(lines))
    if failing := [f"{one['id']} ({one['verdict']})" for one in found if one["vouched"] and one["verdict"] != "passed"]:
        raise CheckFailed(f"{len(failing)} of {len(found)} controls: {', '.join(failing)}; expected 'passed'")
    if receipt:
        write_text(receipt, "".join(f"{line}\n" for line in lines))


def _gains_off(controls: Claims) -> Iterator[str]:
    """The gains of which something stated is not what the law of the data gives; prints each."""
    from seqrepro.ledger.power import agrees, simulate

    parameters = load_parameters()
    for name, part in _parts(controls):
        if isinstance(part, Gain):
            found, stated = simulate(part, parameters), part.power
            pairs = ((stated.gap, found.gap), (stated.share, found.share), (stated.power, found.power))
            columns = "  ".join(f"{told:7.4f} | {value:7.4f}" for told, value in pairs)
            print(f"{name:22} {_side(part):>9}  {columns}")
            if not agrees(part, found):
                yield name


def _ratios_off(controls: Claims) -> Iterator[str]:
    """The measured ratios whose power is not what a simulation gives; prints each."""
    from seqrepro.ledger.ratio_power import agrees, simulate_ratio, tests_of

    families = {claim.id: claim.family for claim in controls.claims}
    for name, part in _parts(controls):
        if isinstance(part, Measured) and part.power:
            found = simulate_ratio(part, tests_of(families[name.split("/")[0]], controls))
            assumed = f"true ratio {part.power.ratio:g}, sd {part.power.seed_sd:g} of its logarithm"
            print(f"{name:22} {f'x {part.factor:g}':>9}  {assumed:>36}  {part.power.power:7.4f} | {found.power:7.4f}")
            if not agrees(part.power, found):
                yield name


def _parts(controls: Claims) -> list[tuple[str, AnyPart]]:
    return [(f"{claim.id}/{part.id}", part) for claim in controls.claims for part in claim.parts]


def _side(part: Gain) -> str:
    return f"> {part.above:g}" if part.above is not None else f"< {part.below:g}"


def _whose(vouched: bool) -> str:
    return "ours" if vouched else "published"

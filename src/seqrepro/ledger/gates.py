"""Gates: do our own runs of a baseline reach what others printed of it, before claims that rest on it are judged?

With a printed value v, our mean m over users and seeds, its 95 % interval [a, b], and the margin c of the gate's part:

    deviation   m / v - 1, with the interval [a / v - 1, b / v - 1]
    passed      |m / v - 1| <= c for each metric that is printed, and each printed number where reports disagree
    failed      else
    interval    inside the margin, outside, or undecided: reported, and decides nothing

The mean decides. A gate asks whether we run the baseline that others ran, and the printed number has a spread of its
own that nobody printed; the interval says how firm the answer is. A dataset without enough seeds is 'not tested'; one
for which nothing that compares is printed is 'not comparable', and there the gate has nothing to say.

A claim that names a gate has no finding on a dataset on which that gate is failed or not tested. An explanation in the
registry opens a failed gate for the claims; the gate stays failed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from seqrepro.files import Json
from seqrepro.ledger.claims import Claim, Claims, Explanation, Gate
from seqrepro.ledger.grounds import Grounds
from seqrepro.ledger.parts import Level
from seqrepro.ledger.printed import Number
from seqrepro.ledger.statistics import Estimate
from seqrepro.ledger.verdicts import BARRED, Finding, findings

PASSED, FAILED, MISSING = "passed", "failed", "not tested"
WORST_FIRST = (FAILED, MISSING, PASSED, BARRED)
INTERVAL = {"holds": "inside", "fails": "outside", "open": "undecided"}  # by the verdict of the same test of a level


@dataclass(frozen=True)
class Reached:
    """Our mean beside one printed number."""

    part: Level
    finding: Finding
    place: int  # of the number among those that are printed

    @property
    def printed(self) -> Number:
        """The printed number."""
        return self.finding.printed[self.place]

    @property
    def ours(self) -> Estimate:
        """Our mean."""
        assert self.finding.ours is not None
        return self.finding.ours

    @property
    def passed(self) -> bool:
        """Whether our mean lies within the margin."""
        return abs(self.relative(self.ours.value)) <= self.part.margin

    @property
    def interval(self) -> str:
        """Whether our interval lies inside the margin, outside, or is undecided."""
        states = {bound.state for bound in self.finding.bounds if bound.number == self.place}
        return INTERVAL["fails" if "fails" in states else "open" if "open" in states else "holds"]

    def relative(self, value: float) -> float:
        """A value of ours over the printed one, less 1."""
        return value / self.printed.value - 1

    def __str__(self) -> str:
        deviation = f"{100 * self.relative(self.ours.value):+.1f} %"
        return f"{self.finding.metric} {_short(self.ours.value)} against {_short(self.printed.value)}, {deviation}"


@dataclass(frozen=True)
class AtGate:
    """What a gate says about one dataset."""

    gate: str
    dataset: str
    reached: list[Reached] = field(default_factory=list)
    missing: str = ""  # why there is no test, though there could be one
    barred: str = ""  # why nothing printed compares
    explained: Explanation | None = None

    @property
    def verdict(self) -> str:
        """passed, failed, not tested or not comparable."""
        if self.missing:
            return MISSING
        if not self.reached:
            return BARRED
        return PASSED if all(one.passed for one in self.reached) else FAILED

    @property
    def bar(self) -> str:
        """Why the dataset decides no claim that rests on the gate; nothing if it may."""
        if self.verdict == MISSING:
            return f"gate {self.gate} is not tested on {self.dataset}: {self.missing}"
        if self.verdict == FAILED and self.explained is None:
            return f"gate {self.gate} failed on {self.dataset}, unexplained: {'; '.join(map(str, self.reached))}"
        return ""


def at_gates(claims: Claims, grounds: Grounds) -> dict[str, list[AtGate]]:
    """What each gate of a paper says about each of its datasets."""
    return {gate.id: _at_gate(gate, claims.paper, grounds) for gate in claims.gates}


def bars(claim: Claim, found: dict[str, list[AtGate]]) -> dict[str, str]:
    """The datasets that decide nothing about a claim because of its gates, and why."""
    told: dict[str, list[str]] = {}
    for one in (one for name in claim.gates for one in found[name] if one.bar):
        told.setdefault(one.dataset, []).append(one.bar)
    return {dataset: "; ".join(reasons) for dataset, reasons in told.items()}


def verdict_of(found: Iterable[AtGate]) -> str:
    """The verdict of a gate on all its datasets: the first of WORST_FIRST that occurs."""
    words = {one.verdict for one in found}
    return next(word for word in WORST_FIRST if word in words)


def as_json(one: AtGate) -> Json:
    """What a gate says about a dataset, for `verdicts.json`."""
    told: Json = {"dataset": one.dataset, "verdict": one.verdict}
    told |= {key: text for key, text in (("missing", one.missing), ("reasons", one.barred)) if text}
    if one.verdict == FAILED:
        told["explained"] = one.explained and one.explained.canonical()
    return told | {"values": [_value(reached) for reached in one.reached]}


def _at_gate(gate: Gate, paper: str, grounds: Grounds) -> list[AtGate]:
    found = [(part, finding) for part in gate.parts for finding in findings(part, gate, paper, grounds)]
    names = dict.fromkeys(finding.dataset for _, finding in found)
    return [_on_dataset(gate, name, [pair for pair in found if pair[1].dataset == name]) for name in names]


def _on_dataset(gate: Gate, dataset: str, found: Sequence[tuple[Level, Finding]]) -> AtGate:
    return AtGate(
        gate.id,
        dataset,
        [Reached(part, one, place) for part, one in found if one.ours for place in range(len(one.printed))],
        "; ".join(dict.fromkeys(one.missing for _, one in found if one.missing)),
        "; ".join(dict.fromkeys(one.barred for _, one in found if one.barred)),
        gate.explained.get(dataset),
    )


def _value(one: Reached) -> Json:
    ours = {"value": one.ours.value, "low": one.ours.low, "high": one.ours.high}
    return {
        **{"part": one.part.id, "model": one.part.model, "metric": one.finding.metric, "margin": one.part.margin},
        **ours,
        **{f"relative_{name}": one.relative(number) for name, number in ours.items()},
        **{"seeds": one.finding.seeds, "users": one.finding.users},
        **{"printed": one.printed.as_json(), "passed": one.passed, "interval": one.interval},
    }


def _short(value: float) -> str:
    """0.0605 as tables print it: .0605"""
    return f"{value:.4f}".replace("0.", ".", 1)

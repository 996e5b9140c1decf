"""How often the judge errs: each kind of statement at the border of being true, with 3, 5 and 10 seeds.

Each repetition goes through the whole judge, Holm's correction included. A test's nominal error is that of bounds.py:
one-sided 2.5 % for a 95 % interval and 5 % for a 90 % one. Observed rates may exceed it by three standard errors of so
many repetitions. A test that never errs would have no power, so with many repetitions each must err now and then.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from seqrepro.ledger import judge
from seqrepro.ledger.claims import Claims
from seqrepro.ledger.evidence import Evidence
from seqrepro.ledger.grounds import PUBLISHED, Grounds
from seqrepro.ledger.published import Published, read_protocol
from seqrepro.ledger.statistics import Sample

USERS, MEAN = 300, 0.1
FEW, MANY = 120, 1500  # repetitions
SEEDS = (3, 5, 10)
PLACE = {"dataset": "beauty", "data_class": "primary", "folder": "none"}
COMPARED = {"datasets": ["beauty"], "metric": "ndcg@10", "against": ["base"]}
FAMILY = ("same-1", "same-2", "same-3", "same-4")
GAIN = 0.2  # as printed; the margin of a size is half of it
TRUTH = {  # means over that of the baseline
    **{"base": 1.0, **dict.fromkeys(FAMILY, 1.0), "less": 0.95, "more": 1.05},
    **{"gains half": 1 + GAIN / 2, "gains half more": 1 + 3 * GAIN / 2},
}
OF_PRINTED = {"datasets": ["beauty"], "metrics": ["ndcg@10"]}
SIZE = {"kind": "size", "against": "base", "printed": {"model": "New", "against": "Old"}, **OF_PRINTED}
LEVEL = {"kind": "level", "printed": {"model": "Old"}, **OF_PRINTED}
PARTS = {  # each is at the border of what it states
    **{name: {"kind": "superiority", "model": name, **COMPARED} for name in FAMILY},
    "not worse": {"kind": "non_inferiority", "model": "less", **COMPARED},
    "equal, from below": {"kind": "equivalence", "model": "less", **COMPARED},
    "equal, from above": {"kind": "equivalence", "model": "more", **COMPARED},
    "size, from below": {"model": "gains half", **SIZE},
    "size, from above": {"model": "gains half more", **SIZE},
    "level, from below": {"model": "less", **LEVEL},
    "level, from above": {"model": "more", **LEVEL},
}
NOMINAL = {"superiority": 0.025, "non_inferiority": 0.05, "equivalence": 0.05, "size": 0.025, "level": 0.025}


@dataclass(frozen=True)
class Simulated(Evidence):
    """Evidence without files."""

    drawn: Sample

    def sample(self, *_, **__):
        return self.drawn

    def split(self, name, *_):
        return [self.drawn.gains_US]


def claims():
    told = {"statement": "It is so.", "origin": "paper", "source": "abstract", "basis": "known"}
    made = [
        told
        | {"id": f"C{number}", "family": "superior" if name in FAMILY else f"family-{number}"}
        | {"parts": [{"id": "only", **part}]}
        for number, (name, part) in enumerate(PARTS.items())
    ]
    return Claims.model_validate({"paper": "samrec", "title": "SAMRec", "reference": "none", "claims": made})


def evidence(generator, seeds):
    shared_U1 = generator.normal(0, 0.02, (USERS, 1))
    for model, ratio in TRUTH.items():
        noise_US = generator.normal(0, 0.02, (USERS, seeds)) + generator.normal(0, 0.001, seeds)
        own_U1 = generator.normal(0, 0.015, (USERS, 1))
        yield Simulated(
            PLACE | {"names": [[model, "leave-one-out"]], "seeds": list(range(seeds))},
            list(range(seeds)),
            [{"stopped": "patience"}] * seeds,
            [],
            Sample(ratio * MEAN + shared_U1 + own_U1 + noise_US),
        )


def printed():
    protocol = "leave-one-out, full ranking, history masked"
    common = {
        "dataset": "beauty",
        "variant": "ours",
        "protocol": protocol,
        "source_class": "primary",
        "paper": "samrec",
    }
    common |= {"table": "Table 2", "reported_by": "authors", "source": "the paper"}
    rows = [common | {"model": "Old"}, common | {"model": "New"}]
    values = (MEAN, MEAN * (1 + GAIN))
    return [Published(row, "ndcg@10", value, read_protocol(protocol)) for row, value in zip(rows, values, strict=True)]


def grounds(generator, seeds):
    described = {"family": "beauty", "variant": "ours", "published_variants": ["ours"], "comparable": True}
    return Grounds(
        suite="standard",
        results=Path("none"),
        evidence=list(evidence(generator, seeds)),
        datasets={"beauty": described | {"caveat": None}},
        rankings={"leave-one-out": {"masked": "leave-one-out, full ranking, history masked"}},
        published={PUBLISHED.format(paper="samrec"): printed()},
    )


@dataclass(frozen=True)
class Counted:
    """How often each statement got each verdict, and 'family' how often any of the family was confirmed."""

    times: Counter
    repetitions: int

    def is_rare(self, what, nominal):
        most = self.repetitions * nominal + 3 * np.sqrt(self.repetitions * nominal * (1 - nominal))
        return (self.repetitions < MANY or self.times[what] > 0) and self.times[what] <= most


CASES = [pytest.param((seeds, FEW), id=f"{seeds} seeds") for seeds in SEEDS] + [
    pytest.param((seeds, MANY), id=f"{seeds} seeds, often", marks=pytest.mark.slow) for seeds in SEEDS
]


@pytest.fixture(scope="module", params=CASES)
def verdicts(request):
    seeds, repetitions = request.param
    generator, wanted, times = np.random.default_rng(seeds), claims(), Counter()
    with pytest.MonkeyPatch.context() as patch:
        for slow in ("detectable", "seeds_needed"):  # and decide nothing
            patch.setattr(judge, slow, lambda *_: 0)
        for _ in range(repetitions):
            judged = judge.judge(wanted, grounds(generator, seeds), {})
            found = dict(zip(PARTS, (claim["verdict"] for claim in judged), strict=True))
            times.update(found.items())
            times["family"] += any(found[name] == "reproduced" for name in FAMILY)
    return Counted(times, repetitions)


@pytest.mark.parametrize("name", [name for name in PARTS if name not in FAMILY])
@pytest.mark.parametrize("verdict", ["reproduced", "not reproduced"])
def test_at_its_border_a_statement_is_seldom_confirmed_or_refuted(verdicts, name, verdict):
    assert verdicts.is_rare((name, verdict), NOMINAL[PARTS[name]["kind"]])


def test_without_a_difference_a_family_seldom_has_any_superiority(verdicts):
    assert verdicts.is_rare("family", NOMINAL["superiority"])


def test_without_a_difference_each_is_seldom_refuted(verdicts):
    for name in FAMILY:
        assert verdicts.is_rare((name, "not reproduced"), NOMINAL["superiority"])

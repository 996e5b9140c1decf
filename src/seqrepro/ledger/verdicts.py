"""From claims and what a suite has done to verdicts: what each dataset says about a part, and what follows for it.

reproduced, supported   the statement holds on as many datasets as it needs (supported: protocol or value not published)
not reproduced          it fails on so many that it cannot hold on as many as it needs
inconclusive            neither: an interval includes what it must not
not comparable          nothing that could be run decides it: no number is printed, or not of our data and protocol
not tested              runs are missing: not planned in this suite, or not done

A dataset that is not comparable does not count where another one is.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from types import MappingProxyType
from typing import Any

import pandas as pd

from seqrepro.errors import InputError
from seqrepro.ledger.bounds import BOUNDS, Bound, gain_by_fieller, of_level, of_size
from seqrepro.ledger.claims import Statement
from seqrepro.ledger.evidence import Evidence
from seqrepro.ledger.grounds import PUBLISHED, Grounds
from seqrepro.ledger.measured import Runs, bounds_of_growth, bounds_of_measured, unfit
from seqrepro.ledger.measurements import Measurement
from seqrepro.ledger.parts import AnyPart, Compared, Growth, Measured, OfPrinted, Probed, Scaling, Size, Tabulated
from seqrepro.ledger.printed import Number, Printed, none_printed, printed_for
from seqrepro.ledger.published import read_protocol
from seqrepro.ledger.statistics import Estimate, Sample, holm, mean
from seqrepro.ledger.variations import KEYS, VARIED

SPLIT = "test"
WORST_FIRST = ("not reproduced", "inconclusive", "not tested", "not comparable", "supported", "reproduced")
BARRED = "not comparable"
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Finding:
    """What one dataset (of a part with printed numbers: one metric on it) says about a part."""

    dataset: str
    counts: bool  # False: an extension, reported and no part of the verdict
    bounds: list[Bound] = field(default_factory=list)
    seeds: int = 0  # of the model with the fewest; 0 if all are closed forms
    users: int = 0
    missing: str = ""  # why there is no test, though there could be one
    barred: str = ""  # why nothing that could be run decides it
    rows: tuple[int, int] | None = None  # of a table: how many satisfy the statement, and how many must
    metric: str = ""  # of printed numbers
    printed: list[Number] = field(default_factory=list)
    gain: tuple[float, float | None, float | None] | None = None  # ours, with its 95 % interval
    ours: Estimate | None = None  # our mean, where it is held against a printed value

    @property
    def state(self) -> str:
        """holds, fails, open, missing, or not comparable."""
        if self.barred:
            return BARRED
        if self.missing:
            return "missing"
        if self.rows:
            return "holds" if self.rows[0] >= self.rows[1] else "fails"
        numbers = {bound.number for bound in self.bounds}
        states = {_worst({one.state for one in self.bounds if one.number == number}) for number in numbers}
        return _worst(states) if len(states) < 2 else "open"  # printed numbers that disagree, and it matters


def findings(
    part: AnyPart, claim: Statement, paper: str, grounds: Grounds, bars: Mapping[str, str] = NOTHING
) -> list[Finding]:
    """What each dataset, or a table, says about a part; p values are not adjusted yet.

    Args:
        part: of the claim, or of the gate.
        claim: says under which protocol and masking.
        paper: whose printed numbers count.
        grounds: what the suite has done.
        bars: datasets that decide nothing, and why; a finding on one is not comparable, unless its runs are missing.

    Raises:
        InputError: a table or a file of a probe has not the columns that it must have.
    """
    if isinstance(part, Tabulated):
        return [_of_table(part, grounds, bars)]
    if isinstance(part, OfPrinted):
        found = [one for name in part.datasets for one in _of_printed(part, name, claim, paper, grounds)]
    elif isinstance(part, Scaling):
        found = [_of_variation(part, name, claim, grounds) for name in part.datasets]
    elif isinstance(part, Probed):
        found = [_of_probe(part, name, claim, grounds) for name in part.datasets]
    else:
        found = [_of_ranks(part, name, counts, claim, grounds) for name, counts in _datasets(part)]
    return [_behind(one, bars) for one in found]


def adjusted(found: list[list[Finding]]) -> list[list[Finding]]:
    """The findings of a family of parts with their p values adjusted together (Holm)."""
    wanting = [bound for part in found for finding in part for bound in finding.bounds if bound.needs_p]
    values = iter(holm([bound.estimate.p for bound in wanting]))
    return [
        [
            replace(finding, bounds=[replace(b, p=next(values)) if b.needs_p else b for b in finding.bounds])
            for finding in part
        ]
        for part in found
    ]


def verdict(part: AnyPart, found: list[Finding], success: str) -> str:
    """The verdict of a part from its findings; `success` is the word for a statement that holds."""
    states = [finding.state for finding in found if finding.counts and finding.state != BARRED]
    if not states:
        return BARRED
    enough = len(states) // 2 + 1 if isinstance(part, Compared) and part.needed == "most" else len(states)
    if states.count("holds") >= enough:
        return success
    if states.count("fails") > len(states) - enough:
        return "not reproduced"
    return "not tested" if "missing" in states else "inconclusive"


def whole(parts: list[AnyPart], verdicts: list[str]) -> str:
    """The verdict of a claim from those of its deciding parts: the first of WORST_FIRST that occurs.

    A part of printed numbers that compare with nothing does not count where another part decides.
    """
    deciding = [(part, word) for part, word in zip(parts, verdicts, strict=True) if part.deciding]
    counted = [word for part, word in deciding if not (isinstance(part, OfPrinted) and word == BARRED)]
    return next(word for word in WORST_FIRST if word in (counted or [BARRED]))


def _behind(finding: Finding, bars: Mapping[str, str]) -> Finding:
    """A finding, unless a gate bars its dataset."""
    if finding.dataset not in bars or finding.missing or finding.barred:
        return finding
    return Finding(finding.dataset, finding.counts, barred=bars[finding.dataset], metric=finding.metric)


def _worst(states: set[str]) -> str:
    return "fails" if "fails" in states else "open" if "open" in states else "holds"


def _of_table(part: Tabulated, grounds: Grounds, bars: Mapping[str, str]) -> Finding:
    path = grounds.table(part.table)
    if path.as_posix() not in grounds.inputs:
        return Finding(part.table, True, missing=f"it is not planned in suite {grounds.suite}")
    if not path.is_file():
        return Finding(part.table, True, missing="it is planned and has not been made")
    rows = pd.read_csv(path)
    limits = [limit for limit in (part.below, part.above) if isinstance(limit, str)]
    if lacking := [name for name in [part.column, *part.where, *limits] if name not in rows]:
        raise InputError(f"{path}: no column '{lacking[0]}', expected one of {', '.join(map(str, rows.columns))}")
    for column, told in part.where.items():
        values, present = [told] if isinstance(told, str) else told, rows[column].astype(str)
        if absent := [value for value in values if value not in set(present)]:
            return Finding(part.table, True, missing=f"it has no row where {column} is {absent[0]}")
        rows = rows[present.isin(values)]
    rows = _deciding(rows, grounds.of_controls)
    if rows.empty:
        return Finding(part.table, True, missing="it has no row")
    if "dataset" in rows:
        shut, rows = [name for name in bars if name in set(rows.dataset)], rows[~rows.dataset.isin(bars)]
        if rows.empty:
            return Finding(part.table, True, barred="; ".join(bars[name] for name in shut))
    return Finding(part.table, True, rows=(int(_satisfied(part, rows).sum()), ceil(part.share * len(rows))))


def _deciding(rows: pd.DataFrame, of_controls: bool) -> pd.DataFrame:
    """The rows of a table that may decide: real data for claims and generated ones for controls, and no single seed."""
    if "data_class" in rows:
        rows = rows[(rows.data_class == "generated") == of_controls]
    return rows[rows.seeds != 1] if "seeds" in rows else rows


def _satisfied(part: Tabulated, rows: pd.DataFrame) -> pd.Series:
    """Which rows satisfy the bound; one without a number does not."""
    low, high = part.between or (part.above, part.below)
    column, satisfied = rows[part.column], rows[part.column].notna()
    if low is not None:
        satisfied &= column > (rows[low] if isinstance(low, str) else low)
    if high is not None:
        satisfied &= column < (rows[high] if isinstance(high, str) else high)
    return satisfied


def _datasets(part: Any) -> Iterator[tuple[str, bool]]:
    yield from ((name, True) for name in getattr(part, "datasets", []))
    yield from ((name, False) for name in getattr(part, "extensions", []))


def _of_ranks(part: Any, dataset: str, counts: bool, claim: Statement, grounds: Grounds) -> Finding:
    found = _runs(part, dataset, claim, grounds)
    if isinstance(found, str):
        return Finding(dataset, counts, missing=found)
    gains = _gains(found, claim.masking)
    return Finding(dataset, counts, list(BOUNDS[part.kind](part, dataset, gains)), *_extent(found))


def _of_printed(part: Any, dataset: str, claim: Statement, paper: str, grounds: Grounds) -> list[Finding]:
    """A finding for each metric that is printed and tested, and one for all metrics of which the same is to be said."""
    if dataset not in grounds.datasets or claim.protocol not in grounds.rankings:
        return [Finding(dataset, True, missing=f"params.yaml does not have {dataset} or {claim.protocol} yet")]
    path, described = PUBLISHED.format(paper=paper), grounds.datasets[dataset]
    ours = read_protocol(grounds.rankings[claim.protocol][claim.masking])
    found = printed_for(part, described, ours, grounds.published.get(path, []))
    if not found:
        return [Finding(dataset, True, barred=none_printed(part, described["family"], path))]
    reasons = dict.fromkeys("; ".join(printed.reasons) for printed in found if printed.reasons)
    barred = [Finding(dataset, True, barred=why, metric=_metrics(found, why)) for why in reasons]
    runs, clear = _runs(part, dataset, claim, grounds), [printed for printed in found if not printed.reasons]
    if isinstance(runs, str):
        return [*barred, *([Finding(dataset, True, missing=runs, metric=_metrics(clear, ""))] if clear else [])]
    return [*barred, *(_against_printed(part, dataset, printed, runs, claim.masking) for printed in clear)]


def _metrics(found: list[Printed], reasons: str) -> str:
    """The metrics of which these are the reasons."""
    return ", ".join(printed.metric for printed in found if "; ".join(printed.reasons) == reasons)


def _against_printed(part: Any, dataset: str, printed: Printed, runs: dict[str, Evidence], masking: str) -> Finding:
    gains, test = _gains(runs, masking), of_size if isinstance(part, Size) else of_level
    bounds = [
        replace(bound, number=place)
        for place, number in enumerate(printed.numbers)
        for bound in test(part, printed.metric, number.value, gains)
    ]
    seeds, users = _extent(runs)
    found = Finding(dataset, True, bounds, seeds, users, metric=printed.metric, printed=printed.numbers)
    if isinstance(part, Size):
        return replace(found, gain=_own_gain(part, printed.metric, gains))
    return replace(found, ours=mean(gains(part.model, printed.metric)))


def _own_gain(part: Size, metric: str, gains: Callable[[str, str], Sample]) -> Any:
    ours, theirs = gains(part.model, metric), gains(part.against, metric)
    return gain_by_fieller(ours, theirs) if theirs.gains_US.any() else None


def _of_probe(part: Measured | Growth, dataset: str, claim: Statement, grounds: Grounds) -> Finding:
    found = _runs(part, dataset, claim, grounds)
    if isinstance(found, str):
        return Finding(dataset, True, missing=found)
    runs = {}
    for model, one in found.items():
        rows = grounds.measured(one, part.probe, lambda row: _is_meant(part, row))
        if problem := _too_few(part, model, one, rows, grounds):
            return Finding(dataset, True, missing=problem)
        runs[model] = Runs(rows, one.deterministic)
    if problem := unfit(part, runs):
        return Finding(dataset, True, barred=problem)
    bounds = bounds_of_growth(part, runs) if isinstance(part, Growth) else bounds_of_measured(part, runs)
    seeds = min((len(own.rows) for own in runs.values() if not own.deterministic), default=0)
    return Finding(dataset, True, list(bounds), seeds)


def _of_variation(part: Scaling, dataset: str, claim: Statement, grounds: Grounds) -> Finding:
    path = grounds.table(VARIED)
    if path.as_posix() not in grounds.inputs:
        return Finding(dataset, True, missing=f"no variation is planned in suite {grounds.suite}")
    rows = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=[*KEYS, "seed", "measure", "value"])
    meant = {"dataset": dataset, "protocol_name": claim.protocol, "variation": part.variation, "measure": part.measure}
    for column, value in meant.items():
        rows = rows[rows[column] == value]
    rows = rows[(rows.data_class == "generated") == grounds.of_controls]
    rows = rows[rows.model.isin(part.needed_models()) & (rows["at"] > 0)]
    whole = rows["at"].nunique()
    runs = {model: _by_seed(rows[rows.model == model], whole) for model in part.needed_models()}
    for model, own in runs.items():
        if not own.rows:
            return Finding(dataset, True, missing=f"no seed of {model} has {part.measure} for all of {part.variation}")
        if problem := _few_seeds(part, f"{model} with all of {part.variation}", len(own.rows), part.seeds):
            return Finding(dataset, True, missing=problem)
    if problem := unfit(part, runs):
        return Finding(dataset, True, barred=problem)
    return Finding(dataset, True, list(bounds_of_growth(part, runs)), min(len(own.rows) for own in runs.values()))


def _by_seed(rows: pd.DataFrame, whole: int) -> Runs:
    """A list a seed that has so many values of what is varied, which are all that any seed of any model has."""
    own = [seed.sort_values("at") for _, seed in rows.groupby("seed") if seed["at"].nunique() == whole]
    columns = ["measure", "at", "value"]
    return Runs([list(itertools.starmap(Measurement, seed[columns].itertuples(index=False))) for seed in own])


def _is_meant(part: Measured | Growth, row: Measurement) -> bool:
    if isinstance(part, Growth):
        return row.measure == f"{part.measure} over {part.over}" and bool(row.at and row.at > 0)
    return row.measure == part.measure and row.at is None


def _too_few(part: Probed, model: str, one: Evidence, rows: list[list[Measurement]], grounds: Grounds) -> str:
    """What is missing of a probe on a model; nothing if all is there."""
    planned = len(grounds.measurement_files(one, part.probe))
    if not planned:
        return f"the probe {part.probe} of {model} is not planned in suite {grounds.suite}"
    if not rows:
        return f"the probe {part.probe} of {model} is planned and has not run"
    if not all(rows):
        return f"the probe {part.probe} of {model} has no such measure"
    return "" if one.deterministic else _few_seeds(part, f"the probe {part.probe} of {model}", len(rows), planned)


def _runs(part: Any, dataset: str, claim: Statement, grounds: Grounds) -> dict[str, Evidence] | str:
    """The finished runs of each model that a part needs, or what is missing."""
    found: dict[str, Evidence] = {}
    for name in part.needed_models():
        one = grounds.run_of(name, dataset, claim.protocol, getattr(part, "cost", False))
        if one is None:
            return f"no run of {name} is planned in suite {grounds.suite}"
        if not one.seeds:
            return f"{name} is planned and has not run"
        if problem := "" if one.deterministic else _few_seeds(part, name, len(one.seeds), len(one.run["seeds"])):
            return problem
        found[name] = one
    return found


def _few_seeds(part: Any, name: str, done: int, planned: int) -> str:
    if done >= part.seeds:
        return ""
    return f"{name} has {done} of {part.seeds} seeds" + (f", and {planned} are planned" if planned < part.seeds else "")


def _extent(found: dict[str, Evidence]) -> tuple[int, int]:
    """Of the runs that are compared: the least number of seeds, and the number of users."""
    seeds = min((len(one.seeds) for one in found.values() if not one.deterministic), default=0)
    return seeds, len(next(iter(found.values())).split(SPLIT)[0])


def _gains(found: dict[str, Evidence], masking: str) -> Callable[[str, str], Sample]:
    return lambda model, metric: found[model].sample(metric, SPLIT, masking)

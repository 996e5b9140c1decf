"""From claims and rank files to verdicts: what each dataset says about a part, and what follows for the part.

reproduced, supported   the statement holds on as many datasets as it needs (supported: protocol or value not published)
not reproduced          it fails on so many that it cannot hold on as many as it needs
inconclusive            neither: an interval includes what it must not
not comparable          nothing that could be run decides it, or the runs are of another protocol
not tested              runs are missing: not planned in this suite, or not done
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd

from seqrepro.errors import InputError
from seqrepro.ledger.bounds import BOUNDS, Bound
from seqrepro.ledger.claims import (
    AnyPart,
    Compared,
    Growth,
    Level,
    Measured,
    Ordering,
    Size,
    Tabulated,
    Untestable,
)
from seqrepro.ledger.evidence import Evidence
from seqrepro.ledger.statistics import Sample, holm

SPLIT = "test"
WORST_FIRST = ("not reproduced", "inconclusive", "not tested", "not comparable", "supported", "reproduced")
Find = Callable[[str, str], Evidence | None]  # the planned runs of a model on a dataset


@dataclass(frozen=True)
class Finding:
    """What one dataset says about a part."""

    dataset: str
    counts: bool  # False: an extension, reported and no part of the verdict
    bounds: list[Bound]
    seeds: int = 0  # of the model with the fewest; 0 if all are closed forms
    users: int = 0
    missing: str = ""  # why there is no test
    rows: tuple[int, int] | None = None  # of a table: how many satisfy the statement, and how many must

    @property
    def state(self) -> str:
        """holds, fails, open, or missing."""
        if self.missing:
            return "missing"
        if self.rows:
            return "holds" if self.rows[0] >= self.rows[1] else "fails"
        states = {bound.state for bound in self.bounds}
        return "fails" if "fails" in states else "open" if "open" in states else "holds"


def findings(part: AnyPart, find: Find, masking: str, results: Path) -> list[Finding]:
    """What each dataset, or a table, says about a part; p values are not adjusted yet.

    Args:
        part: of a claim.
        find: the runs of a model on a dataset, or None.
        masking: which ranks count, masked or unmasked.
        results: the suite's folder, where tables lie.

    Raises:
        InputError: a table has not the columns that the part names.
    """
    if isinstance(part, Tabulated):
        return [_of_table(part, results / part.table)]
    if isinstance(part, Measured | Growth):
        return [Finding(part.probe, True, [], missing=f"no probe {part.probe} is planned")]
    return [_finding(part, name, counts, find, masking) for name, counts in _datasets(part)]


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
    if isinstance(part, Untestable):
        return "not comparable"
    states = [finding.state for finding in found if finding.counts]
    enough = len(states) // 2 + 1 if isinstance(part, Compared) and part.needed == "most" else len(states)
    if states.count("holds") >= enough:
        return success
    if states.count("fails") > len(states) - enough:
        return "not reproduced"
    return "not tested" if "missing" in states else "inconclusive"


def whole(verdicts: list[str]) -> str:
    """The verdict of a claim from those of its parts: the first of WORST_FIRST that occurs."""
    return next(word for word in WORST_FIRST if word in verdicts)


def _of_table(part: Tabulated, path: Path) -> Finding:
    if not path.is_file():
        return Finding(part.table, True, [], missing=f"{part.table} has not been made")
    rows = pd.read_csv(path)
    bound = part.below if part.above is None else part.above
    named = [part.column, *part.where, *([bound] if isinstance(bound, str) else [])]
    if lacking := [name for name in named if name not in rows]:
        raise InputError(f"{path}: no column '{lacking[0]}', expected one of {', '.join(map(str, rows.columns))}")
    for column, value in part.where.items():
        rows = rows[rows[column].astype(str) == value]
    limit = rows[bound] if isinstance(bound, str) else bound
    satisfied = rows[part.column] < limit if part.above is None else rows[part.column] > limit
    return Finding(part.table, True, [], rows=(int(satisfied.sum()), max(1, ceil(part.share * len(rows)))))


def _datasets(part: AnyPart) -> Iterator[tuple[str, bool]]:
    if isinstance(part, Compared):
        yield from ((name, True) for name in part.datasets)
        yield from ((name, False) for name in part.extensions)
    else:
        printed = part.gains if isinstance(part, Size) else part.values if isinstance(part, Level) else []
        yield from ((name, True) for name in dict.fromkeys(value.dataset for value in printed))


def _finding(part: Any, dataset: str, counts: bool, find: Find, masking: str) -> Finding:
    found: dict[str, Evidence] = {}
    for name in _models(part):
        evidence = find(name, dataset)
        if evidence is None:
            return Finding(dataset, counts, [], missing=f"no run of {name} is planned")
        if not evidence.seeds:
            return Finding(dataset, counts, [], missing=f"{name} has not run")
        if not evidence.deterministic and len(evidence.seeds) < part.seeds:
            missing = f"{name} has {len(evidence.seeds)} of {part.seeds} seeds"
            return Finding(dataset, counts, [], missing=missing)
        found[name] = evidence
    seeds = min((len(one.seeds) for one in found.values() if not one.deterministic), default=0)
    users = len(next(iter(found.values())).split(SPLIT)[0])

    def gains(model: str, metric: str) -> Sample:
        return found[model].sample(metric, SPLIT, masking)

    return Finding(dataset, counts, list(BOUNDS[part.kind](part, dataset, gains)), seeds, users)


def _models(part: Any) -> list[str]:
    if isinstance(part, Ordering):
        return part.models
    against = [part.against] if isinstance(part, Size) else getattr(part, "against", [])
    return [part.model, *against, *getattr(part, "controls", [])]

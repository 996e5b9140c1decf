"""Published numbers, and whether one of ours may be held against them.

A published number is a row of `registry/papers/<paper>/published.csv`. It stands beside ours when dataset family,
model and metric match; it is comparable only when protocol and dataset variant agree as well, and else we say why not.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from seqrepro.errors import InputError
from seqrepro.files import Json

if TYPE_CHECKING:  # planning reads these files too, and needs no numpy for it
    from seqrepro.ledger.statistics import Estimate

COLUMNS = (
    *("paper", "table", "dataset", "variant", "model", "metric"),
    *("value", "reported_by", "source", "source_class", "protocol", "note"),
)
LEVEL_MARGIN = 0.05  # relative; DESIGN contract "Level": the interval inside +-5 % of the published value
SYNONYMS = {"hr": "hit_rate", "hit": "hit_rate", "recall": "hit_rate", "hitrate": "hit_rate"}  # one target a user


@dataclass(frozen=True)
class Protocol:
    """What a protocol's text says; None where it says nothing."""

    leave_one_out: bool | None
    full_ranking: bool | None
    masked: bool | None
    negatives: str | None = None  # number and kind of sampled candidates, such as '100 uniform'


@dataclass(frozen=True)
class Published:
    """One published number."""

    row: dict[str, str]
    metric: str
    value: float
    protocol: Protocol

    @property
    def key(self) -> tuple[str, str]:
        """Dataset family and model, whatever its case."""
        return self.row["dataset"], _folded(self.row["model"])

    def ranking(self, ours: Iterable[str]) -> str:
        """Which of our numbers stands beside it: the masked one, unless theirs says unmasked or is among negatives."""
        if self.protocol.full_ranking is False and "sampled" in ours:
            return "sampled"
        return "unmasked" if self.protocol.masked is False else "masked"


def read_published(paths: list[Path]) -> list[Published]:
    """All rows of the files.

    Raises:
        InputError: other columns than expected, or a value that is not a number (for a metric: between 0 and 1).
    """
    return [published for path in paths for published in _read(path)]


@cache
def read_protocol(text: str) -> Protocol:
    """Read a protocol's description, e.g. 'leave-one-out, full ranking, history masked'."""
    return Protocol(
        _says(text, r"leave[-_ ]one[-_ ]out|\bLOO\b", r"temporal split|ratio split|leave[-_ ]two[-_ ]out"),
        _says(text, r"full[-_ ](ranking|catalogue|softmax ranking)|all items", r"sampled|negatives|candidates"),
        _says(text, r"\bmask(ed|ing)\b", r"\bunmasked\b|not masked|without masking|no (history )?masking|un-masked"),
        _negatives(text),
    )


def obstacles(published: Published, ours: Protocol, dataset: Json) -> list[str]:
    """Why a published number and ours are not comparable; empty if they are.

    Args:
        published: the published number.
        ours: the protocol of the ranking that we put beside it.
        dataset: our dataset, with `variant` and, where known, `published_variants`: texts that name the same data.
    """
    theirs, found = published.protocol, []
    if ours.leave_one_out is not True or theirs.leave_one_out is not True:
        found.append("split not stated" if theirs.leave_one_out is None else "other split")
    found += _other_candidates(theirs, ours)
    if theirs.masked is None and not (theirs.negatives and ours.negatives):
        found.append("history masking not stated")
    if not dataset["comparable"]:
        found.append(f"our data: {dataset['caveat']}")
    if not _same_variant(published.row["variant"], dataset):
        theirs_named = published.row["variant"] or "not stated"
        found.append(f"variant not known to agree (theirs: {theirs_named}; ours: {dataset['variant']})")
    return found


def within_level(estimate: "Estimate", value: float) -> str:
    """Whether our interval lies within 5 % of a published value: 'yes', 'no' (wholly outside), or 'undecided'.

    An interval from one seed of a random method does not know the spread between seeds: undecided.
    """
    low, high = value * (1 - LEVEL_MARGIN), value * (1 + LEVEL_MARGIN)
    if not estimate.covers_seeds:
        return "undecided (one seed)"
    if low <= estimate.low and estimate.high <= high:
        return "yes"
    return "no" if estimate.high < low or estimate.low > high else "undecided"


def matches(published: Published, run: Json, dataset: Json) -> bool:
    """Whether a published number is of this model on this dataset family."""
    return published.key in keys_of(run.get("published_as") or [], dataset["family"])


def keys_of(names: Iterable[str], family: str) -> set[tuple[str, str]]:
    """The keys of the rows that published numbers of a model have on a dataset family."""
    return {(family, _folded(name)) for name in names}


def published_row(published: Published, estimate: "Estimate | None", reasons: list[str]) -> Json:
    """The columns that speak of the published number and of its distance to ours (None: not run)."""
    row, value = published.row, published.value
    return {
        **{key: row[key] for key in ("paper", "table", "reported_by", "source", "source_class", "note")},
        "published_as": row["model"],
        "metric": published.metric,
        "ours": estimate and estimate.value,
        "low": estimate and estimate.low,
        "high": estimate and estimate.high,
        "published": value,
        "difference": estimate and estimate.value - value,
        **_relative(estimate, value),
        "within_5_percent": within_level(estimate, value) if estimate else None,
        "variant_theirs": row["variant"],
        "protocol_theirs": row["protocol"],
        "comparable": "no" if reasons else "yes",
        "why_not": "; ".join(reasons) or None,
    }


def _relative(estimate: "Estimate | None", value: float) -> Json:
    """Our mean over the published value, less 1; that value is a constant, so the interval is ours in its units."""
    if estimate is None or value == 0:
        return {}
    ours = {"difference": estimate.value, "low": estimate.low, "high": estimate.high}
    return {f"relative_{name}": number / value - 1 for name, number in ours.items()}


def _read(path: Path) -> Iterator[Published]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path}: columns {','.join(reader.fieldnames or ())}, expected {','.join(COLUMNS)}")
        for number, row in enumerate(reader, start=2):
            if None in row or None in row.values():
                raise InputError(f"{path}: line {number}: expected {len(COLUMNS)} fields")
            metric = _metric(row["metric"])
            yield Published(row, metric, _value(path, number, metric, row["value"]), read_protocol(row["protocol"]))


def _folded(name: str) -> str:
    return name.strip().casefold()


def _metric(name: str) -> str:
    gain, separator, cutoff = name.strip().lower().partition("@")
    return SYNONYMS.get(gain, gain) + separator + cutoff


def _value(path: Path, number: int, metric: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{path}: line {number}: value '{text}', expected a number") from None
    if re.fullmatch(r"(hit_rate|ndcg|mrr)@\d+", metric) and not 0 <= value <= 1:
        raise InputError(f"{path}: line {number}: {metric} is {text}, expected a fraction between 0 and 1")
    return value


def _other_candidates(theirs: Protocol, ours: Protocol) -> list[str]:
    if ours.negatives:
        same = theirs.negatives == ours.negatives
        return (
            [] if same else [f"other candidates (theirs: {theirs.negatives or 'not stated'}; ours: {ours.negatives})"]
        )
    if theirs.full_ranking is True and ours.full_ranking is True:
        return []
    return ["candidates not stated" if theirs.full_ranking is None else "sampled candidates"]


def _negatives(text: str) -> str | None:
    """'100 uniform' of '100 uniformly sampled negatives'; None unless both number and kind are stated."""
    found = re.search(r"\b(\d+) (uniform|popularity)(?:ly)?[- ](?:sampled )?negatives", text, re.IGNORECASE)
    return f"{found[1]} {found[2].lower()}" if found else None


def _says(text: str, yes: str, no: str) -> bool | None:
    if re.search(no, text, re.IGNORECASE):
        return False
    return True if re.search(yes, text, re.IGNORECASE) else None


def _same_variant(theirs: str, dataset: Json) -> bool:
    return any(name.casefold() in theirs.casefold() for name in dataset.get("published_variants") or [])

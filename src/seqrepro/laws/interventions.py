"""Training sets with the same tokens and another entropy: does accuracy follow the measure of data?

A pair are two settings of `training.data` of one model, shape and dataset whose tokens differ by less than 1 %. For
each measure of data that differs by more than that,

    agreement = sign(ln D'_second - ln D'_first) (metric_second - metric_first),

paired by seed, with a 95 % t interval over seeds. Above 0, the metric moves in the direction of D'. Tokens themselves
predict no change. Pairs are counted by measure: those whose interval lies above 0, below it, or holds it. Pairs share
training sets, so that the counts are a summary and no test.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from math import log

import numpy as np
import pyarrow as pa

from seqrepro.laws.measures import AMOUNTS, amount
from seqrepro.laws.points import FITTED, SHAPE, Row
from seqrepro.ledger.evidence import grouped
from seqrepro.ledger.statistics import t_interval

SAME = 0.01  # two amounts of data are the same within this difference of logarithms
COMMON = ("model", "title", "dataset", "data_class", "protocol_name", *SHAPE)
REAL, WHOLE, TEXT = pa.float64(), pa.int64(), pa.string()
SCHEMA = pa.schema(
    [
        *((name, WHOLE if name in SHAPE else TEXT) for name in COMMON),
        *((name, TEXT) for name in ("data", "other_data", "metric", "measure")),
        ("seeds", WHOLE),
        *((name, REAL) for name in ("tokens", "other_tokens")),
        ("change_of_data", REAL),  # ln D' of the other less ln D', mean over seeds
        *((name, REAL) for name in ("change", "change_low", "change_high")),  # of the metric
        *((name, REAL) for name in ("agreement", "agreement_low", "agreement_high")),
    ]
)

OF_MEASURE = ("model", "title", "dataset", "data_class", "protocol_name", "metric", "measure")
COUNTS = pa.schema(
    [*((name, TEXT) for name in OF_MEASURE), *((name, WHOLE) for name in ("pairs", "agreeing", "opposed", "open"))]
)


def agreement_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """A row a model, dataset, metric and measure, from rows of `intervention_rows`: how many pairs agree with it."""
    for key, pairs in grouped([row for row in rows if row["agreement_low"] is not None], *OF_MEASURE):
        agreeing = sum(row["agreement_low"] > 0 for row in pairs)
        opposed = sum(row["agreement_high"] < 0 for row in pairs)
        told = {"pairs": len(pairs), "agreeing": agreeing, "opposed": opposed, "open": len(pairs) - agreeing - opposed}
        yield dict(zip(OF_MEASURE, key, strict=True)) | told


def intervention_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """A row a pair of training sets, metric and measure, from rows of points."""
    settings: dict[tuple[object, ...], dict[str, dict[int, Row]]] = {}
    for row in rows:
        if row["tokens"] is not None:
            place = settings.setdefault(tuple(row[name] for name in COMMON), {})
            place.setdefault(row["data"], {})[row["seed"]] = row
    for of_data in settings.values():
        for first, second in combinations(of_data.values(), 2):
            yield from _pair(first, second)


def _pair(first: dict[int, Row], second: dict[int, Row]) -> Iterator[Row]:
    """The rows of two training sets, each by seed."""
    seeds = [seed for seed in first if seed in second]
    pairs = [(first[seed], second[seed]) for seed in seeds]
    tokens = _change("tokens", pairs) if pairs else None
    if tokens is None or abs(tokens) >= SAME:
        return
    one, other = pairs[0]
    told = {name: one[name] for name in COMMON} | {"data": one["data"], "other_data": other["data"]}
    told |= {"seeds": len(seeds)} | dict(zip(("tokens", "other_tokens"), np.mean(_tokens(pairs), axis=0), strict=True))
    for measure in AMOUNTS:
        moved = _change(measure, pairs)
        if moved is not None and abs(moved) > SAME:
            for metric in FITTED:
                changes = [after[metric] - before[metric] for before, after in pairs]
                own = {"measure": measure, "metric": metric, "change_of_data": moved}
                yield told | own | _agreement(changes, moved)


def _change(measure: str, pairs: list[tuple[Row, Row]]) -> float | None:
    """Mean over seeds of ln D' of the second less that of the first; None where it is not known."""
    found = [(amount(measure, before), amount(measure, after)) for before, after in pairs]
    known = [log(after / before) for before, after in found if before and after]
    return float(np.mean(known)) if len(known) == len(found) else None


def _agreement(changes: list[float], moved: float) -> Row:
    center, low, high = t_interval(changes)
    ends = (low, high) if moved > 0 else (_minus(high), _minus(low))
    return {
        **{"change": center, "change_low": low, "change_high": high},
        **{"agreement": center if moved > 0 else -center, "agreement_low": ends[0], "agreement_high": ends[1]},
    }


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _tokens(pairs: list[tuple[Row, Row]]) -> list[tuple[float, float]]:
    return [(before["tokens"], after["tokens"]) for before, after in pairs]

"""Which printed numbers a part is held against: rows of the paper's `published.csv`, and the rule among several.

A row is one of a printed value if dataset family, metric and the names that the part gives agree. A printed gain is a
row of its own (model `A against B`, metric `<metric>_gain_percent`), or follows from two rows of one table: value of A
over value of B, less 1, where table, dataset, variant, protocol and reporter agree.

Several rows. Those that do not compare with our data or protocol are set aside; if none is left, the reasons are
those of the best row. Of the others the best class counts: primary before quoted before derived, a printed gain before
one that was computed. Equal numbers are one. Numbers of one class that differ are conflicting reports, and nobody knows
which of them is right: the part holds if it holds against each of them, fails if it fails against each, and is open
otherwise.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from seqrepro.files import Json
from seqrepro.ledger.parts import Level, PrintedValue, Size
from seqrepro.ledger.published import Protocol, Published, obstacles

CLASSES = ("primary", "quoted", "derived")
GAIN = "_gain_percent"
SAME_TABLE = ("table", "dataset", "variant", "protocol", "reported_by")


@dataclass(frozen=True)
class Number:
    """A printed value, or a printed gain as a ratio less 1."""

    value: float
    rows: tuple[Published, ...]

    @property
    def order(self) -> tuple[int, int]:
        """The class of its weakest row, and whether it was computed from two: smaller is better."""
        classes = [one.row["source_class"] for one in self.rows]
        return max(CLASSES.index(name) if name in CLASSES else len(CLASSES) for name in classes), len(self.rows)

    def as_json(self) -> Json:
        """The number with its source."""
        first = self.rows[0].row
        return {"value": self.value, **{key: first[key] for key in ("table", "reported_by", "source_class")}}


@dataclass(frozen=True)
class Printed:
    """What is printed for one metric on one dataset: numbers that differ, or the reasons why none compares."""

    metric: str
    numbers: list[Number] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def printed_for(part: Size | Level, dataset: Json, ours: Protocol, rows: Iterable[Published]) -> list[Printed]:
    """What is printed for each metric of a part, on one of its datasets; metrics without a number are left out.

    Args:
        part: names the rows.
        dataset: our dataset, with family, variant, published_variants, comparable and caveat.
        ours: the protocol of our numbers, history masking included.
        rows: of the paper.
    """
    own = [one for one in rows if one.row["dataset"] == dataset["family"] and _is_named(one, part.printed)]
    found = [(metric, _numbers(part, metric, own)) for metric in part.metrics]
    return [_chosen(metric, numbers, dataset, ours) for metric, numbers in found if numbers]


def none_printed(part: Size | Level, family: str, path: str) -> str:
    """The words for a dataset for which no row is there."""
    if isinstance(part, Size):
        what = f"gain of {part.printed.model} over {part.printed.against}"
        return f"no printed {what} for {family}; the row of each in {path}, or one of the gain, adds it"
    return f"no printed value of {part.printed.model} for {family}; a row in {path} adds it"


def _is_named(one: Published, wanted: PrintedValue) -> bool:
    by = one.row["reported_by"].casefold()
    return wanted.table in (None, one.row["table"]) and by.startswith((wanted.reported_by or "").casefold())


def _numbers(part: Size | Level, metric: str, rows: list[Published]) -> list[Number]:
    if isinstance(part, Level):
        return [Number(one.value, (one,)) for one in _rows_of(rows, part.printed.model, metric)]
    pair = part.printed.model, part.printed.against
    told = [Number(one.value / 100, (one,)) for one in _rows_of(rows, " against ".join(pair), metric + GAIN)]
    return [*told, *_computed(*(_rows_of(rows, model, metric) for model in pair))]


def _rows_of(rows: list[Published], model: str, metric: str) -> list[Published]:
    return [one for one in rows if one.metric == metric and one.row["model"].strip().casefold() == model.casefold()]


def _computed(first: list[Published], second: list[Published]) -> Iterator[Number]:
    for one in first:
        for other in second:
            if other.value and all(one.row[key] == other.row[key] for key in SAME_TABLE):
                yield Number(one.value / other.value - 1, (one, other))


def _chosen(metric: str, numbers: list[Number], dataset: Json, ours: Protocol) -> Printed:
    judged = sorted(((number, _reasons(number, dataset, ours)) for number in numbers), key=lambda pair: pair[0].order)
    clear = [number for number, reasons in judged if not reasons]
    if not clear:
        return Printed(metric, reasons=judged[0][1])
    best = [number for number in clear if number.order == clear[0].order]
    return Printed(metric, list({number.value: number for number in best}.values()))


def _reasons(number: Number, dataset: Json, ours: Protocol) -> list[str]:
    found = [reason for one in number.rows for reason in obstacles(one, ours, dataset)]
    theirs = number.rows[0].protocol.masked
    if None not in (theirs, ours.masked) and theirs != ours.masked:
        found.append("other history masking")
    if not number.value:
        found.append("the printed number is 0, of which no share is a margin")
    return list(dict.fromkeys(found))

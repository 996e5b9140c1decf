"""Printed numbers of the Performance Law paper, as the refit compares them with its own."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from seqrepro.ledger.published import read_published

DATASETS = {"kuairand": "kuairand-pure", "books": "amazon-books"}  # names in published.csv -> those of the points


@dataclass(frozen=True)
class Printed:
    """A printed number and where it stands."""

    table: str
    dataset: str
    max_length: int | None
    model: str  # what it is a number of
    quantity: str
    text: str  # as it is printed, in units of 1
    note: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    @property
    def unit(self) -> float:
        """That of its last digit."""
        exponent = Decimal(self.text).as_tuple().exponent
        return 10.0 ** int(exponent)

    def agrees(self, ours: float, may_be_cut: bool = False) -> bool:
        """Whether our number rounds to it, or is it when its further digits are cut."""
        shares = [round(ours / self.unit), *([math.floor(ours / self.unit)] if may_be_cut else [])]
        return any(math.isclose(share * self.unit, self.value, rel_tol=0, abs_tol=self.unit / 1000) for share in shares)


def read_numbers(path: Path) -> list[Printed]:
    """All numbers of published.csv, in its order.

    Raises:
        InputError: no such columns, or a value that is not a number.
    """
    return [
        Printed(
            table=one.row["table"],
            dataset=DATASETS.get(one.row["dataset"], one.row["dataset"]),
            max_length=int(found[1]) if (found := re.search(r"S_max (\d+)", one.row["variant"])) else None,
            model=one.row["model"],
            quantity=one.metric,
            text=one.row["value"],
            note=one.row["note"],
        )
        for one in read_published([path])
    ]

"""Tables that other steps made, as the pages print them: refitted laws, descriptions of datasets."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from seqrepro.files import Json


@dataclass(frozen=True)
class Extra:
    """A table with its head as the first line; no lines if the step did not run."""

    title: str
    caption: str
    path: str
    lines: list[list[str]]

    @property
    def folder(self) -> str:
        """Where it stands, beside the record of the step that made it."""
        return Path(self.path).parent.as_posix()

    @property
    def wide(self) -> bool:
        """Whether it needs a page in landscape when it is printed."""
        return bool(self.lines) and len(self.lines[0]) > 9


def read_extra(table: Json) -> Extra:
    """The table that an entry of the request names."""
    path = Path(table["path"])
    lines: list[list[str]] = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as stream:
            lines = [[printed(cell) for cell in line] for line in csv.reader(stream)]
    return Extra(table["title"], table.get("caption", ""), table["path"], lines)


def printed(cell: str) -> str:
    """A CSV cell, with numbers at six significant digits, and large whole ones in groups of three."""
    try:
        return f"{int(cell):,}" if re.fullmatch(r"[+-]?[1-9][0-9]{4,}", cell) else _six_digits(cell)
    except ValueError:
        return cell


def _six_digits(cell: str) -> str:
    return cell if cell.lstrip("+-").isdigit() else f"{float(cell):.6g}"

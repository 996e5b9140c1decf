"""MovieLens-100K: `u.data`, a row an interaction: user, item, rating and Unix seconds, tab-separated, no header.

With `u.item` (fields separated by |, Latin-1: item id, title, three more, then 19 flags) and `u.genre` (name|number)
the genres of the items are read too.
"""

from pathlib import Path

import numpy as np

from seqrepro.data.formats.delimited import read_table
from seqrepro.data.interactions import Interactions
from seqrepro.errors import InputError

COLUMNS = ("user", "item", "rating", "timestamp")
FIELDS_BEFORE_GENRES = 5


def read(paths: dict[str, Path]) -> Interactions:
    """Read `u.data`, and the genres if `u.item` and `u.genre` are given.

    Raises:
        InputError: a row that breaks the format.
    """
    table = read_table(paths["u.data"], COLUMNS, integers=COLUMNS, header=False)
    attributes = _genres(paths["u.item"], _genre_names(paths["u.genre"])) if "u.item" in paths else None
    users, items = (table[name].combine_chunks() for name in ("user", "item"))
    ratings = table["rating"].to_numpy().astype(np.float32)
    return Interactions(users, items, table["timestamp"].to_numpy(), attributes, ratings=ratings)


def _genre_names(path: Path) -> list[str]:
    lines = path.read_text(encoding="latin-1").splitlines()
    return [line.split("|")[0] for line in lines if line]


def _genres(path: Path, names: list[str]) -> dict[str, tuple[str, ...]]:
    genres = {}
    expected = FIELDS_BEFORE_GENRES + len(names)
    for row, line in enumerate(path.read_text(encoding="latin-1").splitlines(), start=1):
        fields = line.split("|")
        if len(fields) != expected:
            raise InputError(f"{path}: row {row}: found {len(fields)} fields, expected {expected}")
        flags = fields[FIELDS_BEFORE_GENRES:]
        genres[fields[0]] = tuple(name for name, flag in zip(names, flags, strict=True) if flag == "1")
    return genres

"""MovieLens-1M as GroupLens publishes it: `ratings.dat`, a row an interaction: user::item::rating::Unix seconds.

With `movies.dat` (Latin-1: item::title::genre|genre) the genres of the items are read too.
"""

from pathlib import Path

import numpy as np

from seqrepro.data.formats.delimited import Layout, read_layout
from seqrepro.data.interactions import Interactions
from seqrepro.errors import InputError

COLUMNS = ("user", "item", "rating", "timestamp")


def read(paths: dict[str, Path]) -> Interactions:
    """Read `ratings.dat`, and the genres if `movies.dat` is given.

    Raises:
        InputError: a row that breaks the format.
    """
    table = read_layout(paths["ratings.dat"], Layout(COLUMNS, COLUMNS, delimiter="::"))
    genres = read_genres(paths["movies.dat"]) if "movies.dat" in paths else None
    users, items = (table[name].combine_chunks() for name in ("user", "item"))
    ratings = table["rating"].to_numpy().astype(np.float32)
    return Interactions(users, items, table["timestamp"].to_numpy(), genres, ratings=ratings)


def read_genres(path: Path) -> dict[str, tuple[str, ...]]:
    """The genres of each movie of `movies.dat`.

    Raises:
        InputError: a row without three fields.
    """
    genres = {}
    for row, line in enumerate(path.read_text(encoding="latin-1").split("\n"), start=1):
        fields = line.rstrip("\r").split("::")
        if len(fields) == 3:
            genres[fields[0]] = tuple(fields[2].split("|"))
        elif line:
            raise InputError(f"{path}: row {row}: found {len(fields)} fields, expected 3 (item, title, genres)")
    return genres

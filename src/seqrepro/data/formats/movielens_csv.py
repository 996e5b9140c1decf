"""MovieLens-20M and later: `ratings.csv`, comma-separated under a header, Unix seconds, ratings in halves.

With `movies.csv` (UTF-8, titles in quotes where they hold a comma, genres separated by |) the genres are read too.
"""

from pathlib import Path

import numpy as np

from seqrepro.data.formats.delimited import Layout, read_layout
from seqrepro.data.interactions import Interactions

RATINGS = Layout(
    ("userId", "movieId", "rating", "timestamp"),
    integers=("userId", "movieId", "timestamp"),
    numbers=("rating",),
    header=True,
    delimiter=",",
)
MOVIES = Layout(("movieId", "title", "genres"), ("movieId",), header=True, delimiter=",", quoted=True)
NO_GENRE = "(no genres listed)"


def read(paths: dict[str, Path]) -> Interactions:
    """Read `ratings.csv`, and the genres if `movies.csv` is given.

    Raises:
        InputError: a row that breaks the format.
    """
    table = read_layout(paths["ratings.csv"], RATINGS)
    genres = _genres(paths["movies.csv"]) if "movies.csv" in paths else None
    users, items = (table[name].combine_chunks() for name in ("userId", "movieId"))
    ratings = table["rating"].to_numpy().astype(np.float32)
    return Interactions(users, items, table["timestamp"].to_numpy(), genres, ratings=ratings)


def _genres(path: Path) -> dict[str, tuple[str, ...]]:
    table = read_layout(path, MOVIES, ("movieId", "genres"))
    ids, genres = table["movieId"].to_pylist(), table["genres"].to_pylist()
    return {str(i): () if text == NO_GENRE else tuple(text.split("|")) for i, text in zip(ids, genres, strict=True)}

"""MovieLens-1M put together from parts: complete but for some timestamps, of which only bounds are known.

A tab-separated file (the one that ends in .tsv) with a header and a row an interaction, in the order of the official
`ratings.dat`: user, movie, rating; either `timestamp`, or the bounds `ts_lo` and `ts_hi`; `chrono`, the exact place in
the user's order of time, from 0; and `how` the timestamp is known. `movies.dat` gives the genres.

Both bounds are timestamps of the same user's neighbours in time, so the lower bounds, the upper bounds and their floor
midpoints all rise along `chrono`, and so does what is read here; this is checked.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqrepro.data.formats.delimited import Layout, read_layout
from seqrepro.data.formats.item_attributes_json import only
from seqrepro.data.formats.movielens_dat import read_genres
from seqrepro.data.interactions import Int64, Interactions
from seqrepro.errors import InputError

LAYOUT = Layout(
    ("user_id", "movie_id", "rating", "timestamp", "ts_lo", "ts_hi", "chrono", "how"),
    integers=("user_id", "movie_id", "rating", "chrono"),
    optional=("timestamp", "ts_lo", "ts_hi"),
    header=True,
)
IMPUTATIONS = ("low", "mid", "high")


def read(paths: dict[str, Path], imputation: str) -> Interactions:
    """Read the interactions; unknown timestamps become the lower bound, the floor midpoint or the upper bound.

    Raises:
        InputError: another imputation, a row that breaks the format, or timestamps against the order of time.
    """
    if imputation not in IMPUTATIONS:
        raise InputError(f"options.imputation: found {imputation!r}, expected one of {', '.join(IMPUTATIONS)}")
    path = only(paths, ".tsv")
    table = read_layout(path, LAYOUT)
    users, items = (table[name].combine_chunks() for name in ("user_id", "movie_id"))
    low, high = _bounds(path, table)
    times = {"low": low, "mid": low + (high - low) // 2, "high": high}[imputation]
    ranks = table["chrono"].to_numpy()
    _check_order(path, users.to_numpy(), times, ranks)
    genres = read_genres(paths["movies.dat"]) if "movies.dat" in paths else None
    ratings = table["rating"].to_numpy().astype(np.float32)
    return Interactions(users, items, times, genres, ratings=ratings, ranks=ranks)


def _bounds(path: Path, table: pa.Table) -> tuple[Int64, Int64]:
    """[N] closed bounds of each timestamp; both are the timestamp itself where it is known."""
    exact = table["timestamp"].is_valid()
    for name in ("ts_lo", "ts_hi"):
        _check(path, pc.equal(exact, table[name].is_null()), f"either timestamp or {name}, and not both")
    low, high = (pc.coalesce(table["timestamp"], table[name]) for name in ("ts_lo", "ts_hi"))
    _check(path, pc.less_equal(low, high), "ts_lo at most ts_hi")
    return low.to_numpy(), high.to_numpy()


def _check(path: Path, good: pa.ChunkedArray, expected: str) -> None:
    if not pc.all(good).as_py():
        row = pc.index(good, value=False).as_py() + 2
        raise InputError(f"{path}: row {row}: found other timestamps, expected {expected}")


def _check_order(path: Path, users: Int64, times: Int64, ranks: Int64) -> None:
    rows = np.lexsort((ranks, users))
    within = np.diff(users[rows]) == 0
    back = np.flatnonzero(within & (np.diff(times[rows]) < 0))
    if len(back):
        row = rows[back[0] + 1]
        raise InputError(f"{path}: row {row + 2}: found timestamp {times[row]}, expected no step back along chrono")

"""Last.fm of HetRec 2011: `user_taggedartists.dat`, tab-separated under a header: who tagged which artist, and when.

A row is one tag; a user who gives an artist several tags has several rows, of which the first in the file is read, as
S3-Rec does. The date (mostly the first of a month) is stored as midnight UTC.
"""

from pathlib import Path

import numpy as np

from seqrepro.data.filters import one_of_each
from seqrepro.data.formats.delimited import read_table
from seqrepro.data.formats.item_attributes_json import only
from seqrepro.data.interactions import Int64, Interactions
from seqrepro.errors import InputError

COLUMNS = ("userID", "artistID", "tagID", "day", "month", "year")


def read(paths: dict[str, Path]) -> Interactions:
    """Read the file that ends in .dat.

    Raises:
        InputError: a row that breaks the format, or a date that does not exist.
    """
    path = only(paths, ".dat")
    table = read_table(path, COLUMNS, integers=COLUMNS, header=True)
    day, month, year = (table[name].to_numpy() for name in ("day", "month", "year"))
    users, artists = (table[name].combine_chunks() for name in ("userID", "artistID"))
    first = one_of_each((users.to_numpy(), artists.to_numpy()))
    dropped = {"further tags of the same user and artist": int(np.count_nonzero(~first))}
    return Interactions(users, artists, _seconds(path, day, month, year), dropped=dropped).select(first)


def _seconds(path: Path, day: Int64, month: Int64, year: Int64) -> Int64:
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    bad = np.flatnonzero((month < 1) | (month > 12) | (days.astype("datetime64[M]") != months))
    if len(bad):
        row = bad[0]
        raise InputError(f"{path}: row {row + 2}: found {day[row]}.{month[row]}.{year[row]}, expected a date")
    return days.astype("datetime64[s]").astype(np.int64)

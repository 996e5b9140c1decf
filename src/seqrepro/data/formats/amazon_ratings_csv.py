"""Amazon product data (2014), ratings only: rows `user,item,rating,timestamp`, no header, Unix seconds (whole days)."""

from pathlib import Path

import numpy as np

from seqrepro.data.formats.delimited import Layout, read_layout
from seqrepro.data.formats.item_attributes_json import only
from seqrepro.data.interactions import Interactions

LAYOUT = Layout(("user", "item", "rating", "timestamp"), ("timestamp",), ("rating",), delimiter=",")


def read(paths: dict[str, Path]) -> Interactions:
    """Read the file that ends in .csv; ids stay text, since an ASIN may begin with zeros.

    Raises:
        InputError: a row that breaks the format.
    """
    table = read_layout(only(paths, ".csv"), LAYOUT)
    users, items = (table[name].combine_chunks() for name in ("user", "item"))
    ratings = table["rating"].to_numpy().astype(np.float32)
    return Interactions(users, items, table["timestamp"].to_numpy(), ratings=ratings)

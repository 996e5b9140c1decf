"""Rows `user item`, separated by a space, no header, no times: SASRec's and BERT4Rec's preprocessed files.

The rows of a user stand in order of time.
"""

from pathlib import Path

from seqrepro.data.formats.delimited import Layout, read_layout
from seqrepro.data.formats.item_attributes_json import only
from seqrepro.data.interactions import Interactions

LAYOUT = Layout(("user", "item"), ("user", "item"), delimiter=" ")


def read(paths: dict[str, Path]) -> Interactions:
    """Read the file that ends in .txt.

    Raises:
        InputError: a row that breaks the format.
    """
    table = read_layout(only(paths, ".txt"), LAYOUT)
    return Interactions(table["user"].combine_chunks(), table["item"].combine_chunks(), None)

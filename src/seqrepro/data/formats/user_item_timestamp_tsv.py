"""Tab-separated rows `user item timestamp` under a header with these names; timestamps are Unix seconds, integers.

The file that ends in .tsv holds the interactions; one that ends in .json, if given, the attributes of the items
(see `item_attributes_json`).
"""

from pathlib import Path

from seqrepro.data.formats.delimited import integer_ids, read_table
from seqrepro.data.formats.item_attributes_json import only, read_attributes
from seqrepro.data.interactions import Interactions

COLUMNS = ("user", "item", "timestamp")


def read(paths: dict[str, Path]) -> Interactions:
    """Read the interactions, and the attributes if there is a file of them.

    Raises:
        InputError: a row that breaks the format.
    """
    table = read_table(only(paths, ".tsv"), COLUMNS, integers=("timestamp",), header=True)
    users, items = integer_ids(table["user"]), integer_ids(table["item"])
    return Interactions(users, items, table["timestamp"].to_numpy(), read_attributes(paths))

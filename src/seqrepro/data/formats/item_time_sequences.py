"""Sequences in two files, as TiCoSeRec (Dang et al., AAAI 2023) gives them: a line a user in both, oldest first.

The file that ends in _item.txt: `user item item ...`; the one that ends in _time.txt: `user time time ...`, Unix
seconds, as many as there are items.
"""

from pathlib import Path

from seqrepro.data.formats.item_attributes_json import only
from seqrepro.data.formats.s3rec_sequences import flat, read_lines
from seqrepro.data.interactions import Interactions
from seqrepro.errors import InputError


def read(paths: dict[str, Path]) -> Interactions:
    """Read the two files as interactions with timestamps.

    Raises:
        InputError: a line that breaks the format, or users or lengths that differ between the files.
    """
    items, times = read_lines(only(paths, "_item.txt")), read_lines(only(paths, "_time.txt"))
    path = only(paths, "_time.txt")
    if list(times) != list(items):
        same = [a == b for a, b in zip(items, times, strict=False)]
        row = [*same, False].index(False) + 1
        raise InputError(f"{path}: row {row}: found other users than in the file of items, expected the same lines")
    for row, user in enumerate(items, start=1):
        if len(times[user]) != len(items[user]):
            raise InputError(f"{path}: row {row}: found {len(times[user])} times, expected {len(items[user])}")
    users, chosen = flat(items)
    return Interactions(users, chosen, flat(times)[1].to_numpy())

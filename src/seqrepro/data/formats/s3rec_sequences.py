"""Sequences as S3-Rec gives them (Zhou et al., CIKM 2020): a line a user, `user item item ...`, oldest first, no times.

The file that ends in .txt holds the sequences; one that ends in .json, if given, the attributes of the items
(see `item_attributes_json`).
"""

from pathlib import Path

import pyarrow as pa

from seqrepro.data.formats.item_attributes_json import only, read_attributes
from seqrepro.data.interactions import Interactions
from seqrepro.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read(paths: dict[str, Path]) -> Interactions:
    """Read the sequences as interactions, and the attributes if there is a file of them.

    Raises:
        InputError: an id that is not an integer, a user without items, or a user on two lines.
    """
    sequences = read_lines(only(paths, ".txt"))
    users, items = flat(sequences)
    return Interactions(users, items, None, read_attributes(paths))


def read_lines(path: Path) -> dict[int, list[int]]:
    """The integers after the first one of each line, by the first one.

    Raises:
        InputError: as `read`.
    """
    sequences: dict[int, list[int]] = {}
    for row, line in enumerate(path.read_bytes().removeprefix(BYTE_ORDER_MARK).splitlines(), start=1):
        user, values = _parse(path, row, line)
        if user in sequences:
            raise InputError(f"{path}: row {row}: found user {user} again, expected one line a user")
        sequences[user] = values
    return sequences


def flat(sequences: dict[int, list[int]]) -> tuple[pa.Array, pa.Array]:
    """[N] users and [N] values of all lines, in their order."""
    users = [user for user, values in sequences.items() for _ in values]
    values = [value for values in sequences.values() for value in values]
    return pa.array(users, pa.int64()), pa.array(values, pa.int64())


def _parse(path: Path, row: int, line: bytes) -> tuple[int, list[int]]:
    ids = line.split()
    for value in ids:
        if not value.isdigit():
            raise InputError(f"{path}: row {row}: found {value.decode(errors='replace')!r}, expected an integer id")
    if len(ids) < 2:
        raise InputError(f"{path}: row {row}: found {len(ids)} ids, expected a user and at least one item")
    return int(ids[0]), [int(value) for value in ids[1:]]

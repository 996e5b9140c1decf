"""Interactions as the formats read them, and as numbered rows that the other steps compute with.

Shapes: N interactions, U users, V items.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from seqrepro.data.registry import OrderSource
from seqrepro.errors import InputError

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interactions:
    """What a source says, row by row in its own order, under its own ids."""

    users: pa.Array  # [N] int64 or string
    items: pa.Array  # [N] int64 or string
    timestamps: Int64 | None  # [N] Unix seconds
    attributes: Mapping[str, tuple[str, ...]] | None = None  # item source id -> its attributes
    n_items: int | None = None  # given: the items are 1..n_items already, whether or not somebody chose them

    def __len__(self) -> int:
        return len(self.users)

    def select(self, mask: Mask) -> "Interactions":
        """The rows where `mask` [N] is true, in the same order."""
        keep = pa.array(mask)
        timestamps = None if self.timestamps is None else self.timestamps[mask]
        return Interactions(self.users.filter(keep), self.items.filter(keep), timestamps, self.attributes, self.n_items)


@dataclass(frozen=True)
class Numbered:
    """Interactions with ids from 1, still in the order of the source."""

    users: Int64  # [N] 1..U
    items: Int32  # [N] 1..V
    timestamps: Int64 | None  # [N]
    user_ids: pa.Array  # [U] source ids; row i is user i + 1
    item_ids: pa.Array  # [V]


@dataclass(frozen=True)
class Ordered:
    """One sequence a user, jagged: the items of row u are items[offsets[u]:offsets[u + 1]], oldest first."""

    users: Int64  # [U] ascending
    offsets: Int64  # [U + 1]
    items: Int32  # [N]
    timestamps: Int64 | None  # [N]

    @property
    def lengths(self) -> Int64:
        """[U] interactions of each user."""
        return np.diff(self.offsets)

    def content_sha256(self) -> str:
        """SHA-256 of the sequences themselves, as little-endian arrays: it does not depend on a file format."""
        digest = hashlib.sha256()
        arrays = [self.users.astype("<i8"), self.offsets.astype("<i8"), self.items.astype("<i4")]
        if self.timestamps is not None:
            arrays.append(self.timestamps.astype("<i8"))
        for array in arrays:
            digest.update(f"{array.dtype.str}[{len(array)}]".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


def codes(ids: pa.Array) -> tuple[Int64, pa.Array]:
    """Number ids 0, 1, ... by first appearance: codes [N], and the distinct ids in that order."""
    encoded = pc.dictionary_encode(ids)
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def number(interactions: Interactions) -> Numbered:
    """Number users and items from 1: ids that are 1..n already are kept, others go by first appearance."""
    users, user_ids = _number(interactions.users, None)
    items, item_ids = _number(interactions.items, interactions.n_items)
    return Numbered(users, items.astype(np.int32), interactions.timestamps, user_ids, item_ids)


def _number(ids: pa.Array, size: int | None) -> tuple[Int64, pa.Array]:
    appearance, distinct = codes(ids)
    if _dense(distinct) or size is not None:
        return ids.to_numpy().astype(np.int64), pa.array(np.arange(1, (size or len(distinct)) + 1))
    return appearance + 1, distinct


def _dense(distinct: pa.Array) -> bool:
    if not pa.types.is_integer(distinct.type):
        return False
    return set(distinct.to_pylist()) == set(range(1, len(distinct) + 1))


def order(numbered: Numbered, order_source: OrderSource) -> Ordered:
    """Sequences in a total order: by timestamp and then source row, or by source row alone.

    Raises:
        InputError: an order by timestamps that are not there.
    """
    if order_source == "source":
        rows = np.argsort(numbered.users, kind="stable")
    elif numbered.timestamps is None:
        raise InputError("order_source: found 'timestamp', expected 'source': these interactions have no timestamps")
    else:
        rows = np.lexsort((numbered.timestamps, numbered.users))  # stable: ties stay in source order
    users, lengths = np.unique(numbered.users, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    timestamps = None if numbered.timestamps is None else numbered.timestamps[rows]
    return Ordered(users, offsets, numbered.items[rows], timestamps)

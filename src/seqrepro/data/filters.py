"""Filters that decide which interactions belong to a dataset variant."""

import numpy as np

from seqrepro.data.interactions import Int64, Mask


def k_core(users: Int64, items: Int64, k: int) -> Mask:
    """The k-core: the largest set of interactions in which each user and each item has at least k of them.

    Users and items with fewer than k interactions are removed in turn until nothing changes; the result does not
    depend on the order of removal. A repeated (user, item) pair counts each time.

    Args:
        users: [N] codes from 0.
        items: [N] codes from 0.
        k: the least number of interactions; 1 keeps everything.

    Returns:
        [N] true for the interactions that stay.
    """
    keep = np.ones(len(users), dtype=np.bool_)
    while True:
        before = np.count_nonzero(keep)
        for ids in (users, items):
            counts = np.bincount(ids[keep], minlength=int(ids.max(initial=-1)) + 1)
            keep &= counts[ids] >= k
        if np.count_nonzero(keep) == before:
            return keep

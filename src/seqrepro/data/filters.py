"""Filters that decide which interactions belong to a dataset variant. Each gives a mask of what stays.

Shapes: N interactions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from seqrepro.data.interactions import Float32, Int64, Interactions, Mask, codes, combined, time_keys
from seqrepro.data.registry import OrderSource
from seqrepro.errors import InputError

STEPS = ("rating_at_least", "duplicates", "minimum", "k_core")  # the order, unless a filter names another


def apply(
    interactions: Interactions, filters: dict[str, Any], order_source: OrderSource = "source"
) -> tuple[Interactions, list[dict[str, Any]]]:
    """Take the steps of a (canonical) filter in its order.

    Args:
        interactions: what the source says.
        filters: `{}` keeps all; keys as in params.yaml: rating_at_least, duplicates, minimum, k_core, order.
        order_source: what decides which of several interactions is the first.

    Returns:
        What stays, and for each step that was asked for its name and how many interactions it removed.

    Raises:
        InputError: an unknown step, one that needs what the dataset does not have, or nothing is left.
    """
    if unknown := sorted(set(filters) - {*STEPS, "order"}):
        raise InputError(f"filter: found {unknown[0]!r}, expected one of {', '.join(STEPS)}")
    kept, taken = interactions, []
    for step in (step for step in filters.get("order", STEPS) if filters.get(step) is not None):
        before = len(kept)
        kept = kept.select(_MASKS[step](kept, filters[step], order_source))
        taken.append({"step": step, "removed": before - len(kept)})
    if not len(kept):
        raise InputError(f"filter: {filters} leaves none of the {len(interactions)} interactions")
    return kept, taken


def rating_at_least(ratings: Float32, least: float) -> Mask:
    """[N] true where the rating [N] is at least so much."""
    return ratings >= np.float32(least)


def minimum(users: Int64, items: Int64, user: int, item: int) -> Mask:
    """Interactions whose user has at least `user` of them, and whose item has at least `item`: counted once.

    Users and items are counted before anything is removed, as SASRec's own preparation does (Kang and McAuley, ICDM
    2018). Some users and items may have fewer afterwards; the k-core goes on until none has.

    Args:
        users: [N] codes from 0.
        items: [N] codes from 0.
        user: least number of interactions of a user.
        item: least number of interactions of an item.
    """
    return (np.bincount(users)[users] >= user) & (np.bincount(items)[items] >= item)


def k_core(users: Int64, items: Int64, k: int) -> Mask:
    """The k-core: the largest set of interactions in which each user and each item has at least k of them.

    Users and items with fewer than k interactions are removed in turn until nothing changes; the result does not
    depend on the order of removal. A repeated (user, item) pair counts each time. Each round works on what the
    rounds before have left.

    Args:
        users: [N] codes from 0.
        items: [N] codes from 0.
        k: the least number of interactions; 1 keeps everything.

    Returns:
        [N] true for the interactions that stay.
    """
    keep, rows = np.zeros(len(users), dtype=np.bool_), np.arange(len(users))
    while len(rows) and not (stay := minimum(users, items, k, k)).all():
        rows, users, items = rows[stay], users[stay], items[stay]
    keep[rows] = True
    return keep


def one_of_each(groups: tuple[Int64, ...], times: tuple[Int64, ...] | None = None, last: bool = False) -> Mask:
    """The first interaction of each group, or the last one: by time and then by row.

    Args:
        groups: [N] each; interactions that agree in all of them form a group.
        times: [N] each, the most important key last; without them the rows stand in order.
        last: keep the last of each group in place of the first.

    Returns:
        [N] true for the interactions that stay.
    """
    group = combined(*groups)
    rows = np.argsort(combined(*(times or ()), group), kind="stable")
    new = np.diff(group[rows]) != 0
    ends = np.concatenate([new, [True]]) if last else np.concatenate([[True], new])
    keep = np.zeros(len(rows), dtype=np.bool_)
    keep[rows[ends[: len(rows)]]] = True
    return keep


def _rating_at_least(interactions: Interactions, least: float, _: OrderSource) -> Mask:
    if interactions.ratings is None:
        raise InputError(f"filter: found rating_at_least: {least}, but this dataset has no ratings")
    return rating_at_least(interactions.ratings, least)


def _duplicates(interactions: Interactions, policy: str, order_source: OrderSource) -> Mask:
    pair = _pair(interactions)
    if policy == "drop_exact":
        if interactions.timestamps is None:
            raise InputError("filter: found duplicates: drop_exact, but this dataset has no timestamps to compare")
        times = [times for times in (interactions.timestamps, interactions.fractions) if times is not None]
        return one_of_each((*pair, *times))
    return one_of_each(pair, time_keys(interactions, order_source), last=policy == "keep_last")


def _minimum(interactions: Interactions, least: dict[str, int], _: OrderSource) -> Mask:
    users, items = _pair(interactions)
    return minimum(users, items, **least)


def _k_core(interactions: Interactions, k: int, _: OrderSource) -> Mask:
    return k_core(*_pair(interactions), k)


def _pair(interactions: Interactions) -> tuple[Int64, Int64]:
    return codes(interactions.users)[0], codes(interactions.items)[0]


_MASKS: dict[str, Callable[[Interactions, Any, OrderSource], Mask]] = {
    "rating_at_least": _rating_at_least,
    "duplicates": _duplicates,
    "minimum": _minimum,
    "k_core": _k_core,
}

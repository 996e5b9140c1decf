"""Whether two datasets hold the same sequences, user by user.

Ids may be the same, may be translated by the caller, or may have nothing in common. For the last case
`compare_structure` names users and items by their place in the graph of interactions: colour refinement (Weisfeiler
and Leman, 1968) of the bipartite multigraph, without order and time. Two datasets that are renumberings of one another
get the same names; nodes that even so share a name are those that their neighbours do not tell apart. A single other
interaction spreads through the names, so this comparison confirms a renumbering and does not measure a distance.

Shapes: N interactions, U users, V items.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seqrepro.data.interactions import Int64
from seqrepro.data.registry import Agreement

Names = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Sequences:
    """One sequence a user, jagged, oldest first; users and items under names that both sides of a comparison know."""

    users: npt.NDArray[np.generic]  # [U]
    offsets: Int64  # [U + 1]
    items: npt.NDArray[np.generic]  # [N]
    timestamps: Int64 | None  # [N]

    def parts(self) -> Iterator[tuple[object, tuple[object, ...], Sequence[int] | None]]:
        """User, items and timestamps of each row."""
        items = self.items.tolist()
        times = None if self.timestamps is None else self.timestamps.tolist()
        edges = self.offsets.tolist()
        for user, start, stop in zip(self.users.tolist(), edges[:-1], edges[1:], strict=True):
            yield user, tuple(items[start:stop]), None if times is None else times[start:stop]


@dataclass(frozen=True)
class OneUser:
    """One user's sequence."""

    items: tuple[object, ...]
    times: Sequence[int] | None


def compare(ours: Sequences, theirs: Sequences) -> Agreement:
    """Count the users whose sequences are equal, differ within equal timestamps only, or differ otherwise.

    Users are paired by name; of several users of one name, the closest ones: by times first, and then by order.

    Args:
        ours: with timestamps if ties are to be told from other differences.
        theirs: timestamps are used only if ours has none.
    """
    left, right = _grouped(ours), _grouped(theirs)
    both = set(left) & set(right)
    alone = sum(len(rows) for name, rows in [*left.items(), *right.items()] if name not in both)
    found = {"users": 0, "equal": 0, "ties": 0, "other": alone, "test_targets": 0, "validation_targets": 0, "times": 0}
    for name in both:
        pairs, unpaired = _paired(left[name], right[name])
        found["other"] += unpaired
        for kind, a, b in pairs:
            found["users"] += 1
            found[kind] += 1
            found["test_targets"] += a.items[-1:] != b.items[-1:]
            found["validation_targets"] += a.items[-2:-1] != b.items[-2:-1]
            found["times"] += a.times is not None and b.times is not None and a.times != b.times
    return Agreement(**found)


def compare_structure(ours: Sequences, theirs: Sequences) -> Agreement:
    """As `compare`, under names that follow from the structure alone; counts our nodes that share a name (`untold`)."""
    first, untold, rounds = _renamed(ours)
    second, _, _ = _renamed(theirs, rounds)
    return compare(first, second).model_copy(update={"untold": untold})


def _grouped(sequences: Sequences) -> dict[object, list[OneUser]]:
    groups: dict[object, list[OneUser]] = defaultdict(list)
    for user, items, times in sequences.parts():
        groups[user].append(OneUser(items, times))
    return groups


def _paired(left: list[OneUser], right: list[OneUser]) -> tuple[list[tuple[str, OneUser, OneUser]], int]:
    """(equal | ties | other, ours, theirs) for the users of one name, and how many stay without a partner."""
    pairs = []
    for kind, agree in _CLOSEST_FIRST:
        waiting = []
        for a in left:
            found = next((place for place, b in enumerate(right) if agree(a, b)), None)
            if found is None:
                waiting.append(a)
            else:
                pairs.append((kind, a, right.pop(found)))
        left = waiting
    return pairs, len(left) + len(right)


def _equal(a: OneUser, b: OneUser) -> bool:
    return a.items == b.items


def _same_but_ties(a: OneUser, b: OneUser) -> bool:
    """Whether the other's order, under the timestamps of the one, has no step back in time."""
    timed, other = (a, b) if a.times is not None else (b, a)
    if timed.times is None or len(timed.items) != len(other.items):
        return False
    moments: dict[object, list[int]] = defaultdict(list)
    for item, time in zip(timed.items, timed.times, strict=True):
        moments[item].append(time)
    waiting = {item: iter(times) for item, times in moments.items()}
    order = [next(waiting[item], None) if item in waiting else None for item in other.items]
    return None not in order and all(np.diff(np.array(order, np.int64)) >= 0)


def _at_same_times(agree: Callable[[OneUser, OneUser], bool]) -> Callable[[OneUser, OneUser], bool]:
    return lambda a, b: a.times == b.times and agree(a, b)


_CLOSEST_FIRST: tuple[tuple[str, Callable[[OneUser, OneUser], bool]], ...] = (
    ("equal", _at_same_times(_equal)),
    ("ties", _at_same_times(_same_but_ties)),
    ("equal", _equal),
    ("ties", _same_but_ties),
    ("other", lambda a, b: True),
)


def _renamed(sequences: Sequences, rounds: int | None = None) -> tuple[Sequences, int, int]:
    """The same under names by structure, how many nodes share a name, and after how many rounds (None: as it needs)."""
    rows = np.repeat(np.arange(len(sequences.users)), np.diff(sequences.offsets))
    distinct, items = np.unique(sequences.items, return_inverse=True)
    of_users, of_items = np.zeros(len(sequences.users), np.uint64), np.zeros(len(distinct), np.uint64)
    taken, told, before = 0, 1, 0
    while taken != rounds and (rounds is not None or told > before):
        of_users = _next(of_users, rows, of_items[items])
        of_items = _next(of_items, items, of_users[rows])
        taken, before = taken + 1, told
        told = sum(len(np.unique(names)) for names in (of_users, of_items))
    sizes = [np.unique(names, return_counts=True)[1] for names in (of_users, of_items)]
    untold = sum(int(size[size > 1].sum()) for size in sizes)
    return replace(sequences, users=of_users, items=of_items[items]), untold, taken


def _next(names: Names, nodes: Int64, neighbours: Names) -> Names:
    """New names of nodes: a hash of the old one and of the multiset of the neighbours' names."""
    sums = np.zeros(len(names), np.uint64)
    np.add.at(sums, nodes, _mixed(neighbours))
    return _mixed(sums + np.uint64(3) * _mixed(names))


def _mixed(values: Names) -> Names:
    """A hash of each value (the finaliser of splitmix64; Steele, Lea and Flood, 2014); arithmetic modulo 2**64."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))

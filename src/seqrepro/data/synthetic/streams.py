"""What all generators share: one random stream a purpose, lengths, times, and the rows put together.

    m = shortest - 1 + G,  G geometric on 1, 2, ... with mean (mean_length - shortest + 1)
    t_1 uniform over a year,  t_{j+1} = t_j + g_j,  g_j >= 1 whole seconds (by default geometric with mean one day)

The streams are children of the seed, told apart by their place in the list of names: lengths and times come from
streams of their own, so they are independent of the items.

Shapes: U users, N interactions, V items.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numpy.random import PCG64, Generator, SeedSequence

from seqrepro.data.interactions import Int64, Interactions

Float64 = npt.NDArray[np.float64]
MIN_LENGTH = 3  # leave-one-out needs a target for validation, one for test, and something before them
DAY_S = 86_400
EPOCH_S = 1_577_836_800  # 2020-01-01T00:00:00Z


def streams(seed: int, *names: str) -> dict[str, Generator]:
    """An independent generator for each name; a name appended later does not change the others."""
    children = SeedSequence(seed).spawn(len(names))
    return {name: Generator(PCG64(child)) for name, child in zip(names, children, strict=True)}


def geometric_lengths(users: int, mean_length: float, stream: Generator, shortest: int = MIN_LENGTH) -> Int64:
    """Interactions of each user [U], at least `shortest`, with the mean that is asked for."""
    return shortest - 1 + stream.geometric(1 / (mean_length - shortest + 1), size=users)


def starts_of(lengths: Int64) -> Int64:
    """The first row of each user [U]."""
    return np.cumsum(lengths) - lengths


def day_gaps(lengths: Int64, stream: Generator) -> Int64:
    """Seconds [N] since the previous interaction: geometric with mean one day."""
    return stream.geometric(1 / DAY_S, size=int(lengths.sum()))


def timestamps(lengths: Int64, gaps: Int64, stream: Generator) -> Int64:
    """Unix seconds [N] with these gaps [N] within a user; the gap before a first row is not used."""
    starts = starts_of(lengths)
    steps = gaps.copy()
    steps[starts] = EPOCH_S + stream.integers(0, 365 * DAY_S, size=len(lengths))
    total = np.cumsum(steps)
    return total - np.repeat(total[starts] - steps[starts], lengths)


def assemble(lengths: Int64, values: Int64, times: Int64, n_items: int) -> Interactions:
    """The interactions of users 1..U, user by user, oldest first; `values` [N] counts items from 0."""
    users = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    return Interactions(users=pa.array(users), items=pa.array(values + 1), timestamps=times, n_items=n_items)

r"""A chain on the integers modulo V whose entropy rate is known in closed form, whatever the size of the catalogue.

    p_d = (1 - e) w_d + e / V,   w_d = decay^d / sum_{j<b} decay^j for d < b, else 0       the law of the offsets
    a(s_{t-k}, ..., s_{t-1}) = sum_l pi_l(s_{t-l})      pi_l a seeded permutation of the items (or 0: lag l has no say)
    s_t = (a + D_t) mod V,   D_t independent of one another and of the past, with law p

So P(s_t = x | past) = p[(x - a) mod V]: b successors of known probability, a little of everything (e), and nothing to
store but k permutations. Each context has the same law up to a shift, so the entropy rate is H(p).

With pi_k a permutation, k independent uniform items are the stationary law: every k items in a row are independent and
uniform (as s_{t-k} is uniform given the k - 1 items after it, so is s_t). Hence all items are equally popular, and a
predictor that sees fewer than the k last items, or lacks one that has a say, knows nothing: its best law is uniform.

Shapes: B queries, N interactions, U users, V items, k order, b successors.
"""

import numpy as np
from numpy.random import Generator

from seqrepro.data.interactions import Int64
from seqrepro.data.synthetic.streams import Float64, starts_of


def offset_law(items: int, successors: int, decay: float, smoothing: float) -> Float64:
    """The law p [V] of the offsets, largest first: `successors` likely ones, and `smoothing` (e) spread over all."""
    likely = decay ** np.arange(successors)
    law = np.full(items, smoothing / items)
    law[:successors] += (1 - smoothing) * likely / likely.sum()
    return law


def permutations(items: int, count: int, stream: Generator) -> Int64:
    """Random permutations [count, V] of 0..V-1."""
    return stream.permuted(np.tile(np.arange(items), (count, 1)), axis=1)


def anchors(tables: Int64, contexts: Int64) -> Int64:
    """a [B] of contexts [B, k], oldest item first, from 0; table l - 1 of `tables` [k, V] is that of lag l."""
    total = tables[np.arange(len(tables)), contexts[:, ::-1]].sum(axis=1)
    wrapped: Int64 = total % tables.shape[1]
    return wrapped


def shifted(law: Float64, shifts: Int64) -> Float64:
    """Rows [B, V] with law[(x - shift) mod V] at item x."""
    size = len(law)
    rows: Float64 = law[(np.arange(size) - shifts[:, None]) % size]
    return rows


def walk(tables: Int64, first: Int64, offsets: Int64, lengths: Int64) -> Int64:
    """The items [N] from 0, all users one step at a time.

    `first` [U, k] are each user's first items; `offsets` [N] are those of the rows (unused in the first k of a user).
    """
    order, size = tables.shape
    starts = starts_of(lengths)
    values = np.empty(int(lengths.sum()), dtype=np.int64)
    values[starts[:, None] + np.arange(order)] = first
    for step in range(order, int(lengths.max())):
        rows = starts[lengths > step] + step
        contexts = values[rows[:, None] + np.arange(-order, 0)]
        values[rows] = (anchors(tables, contexts) + offsets[rows]) % size
    return values

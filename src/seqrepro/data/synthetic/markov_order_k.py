r"""Generated interactions: a Markov chain of order k with known entropy, in which order is all that there is.

    s_t = (a(s_{t-k}, ..., s_{t-1}) + D_t) mod V,  D_t ~ p         the chain of `chain.py`; s_1..s_k uniform
    memory `joint`:   a = sum_{l=1..k} pi_l(s_{t-l})                all k items together decide
    memory `oldest`:  a = pi_k(s_{t-k})                             only the item k steps back decides
    m >= max(3, k + 2), geometric above that, independent of the items: the targets of leave-one-out have k items before

Truth, exact: every target after k items has the law p shifted by a(context), so the best predictor reaches
nll = H(p) (the entropy rate), hit_rate@10 = sum of the ten largest p, whatever the user and the position. Every k
items in a row are independent and uniform: popularity, and any predictor that sees only the last k - 1 items, has the
uniform law as its best: nll = ln V, hit_rate@10 = 10 / V. Items recur, so judge without history masking.
The law depends on (items, order, successors, decay, smoothing, memory, seed), not on the number of users.
"""

from typing import Literal

import numpy as np

from seqrepro.data.interactions import Int64, Interactions
from seqrepro.data.synthetic.chain import anchors, offset_law, permutations, shifted, walk
from seqrepro.data.synthetic.law import Seen
from seqrepro.data.synthetic.streams import (
    MIN_LENGTH,
    Float64,
    assemble,
    day_gaps,
    geometric_lengths,
    streams,
    timestamps,
)
from seqrepro.data.synthetic.truth import Best, best

Memory = Literal["joint", "oldest"]
STREAMS = ("tables", "lengths", "first", "offsets", "times")


def generate(
    users: int,
    items: int,
    order: int,
    successors: int,
    decay: float,
    smoothing: float,
    mean_length: float,
    seed: int,
    memory: Memory = "joint",
) -> Interactions:
    """Generate the interactions of U users over V items, user by user, oldest first."""
    purpose = streams(seed, *STREAMS)
    lengths = geometric_lengths(users, mean_length, purpose["lengths"], max(MIN_LENGTH, order + 2))
    first = purpose["first"].integers(0, items, size=(users, order))
    law = offset_law(items, successors, decay, smoothing)
    offsets = purpose["offsets"].choice(items, size=int(lengths.sum()), p=law)
    values = walk(tables(items, order, memory, seed), first, offsets, lengths)
    times = timestamps(lengths, day_gaps(lengths, purpose["times"]), purpose["times"])
    return assemble(lengths, values, times, items)


def tables(items: int, order: int, memory: Memory, seed: int) -> Int64:
    """What each lag adds to the anchor: [k, V], row l - 1 for lag l."""
    drawn = permutations(items, order, streams(seed, *STREAMS)["tables"])
    if memory == "oldest":
        drawn[:-1] = 0
    return drawn


def truth(items: int, successors: int, decay: float, smoothing: float) -> Best:
    """The entropy rate, and the ranking metrics of the best predictor: exact."""
    return best(offset_law(items, successors, decay, smoothing))


def next_item(
    seen: Seen,
    items: int,
    order: int,
    successors: int,
    decay: float,
    smoothing: float,
    seed: int,
    memory: Memory = "joint",
    **_: object,
) -> Float64:
    """The law [B, V] of the item after each history; uniform where it has fewer than k items."""
    contexts = seen.last(order)
    known = contexts[:, 0] > 0
    laws = np.full((len(contexts), items), 1 / items)
    laws[known] = predictive(contexts[known], items, successors, decay, smoothing, seed, memory)
    return laws


def predictive(
    contexts: Int64,
    items: int,
    successors: int,
    decay: float,
    smoothing: float,
    seed: int,
    memory: Memory = "joint",
) -> Float64:
    """The law [B, V] of the item after each context [B, k] (items from 1, oldest first); column 0 is item 1."""
    law = offset_law(items, successors, decay, smoothing)
    return shifted(law, anchors(tables(items, contexts.shape[1], memory, seed), np.asarray(contexts) - 1))

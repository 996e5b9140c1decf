r"""Generated interactions: what comes next depends on which items came before, and not on their order.

    z_u uniform on 0..K-1                                 the user's latent type, never seen
    block of an interaction: z_u with probability a (affinity), else one of the K - 1 others, equally likely (b each)
    place r within the block ~ w,  w_r = (r + 1)^-exponent / sum       the same law in each block of V / K items
    item = 1 + block + K r,  so that P(item | z) = w_r (a if block = z else b)

Given z the items are independent, so a sequence is exchangeable: all its orders are equally likely. With n_k items of
block k in the history, whatever their order and their places,
    P(z | history) = (a/b)^n_z / sum_k (a/b)^n_k,        P(next block = k | history) = b + (a - b) P(z = k | history)
is the best predictor that there is; a model that uses the order can only lose.

Truth for a history of n items, exact: the mean over the counts (n_0..n_{K-1}), each with its multinomial probability.
At n = 0 it is the law of popularity; with the type known it is the limit of long histories. m >= 3, geometric above
that, independent of type and items. Items recur, so judge without history masking.

Shapes: B queries, N interactions, U users, V items, K types.
"""

from itertools import combinations
from math import comb

import numpy as np

from seqrepro.data.interactions import Int64, Interactions
from seqrepro.data.synthetic.law import Seen
from seqrepro.data.synthetic.streams import Float64, assemble, day_gaps, geometric_lengths, streams, timestamps
from seqrepro.data.synthetic.truth import CUTOFF, Best, best, entropy, ranking_gains
from seqrepro.errors import InputError

STREAMS = ("lengths", "types", "blocks", "places", "times")
MOST_COUNTS = 200_000


def generate(
    users: int, items: int, types: int, affinity: float, exponent: float, mean_length: float, seed: int
) -> Interactions:
    """Generate the interactions of U users over V items, user by user, oldest first."""
    purpose = streams(seed, *STREAMS)
    lengths = geometric_lengths(users, mean_length, purpose["lengths"])
    own = np.repeat(purpose["types"].integers(0, types, size=users), lengths)
    blocks = (own + _steps(len(own), types, affinity, purpose["blocks"])) % types
    places = purpose["places"].choice(items // types, size=len(own), p=place_law(items, types, exponent))
    times = timestamps(lengths, day_gaps(lengths, purpose["times"]), purpose["times"])
    return assemble(lengths, blocks + types * places, times, items)


def place_law(items: int, types: int, exponent: float) -> Float64:
    """The law w [V / K] of the place within a block, the most popular first."""
    weights = (np.arange(items // types) + 1.0) ** -exponent
    law: Float64 = weights / weights.sum()
    return law


def block_counts(items: Int64, lengths: Int64, types: int) -> Int64:
    """How many items of each block [B, K] the histories hold: their items [N] from 1, row by row."""
    rows = np.repeat(np.arange(len(lengths)), lengths)
    cells = np.bincount(rows * types + (items - 1) % types, minlength=len(lengths) * types)
    return cells.reshape(len(lengths), types)


def block_law(counts: Int64, affinity: float) -> Float64:
    """The law of the next item's block [B, K], given the counts [B, K] of the history."""
    other = (1 - affinity) / (counts.shape[1] - 1)
    logits = counts * np.log(affinity / other)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    posterior = odds / odds.sum(axis=1, keepdims=True)
    law: Float64 = other + (affinity - other) * posterior
    return law


def predictive(counts: Int64, items: int, affinity: float, exponent: float) -> Float64:
    """The law [B, V] of the next item after histories with these counts [B, K]; column 0 is item 1."""
    types = counts.shape[1]
    places = place_law(items, types, exponent)
    return (places[:, None] * block_law(counts, affinity)[:, None, :]).reshape(len(counts), items)


def next_item(seen: Seen, items: int, types: int, affinity: float, exponent: float, **_: object) -> Float64:
    """The law [B, V] of the item after each history, from what it holds."""
    return predictive(block_counts(seen.items, seen.lengths, types), items, affinity, exponent)


def truth(items: int, types: int, affinity: float, exponent: float, history: int) -> Best:
    """What the best predictor reaches after `history` items, in expectation over users: exact.

    Raises:
        InputError: so many types and items that there are more than 200,000 different counts.
    """
    if (found := comb(history + types - 1, types - 1)) > MOST_COUNTS:
        raise InputError(f"history: found {found:,} counts of {history} items, expected at most {MOST_COUNTS:,}")
    counts = _compositions(history, types)
    places, blocks = place_law(items, types, exponent), block_law(counts, affinity)
    chances = _chances(counts, affinity)
    top = (places[:CUTOFF, None] * blocks[:, None, :]).reshape(len(blocks), -1)  # no others are among the ten best
    hit_rate, ndcg = ranking_gains(top)
    nats = entropy(places) + entropy(blocks)
    return Best(float(chances @ nats), float(chances @ hit_rate), float(chances @ ndcg))


def truth_of_known_type(items: int, types: int, affinity: float, exponent: float) -> Best:
    """The limit of long histories, a bound for all: exact."""
    blocks = np.full(types, (1 - affinity) / (types - 1))
    blocks[0] = affinity
    return best(np.outer(place_law(items, types, exponent), blocks).reshape(1, -1))


def _steps(size: int, types: int, affinity: float, stream: np.random.Generator) -> Int64:
    """How far the block [N] lies from the user's own: 0 with the probability `affinity`."""
    others = stream.integers(1, types, size=size)
    return np.where(stream.random(size) < affinity, 0, others)


def _compositions(total: int, parts: int) -> Int64:
    """All ways [B, parts] to write `total` as an ordered sum of `parts` terms, by stars and bars."""
    places = total + parts - 1
    bars = np.array(list(combinations(range(places), parts - 1)), dtype=np.int64)
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, places)))
    return np.diff(edges, axis=1) - 1


def _chances(counts: Int64, affinity: float) -> Float64:
    """The probability [B] of each history's counts [B, K], the type being unknown."""
    types = counts.shape[1]
    total = int(counts[0].sum())
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])
    arrangements = factorials[total] - factorials[counts].sum(axis=1)
    other = (1 - affinity) / (types - 1)
    given_type = counts * np.log(affinity) + (total - counts) * np.log(other)
    chances: Float64 = np.exp(arrangements[:, None] + given_type).mean(axis=1)
    return chances

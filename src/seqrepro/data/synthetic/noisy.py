r"""Generated interactions with planted noise: a known share of the rows is replaced by uniform random items.

    s_t = (pi(s_{t-1}) + D_t) mod V,  D_t ~ p        the clean chain: order 1, of `chain.py`; it runs on underneath
    y_t = s_t with probability 1 - rho, else uniform on the items            what is seen; the places are independent
    clean_targets:  the last two items of a user are never replaced, so that noise is in the training part alone

`noise_mask` returns which rows were replaced (one in V of them by the item that stood there).

Truth. All items are equally popular. Without clean targets, and u = 1 / V:
    exact, a bound that no predictor beats:   the clean s_t is known; the next item's law is (1 - rho) p + rho u
    exact, and reached from the last item:    s_t = y_t with probability 1 - rho, so (1 - rho)^2 p + rho (2 - rho) u
    exact for each history, no closed form:   `predictive`, the Bayes filter over all items seen
The entropy rate, and the Bayes-optimal hit_rate@10 of the filter, have no closed form: they lie between the two.
With clean targets the test target and the item before it are clean, so that its law is p itself, exactly, and the last
item is all there is to know. m >= 3, geometric above that, independent of items and noise. Items recur, so judge
without history masking.

Shapes: N interactions, U users, V items.
"""

from typing import Literal

import numpy as np

from seqrepro.data.interactions import Int64, Interactions, Mask
from seqrepro.data.synthetic.chain import offset_law, permutations, walk
from seqrepro.data.synthetic.law import Seen
from seqrepro.data.synthetic.streams import (
    Float64,
    assemble,
    day_gaps,
    geometric_lengths,
    starts_of,
    streams,
    timestamps,
)
from seqrepro.data.synthetic.truth import Best, best

STREAMS = ("tables", "lengths", "first", "offsets", "places", "noise", "times")


def generate(
    users: int,
    items: int,
    successors: int,
    decay: float,
    smoothing: float,
    noise: float,
    mean_length: float,
    seed: int,
    clean_targets: bool = False,
) -> Interactions:
    """Generate the interactions of U users over V items, user by user, oldest first; `noise` is rho."""
    purpose = streams(seed, *STREAMS)
    lengths = geometric_lengths(users, mean_length, purpose["lengths"])
    n = int(lengths.sum())
    offsets = purpose["offsets"].choice(items, size=n, p=offset_law(items, successors, decay, smoothing))
    clean = walk(table(items, seed)[None], purpose["first"].integers(0, items, size=(users, 1)), offsets, lengths)
    replaced = noise_mask(users, noise, mean_length, seed, clean_targets)
    values = np.where(replaced, purpose["noise"].integers(0, items, size=n), clean)
    times = timestamps(lengths, day_gaps(lengths, purpose["times"]), purpose["times"])
    return assemble(lengths, values, times, items)


def noise_mask(users: int, noise: float, mean_length: float, seed: int, clean_targets: bool = False) -> Mask:
    """Which rows [N] of `generate` were replaced."""
    purpose = streams(seed, *STREAMS)
    lengths = geometric_lengths(users, mean_length, purpose["lengths"])
    replaced = purpose["places"].random(int(lengths.sum())) < noise
    if clean_targets:
        ends = starts_of(lengths) + lengths
        replaced[ends - 1] = replaced[ends - 2] = False
    return replaced


def table(items: int, seed: int) -> Int64:
    """The permutation pi [V] of the clean chain."""
    drawn: Int64 = permutations(items, 1, streams(seed, *STREAMS)["tables"])[0]
    return drawn


def truth(
    items: int, successors: int, decay: float, smoothing: float, noise: float, clean_targets: bool = False
) -> dict[Literal["bound", "last_item"], Best]:
    """For the last item of a user: what no predictor beats, and what the best one reaches from the item before it."""
    law, uniform = offset_law(items, successors, decay, smoothing), 1 / items
    if clean_targets:
        return {"bound": best(law), "last_item": best(law)}
    kept = 1 - noise
    return {
        "bound": best(kept * law + (1 - kept) * uniform),
        "last_item": best(kept**2 * law + (1 - kept**2) * uniform),
    }


def predictive(
    items_seen: Int64,
    lengths: Int64,
    items: int,
    successors: int,
    decay: float,
    smoothing: float,
    noise: float,
    seed: int,
) -> Float64:
    """The law [U, V] of what is seen next (noise included), given all that was seen: the forward recursion, exact.

    `items_seen` [N] from 1, row by row, `lengths` [U]. For data without clean targets. Takes U V numbers of memory
    and a pass over them for each step and successor.
    """
    law = offset_law(items, successors, decay, smoothing)[:successors] - smoothing / items
    came_from = np.argsort(table(items, seed))
    starts = starts_of(lengths)
    expected = np.full((len(lengths), items), 1 / items)  # of the clean item, before the next is seen
    for step in range(int(lengths.max())):
        rows = np.flatnonzero(lengths > step)
        belief = expected[rows] * (noise / items)
        seen = items_seen[starts[rows] + step] - 1
        belief[np.arange(len(rows)), seen] += (1 - noise) * expected[rows, seen]
        anchored = (belief / belief.sum(axis=1, keepdims=True))[:, came_from]
        expected[rows] = smoothing / items + sum(p * np.roll(anchored, d, axis=1) for d, p in enumerate(law))
    return (1 - noise) * expected + noise / items


def next_item(
    seen: Seen,
    items: int,
    successors: int,
    decay: float,
    smoothing: float,
    noise: float,
    seed: int,
    **_: object,
) -> Float64:
    """The law [B, V] of what is seen after each history: the filter. For data without clean targets."""
    return predictive(seen.items, seen.lengths, items, successors, decay, smoothing, noise, seed)

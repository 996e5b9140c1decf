r"""Generated interactions: the next item depends on the last item and on the time gap before that last item.

    c_t uniform on 0..C-1                                     the cause at event t
    s_{t+1} = (pi(s_t) + b c_t + D_{t+1}) mod V,  D ~ p       the chain of `chain.py`, order 1, b = successors
    g_t = floor(60 20^c 10^u) seconds, u uniform on [0, 1)    the gap between events t - 1 and t, of class c:
        gaps `informative`:  c = c_t          gaps `noise`:  c = c'_t, drawn independently of everything else

Class 0 takes 1 to 10 minutes, class 1 20 minutes to 3.3 hours, class 2 7 hours to 2.8 days, class 3 6 to 56 days.

Which gap. The gap to the target is not known when one predicts, so it must not be the informative one. Here g_t, the
gap between the last two *known* events, tells what follows event t; the gap from event t to the target tells nothing
about the target. m >= 4, geometric above that, independent of all else: the targets of leave-one-out have such a gap.

Truth, exact, for targets with two events or more before them; p^c is p shifted by b c, and q = mean_c p^c:
    informative, gap known:  H(p), sum of the ten largest p          gap unknown:  H(q), sum of the ten largest q
    noise:                   H(q), sum of the ten largest q, with or without the gap
The items alone are a chain of order 1 with law q in both; for one seed the items are the same bytes in both, and so is
the law of the gaps. Where C b <= 10, hit_rate@10 cannot tell the two: all likely items fit; choose C b well above 10.
Items recur, so judge without history masking.
"""

from typing import Literal

import numpy as np
from numpy.random import Generator

from seqrepro.data.interactions import Int64, Interactions
from seqrepro.data.synthetic.chain import offset_law, permutations, shifted, walk
from seqrepro.data.synthetic.law import Seen
from seqrepro.data.synthetic.streams import Float64, assemble, geometric_lengths, streams, timestamps
from seqrepro.data.synthetic.truth import Best, best

Gaps = Literal["informative", "noise"]
SHORTEST = 4
STREAMS = ("tables", "lengths", "first", "causes", "offsets", "classes", "gaps", "times")


def generate(
    users: int,
    items: int,
    classes: int,
    successors: int,
    decay: float,
    smoothing: float,
    gaps: Gaps,
    mean_length: float,
    seed: int,
) -> Interactions:
    """Generate the interactions of U users over V items, user by user, oldest first."""
    purpose = streams(seed, *STREAMS)
    lengths = geometric_lengths(users, mean_length, purpose["lengths"], SHORTEST)
    n = int(lengths.sum())
    causes = purpose["causes"].integers(0, classes, size=n)
    offsets = purpose["offsets"].choice(items, size=n, p=offset_law(items, successors, decay, smoothing))
    offsets[1:] += successors * causes[:-1]  # a first row has no offset, so no cause crosses from user to user
    first = purpose["first"].integers(0, items, size=(users, 1))
    values = walk(table(items, seed)[None], first, offsets, lengths)
    seen = causes if gaps == "informative" else purpose["classes"].integers(0, classes, size=n)
    times = timestamps(lengths, seconds(seen, purpose["gaps"]), purpose["times"])
    return assemble(lengths, values, times, items)


def table(items: int, seed: int) -> Int64:
    """The permutation pi [V]."""
    drawn: Int64 = permutations(items, 1, streams(seed, *STREAMS)["tables"])[0]
    return drawn


def seconds(classes: Int64, stream: Generator) -> Int64:
    """A gap [N] in whole seconds of each class [N], log-uniform within its class."""
    return np.floor(_lowest(classes) * 10 ** stream.random(len(classes))).astype(np.int64)


def class_of(gaps: Int64, classes: int) -> Int64:
    """The class [B] of each gap [B] in seconds."""
    return np.searchsorted(_lowest(np.arange(classes)), gaps, side="right") - 1


def laws(items: int, classes: int, successors: int, decay: float, smoothing: float) -> tuple[Float64, Float64]:
    """The laws of the offset from pi(last item), given the cause [C, V], and not given it (their mean) [V]."""
    law = offset_law(items, successors, decay, smoothing)
    known = shifted(law, successors * np.arange(classes))
    return known, known.mean(axis=0)


def truth(
    items: int, classes: int, successors: int, decay: float, smoothing: float, gaps: Gaps
) -> dict[Literal["with_gap", "without_gap"], Best]:
    """What the best predictor reaches that knows the gap before the last item, and that does not: exact."""
    known, unknown = laws(items, classes, successors, decay, smoothing)
    return {"with_gap": best(known if gaps == "informative" else unknown), "without_gap": best(unknown)}


def predictive(
    last: Int64,
    gaps_s: Int64 | None,
    items: int,
    classes: int,
    successors: int,
    decay: float,
    smoothing: float,
    seed: int,
) -> Float64:
    """The law [B, V] of the next item after the items `last` [B] (from 1), with the gaps [B] before them or without.

    This is the law for `informative` gaps; where gaps are noise the best predictor is the one without.
    """
    known, unknown = laws(items, classes, successors, decay, smoothing)
    anchor = table(items, seed)[last - 1]
    if gaps_s is None:
        return shifted(unknown, anchor)
    return shifted(known[0], anchor + successors * class_of(gaps_s, classes))


def next_item(
    seen: Seen,
    items: int,
    classes: int,
    successors: int,
    decay: float,
    smoothing: float,
    gaps: Gaps,
    seed: int,
    **_: object,
) -> Float64:
    """The law [B, V] of the item after each history, from its last item and the gap before it, where that tells."""
    last, seconds_B = seen.last(1)[:, 0], seen.gaps()
    parameters = (items, classes, successors, decay, smoothing, seed)
    laws = np.where((last > 0)[:, None], predictive(last, None, *parameters), 1 / items)
    if gaps == "informative" and seconds_B is not None:
        told = seen.lengths >= 2
        laws[told] = predictive(last[told], seconds_B[told], *parameters)
    return laws


def _lowest(classes: Int64) -> Float64:
    lowest: Float64 = 60 * np.power(20.0, classes)
    return lowest

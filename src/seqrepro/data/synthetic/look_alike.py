r"""Generated interactions of any size whose item popularity and sequence lengths look like those of a named dataset.

    popularity: p_r ~ (r / V + shift)^-exponent, r = 1..V      Zipf-Mandelbrot; the shift in units of the catalogue
    lengths:    P(m = shortest - 1 + k) ~ Phi((ln k - mu) / sigma) - Phi((ln(k - 1) - mu) / sigma), m <= longest
    items of a user: the first m items of an endless stream of draws from p; without repeats: the first m different ones

Which item has which rank of popularity is a seeded permutation. The lengths are drawn apart from the stream.

Truth, exact. With repeats, items are independent: nll = H(p), hit_rate@10 = sum of the ten largest p. Without repeats
the next item after the history h has the law p_x / (1 - p(h)) for x not in h: the best predictor is popularity with
the history masked, whatever the order of h. There is nothing else to learn: this kind is for measuring cost and for
methods that may use popularity alone, not for comparing accuracy. Without repeats, long histories have used up what
is popular, so the law of an item depends on how many stand before it; given the history it does not depend on m.

LIKE holds fits to the 5-cores of the real datasets (iterative; users x items x interactions as listed there). Lengths:
shortest and longest as found, mu and sigma such that the mean of the lengths and the mean of ln k are those of the data
(the medians then come within 11 % of the real ones). Popularity: maximum likelihood of the item counts, sorted, under
their expectation sum_u (1 - exp(-p_r T_u)) where no user repeats an item (T_u solves sum_r (1 - exp(-p_r T_u)) = m_u,
for 200 quantiles of the lengths), under p_r where users do (yelp). What these laws leave out: ties in time, repeats of
one's own favourites, and the very top of the popular items, which is less popular here than in truth.

Shapes: U users, N interactions, V items.
"""

from typing import TypedDict

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr

from seqrepro.data.interactions import Int64, Interactions, Mask
from seqrepro.data.synthetic.law import Seen
from seqrepro.data.synthetic.streams import Float64, assemble, day_gaps, starts_of, streams, timestamps
from seqrepro.data.synthetic.truth import Best, best
from seqrepro.errors import InputError

STREAMS = ("ranks", "lengths", "items", "times")
MOST_DRAWS = 4_000_000  # in a round after the first


class Popularity(TypedDict):
    """Of the items, by rank."""

    exponent: float
    shift: float


class Lengths(TypedDict):
    """Of the sequences; `mu` and `sigma` of the logarithm of the length above `shortest` - 1."""

    shortest: int
    longest: int
    mu: float
    sigma: float


class Like(TypedDict):
    """What describes a dataset."""

    popularity: Popularity
    lengths: Lengths
    repeats: bool


LIKE: dict[str, Like] = {
    "beauty": {  # 22,363 x 12,101 x 198,502
        "popularity": {"exponent": 0.859, "shift": 0.01125},
        "lengths": {"shortest": 5, "longest": 204, "mu": 0.6423, "sigma": 1.2969},
        "repeats": False,
    },
    "ml-1m": {  # 6,040 x 3,416 x 999,611
        "popularity": {"exponent": 3.197, "shift": 0.3043},
        "lengths": {"shortest": 18, "longest": 2277, "mu": 4.2338, "sigma": 1.3020},
        "repeats": False,
    },
    "ml-100k": {  # 943 x 1,349 x 99,287
        "popularity": {"exponent": 3.521, "shift": 0.4279},
        "lengths": {"shortest": 19, "longest": 648, "mu": 3.8037, "sigma": 1.5029},
        "repeats": False,
    },
    "yelp": {  # 30,431 x 20,033 x 316,354, of which 3.7 % are repeats
        "popularity": {"exponent": 0.785, "shift": 0.01193},
        "lengths": {"shortest": 5, "longest": 350, "mu": 0.9194, "sigma": 1.3117},
        "repeats": True,
    },
}


def generate(
    users: int,
    items: int,
    seed: int,
    like: str,
    popularity: Popularity | None = None,
    lengths: Lengths | None = None,
    repeats: bool | None = None,
) -> Interactions:
    """Generate the interactions of U users over V items, user by user, oldest first.

    What is not given is as in the dataset `like`. Without repeats no sequence is longer than half the catalogue.

    Raises:
        InputError: without repeats, a catalogue too small for the shortest sequence or a law too steep for the longest.
    """
    purpose = streams(seed, *STREAMS)
    again = LIKE[like]["repeats"] if repeats is None else repeats
    chances = length_law(lengths or LIKE[like]["lengths"], items, again)
    sizes = purpose["lengths"].choice(len(chances), size=users, p=chances)
    law = item_law(items, seed, popularity or LIKE[like]["popularity"])
    draw = _draws if again else _first_different
    values = draw(law, sizes, purpose["items"])
    times = timestamps(sizes, day_gaps(sizes, purpose["times"]), purpose["times"])
    return assemble(sizes, values, times, items)


def rank_law(items: int, popularity: Popularity) -> Float64:
    """The law p [V] by rank, the most popular first."""
    weights = (np.arange(1, items + 1) / items + popularity["shift"]) ** -popularity["exponent"]
    law: Float64 = weights / weights.sum()
    return law


def item_law(items: int, seed: int, popularity: Popularity) -> Float64:
    """The law p [V] by item; column 0 is item 1."""
    return streams(seed, *STREAMS)["ranks"].permutation(rank_law(items, popularity))


def length_law(lengths: Lengths, items: int, repeats: bool) -> Float64:
    """The probability of each length 0, 1, ..., longest.

    Raises:
        InputError: a catalogue too small for the shortest sequence without repeats.
    """
    longest = lengths["longest"] if repeats else min(lengths["longest"], items // 2)
    if longest < lengths["shortest"]:
        raise InputError(
            f"generator.items: found {items}, expected {2 * lengths['shortest']} or more: "
            f"sequences have at least {lengths['shortest']} items, at most half the catalogue without repeats"
        )
    steps = np.log(np.arange(1, longest - lengths["shortest"] + 2))
    chances = np.diff(ndtr((steps - lengths["mu"]) / lengths["sigma"]), prepend=0.0)
    law: Float64 = np.concatenate([np.zeros(lengths["shortest"]), chances / chances.sum()])
    return law


def truth(items: int, popularity: Popularity) -> Best:
    """What the best predictor reaches where items may recur: exact."""
    return best(rank_law(items, popularity))


def predictive(law: Float64, seen: Mask) -> Float64:
    """The law [B, V] of the next item without repeats, given the law p [V] and which items were seen [B, V]: exact."""
    left = np.where(seen, 0.0, law)
    result: Float64 = left / left.sum(axis=1, keepdims=True)
    return result


def next_item(
    seen: Seen,
    items: int,
    seed: int,
    like: str,
    popularity: Popularity | None = None,
    repeats: bool | None = None,
    **_: object,
) -> Float64:
    """The law [B, V] of the item after each history: that of popularity, without what was seen if nothing recurs."""
    law = item_law(items, seed, popularity or LIKE[like]["popularity"])
    was_seen = np.zeros((len(seen.lengths), items), dtype=bool)
    if not (LIKE[like]["repeats"] if repeats is None else repeats):
        was_seen[np.repeat(np.arange(len(was_seen)), seen.lengths), seen.items - 1] = True
    return predictive(law, was_seen)


def _draws(law: Float64, lengths: Int64, stream: Generator) -> Int64:
    """Independent items [N] from 0."""
    return np.searchsorted(_ladder(law), stream.random(int(lengths.sum())), side="right")


def _first_different(law: Float64, lengths: Int64, stream: Generator) -> Int64:
    """The first `lengths` [U] different items of each user's stream of draws: [N] from 0.

    Rounds: users who lack items draw 1, 2, 4, ... times as many as they lack; what they drew before comes first.

    Raises:
        InputError: the law is too steep for the longest sequences.
    """
    starts = starts_of(lengths)
    values = np.empty(int(lengths.sum()), dtype=np.int64)
    users = found = np.empty(0, dtype=np.int64)
    lacking, draws, factor = np.arange(len(lengths)), lengths, 1
    while len(lacking):
        if (wanted := int(draws.sum())) > max(MOST_DRAWS, len(values)):
            raise InputError(
                f"generator.popularity: {len(lacking)} users still lack items before {wanted:,} more draws; "
                "expected a less steep law, shorter sequences or repeats"
            )
        users = np.concatenate([users, np.repeat(lacking, draws)])
        found = np.concatenate([found, _draws(law, draws, stream)])
        users, found = _different(users, found, len(law))
        counts = np.bincount(users, minlength=len(lengths))
        place = np.arange(len(users)) - starts_of(counts)[users]
        fits = place < lengths[users]
        values[starts[users[fits]] + place[fits]] = found[fits]
        lacking, factor = lacking[counts[lacking] < lengths[lacking]], 2 * factor
        draws = factor * (lengths - counts)[lacking]
        wait = np.isin(users, lacking)
        users, found = users[wait], found[wait]
    return values


def _different(users: Int64, items: Int64, size: int) -> tuple[Int64, Int64]:
    """The rows by user, each item only where the user drew it first."""
    rows = np.argsort(users, kind="stable")
    users, items = users[rows], items[rows]
    new = _first_of_their_kind(users * size + items)
    return users[new], items[new]


def _first_of_their_kind(keys: Int64) -> Mask:
    """True [N] where a key stands for the first time."""
    rows = np.argsort(keys, kind="stable")
    ordered = keys[rows]
    first = np.empty(len(keys), dtype=bool)
    first[rows] = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    return first


def _ladder(law: Float64) -> Float64:
    """The cumulative law [V], whose last step no draw from [0, 1) misses."""
    ladder = np.cumsum(law)
    ladder[-1] = 1.0
    return ladder

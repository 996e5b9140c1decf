"""Coverage and popularity bias: which items a model recommends at all, and how popular they are.

With L_u the list of user u (the best k items that are not in the history), c_i the number of lists that hold item i,
p_i = c_i / sum_j c_j, n_i the number of training interactions of item i, and V items in the catalogue:

- coverage = |{i: c_i > 0}| / V. Aggregate diversity; Ge, Delgado-Battenfeld and Jannach, RecSys 2010.
- gini = sum_j (2 j - V - 1) c_(j) / (V sum_j c_j) with c_(1) <= ... <= c_(V): 0 if all items are shown equally often,
  1 - 1/V if only one is. As in Sun et al., WWW Companion 2019, and RecBole.
- shannon_entropy = - sum_i p_i log2 p_i, in bits: 2^entropy items, shown equally often, would be as diverse.
  RecBole 1.2.1 takes nats and divides by the number of items that were shown.
- average_popularity = mean over u of (sum of n_i over L_u) / |L_u|. Yin et al., VLDB 2012; ARP in Abdollahpouri, Burke
  and Mobasher, FLAIRS 2019.
- popularity_percentile: the same mean of (|{j: n_j < n_i}| + |{j: n_j = n_i}| / 2) / V in place of n_i. One half for
  random items, whatever the dataset; a few very popular items do not dominate it.
- tail_share: the same mean of [i is not among the 20 % of items with the most training interactions] (APLT in
  Abdollahpouri, Burke and Mobasher). Of items that tie at the border, each counts with the share of them that is beyond
  it: the expected value if ties were broken at random.

A user without any candidate has no list, and is in no mean.

Shapes: U users, K places, V items. A list is a row of item ids 1..V; 0 is an empty place.
"""

import math

import torch
from torch import Tensor

from seqrepro.errors import CheckFailed

HEAD_SHARE = 0.2
POPULARITY = ("average_popularity", "popularity_percentile", "tail_share")
MEASURES = ("coverage", "gini", "shannon_entropy", *POPULARITY)


def exposure(lists: Tensor, popularity: Tensor) -> dict[str, float]:
    """All MEASURES of lists [U, K], given the number of training interactions of each item, [V] int64.

    Raises:
        CheckFailed: nobody gets anything.
    """
    counts = item_exposure(lists, len(popularity))
    if not counts.any():
        raise CheckFailed("exposure: no user has a list; expected at least one candidate")
    values = {"coverage": coverage(counts), "gini": gini(counts), "shannon_entropy": shannon_entropy(counts)}
    return values | popularity_bias(lists, popularity)


def popularity_bias(lists: Tensor, popularity: Tensor) -> dict[str, float]:
    """The measures POPULARITY of lists [U, K]; of held-out items, as lists of one, they are the natural reference."""
    values = (popularity, popularity_percentile(popularity), tail_membership(popularity))
    return {name: mean_over_lists(value, lists) for name, value in zip(POPULARITY, values, strict=True)}


def item_exposure(lists: Tensor, n_items: int) -> Tensor:
    """In how many lists [U, K] each item stands, [V] int64."""
    return torch.bincount(lists.flatten(), minlength=n_items + 1)[1:]


def coverage(counts: Tensor) -> float:
    """The share of the items, given their exposure [V], that are in any list."""
    return int(counts.count_nonzero()) / len(counts)


def gini(counts: Tensor) -> float:
    """The Gini index of exposure [V] int64 over all items; counts are summed exactly."""
    n_items = len(counts)
    weights = 2 * torch.arange(1, n_items + 1) - n_items - 1
    return int((weights * counts.sort().values).sum()) / (n_items * int(counts.sum()))


def shannon_entropy(counts: Tensor) -> float:
    """The entropy, in bits, of exposure [V]."""
    shares = counts[counts > 0].double() / counts.sum()
    return float((shares * -shares.log2()).sum())


def mean_over_lists(values: Tensor, lists: Tensor) -> float:
    """The mean over users of the mean of the items' values [V] over the list; lists [U, K], at least one not empty."""
    by_id = torch.cat([values.new_zeros(1), values]).double()
    lengths = lists.count_nonzero(dim=1)
    return float((by_id[lists].sum(1)[lengths > 0] / lengths[lengths > 0]).mean())


def popularity_percentile(popularity: Tensor) -> Tensor:
    """The share of items that are less popular, those of the same popularity counted half, [V] float64."""
    less, same = _order(popularity)
    return (2 * less + same).double() / (2 * len(popularity))


def tail_membership(popularity: Tensor) -> Tensor:
    """1 for items outside the most popular ceil(HEAD_SHARE V) ones, 0 for those inside; in between at ties, [V]."""
    less, same = _order(popularity)
    n_items = len(popularity)
    in_tail = n_items - math.ceil(HEAD_SHARE * n_items) - less
    return (in_tail.double() / same).clamp(0, 1)


def _order(popularity: Tensor) -> tuple[Tensor, Tensor]:
    """How many items are less popular than each, and how many are as popular (itself too), [V] each."""
    _, group, sizes = torch.unique(popularity, return_inverse=True, return_counts=True)
    return (sizes.cumsum(0) - sizes)[group], sizes[group]

"""Accuracy metrics of next-item prediction with one target a user.

With rank r and cutoff k: hit_rate@k = [r <= k], ndcg@k = [r <= k] / log2(r + 1), mrr@k = [r <= k] / r, each averaged
over users. A rank beyond the number of items means a miss at every cutoff.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from seqrepro.errors import InputError

CUTOFFS = (1, 5, 10, 20, 50)
GAINS: dict[str, Callable[[Tensor], Tensor]] = {
    "hit_rate": torch.ones_like,
    "ndcg": lambda ranks: 1 / torch.log2(ranks + 1),
    "mrr": lambda ranks: 1 / ranks,
}
NAMES = tuple(f"{gain}@{cutoff}" for gain in GAINS for cutoff in CUTOFFS)


def user_values(name: str, ranks: Tensor, n_items: int) -> Tensor:
    """The metric of each user, [U] float64, from ranks [U].

    Raises:
        InputError: an unknown metric name.
    """
    gain, separator, cutoff = name.partition("@")
    if gain not in GAINS or not separator or not cutoff.isdigit() or int(cutoff) < 1:
        raise InputError(f"metric '{name}': expected one of {', '.join(GAINS)} followed by @ and a cutoff")
    hit = ranks <= min(int(cutoff), n_items)
    return torch.where(hit, GAINS[gain](ranks.double()), 0.0)


def mean(name: str, ranks: Tensor, n_items: int) -> float:
    """The metric averaged over users; 0 without users."""
    return float(user_values(name, ranks, n_items).mean()) if len(ranks) else 0.0


def all_means(ranks: Tensor, n_items: int) -> dict[str, float]:
    """All metrics at all standard cutoffs, averaged over users."""
    return {name: mean(name, ranks, n_items) for name in NAMES}

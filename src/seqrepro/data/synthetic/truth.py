"""What the best predictor that there is reaches in expectation, from the law of the next item.

    nll = -sum_x p_x ln p_x        hit_rate@10 = sum of the ten largest p_x        ndcg@10 = sum_r p_(r) / log2(r + 1)

with p_(1) >= p_(2) >= ... Among items of equal probability any order is as good in expectation. A generator that lets
items recur is judged without history masking: a target may be an item of the history.

Shapes: B queries, V items.
"""

from dataclasses import dataclass

import numpy as np

from seqrepro.data.synthetic.streams import Float64

CUTOFF = 10


@dataclass(frozen=True)
class Best:
    """The means over queries: negative log-likelihood in nats, hit_rate@10, ndcg@10."""

    nll: float
    hit_rate: float
    ndcg: float


def entropy(laws: Float64) -> Float64:
    """Nats [B] of each row of `laws` [B, V]; 0 ln 0 = 0."""
    logs = np.log(laws, out=np.zeros_like(laws), where=laws > 0)
    nats: Float64 = -(laws * logs).sum(axis=-1)
    return nats


def best(laws: Float64, weights: Float64 | None = None) -> Best:
    """The expectation under the laws [B, V] (or one law [V]) of their own best predictor, weighted by query [B]."""
    rows = np.atleast_2d(laws)
    gains = ranking_gains(rows)
    return Best(*(float(np.average(column, weights=weights)) for column in (entropy(rows), *gains)))


def ranking_gains(laws: Float64) -> tuple[Float64, Float64]:
    """Expected hit_rate@10 and ndcg@10 [B] of the ranking by the law itself."""
    top = -np.partition(-laws, min(CUTOFF, laws.shape[-1]) - 1, axis=-1)[..., :CUTOFF]
    top = -np.sort(-top, axis=-1)
    discounts = 1 / np.log2(np.arange(top.shape[-1]) + 2)
    return top.sum(axis=-1), top @ discounts

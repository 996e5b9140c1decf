"""The generic form of linear attention, of which most methods are a choice of features.

    A_t = sum over s of f_k(k_s) v_s^T,  z_t = sum over s of f_k(k_s)          s real, and s <= t if causal
    out_t = f_q(q_t) A_t / (f_q(q_t) . z_t + 1e-6)                            the normaliser only if the method has one

Causal rows are computed in chunks of C positions, within which the matrix of scores is small and before which the sum
A is all that counts: time T (C + r) d a head and memory (T / C) r d, where the plain prefix sums A_1..A_T would take
T r d, more than the scores of dot-product attention if r d > T. The normaliser is computed as one more value, 1.

Shapes: B rows, T length, H heads, d width of a head, r features of a head, e = d, or d + 1 with the normaliser.
"""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.models.attention.interface import Attention, State, masked, running, wide

CHUNK = 64


class LinearAttention(Attention):
    """Attention whose scores are inner products of features."""

    normalised: bool = True
    chunk: int = CHUNK

    @abstractmethod
    def query_features(self, query: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, r]; places [T] are the numbers of the positions, from 0."""

    @abstractmethod
    def key_features(self, key: Tensor, places: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, H, r]."""

    def quotient(self, mixed: Tensor, normaliser: Tensor) -> Tensor:
        """The mixture [..., d] over its normaliser [..., 1]."""
        return mixed / (normaliser + 1e-6)

    def summed(self, keys: Tensor) -> Tensor | None:
        """What is summed of the features of keys [B, T, H, r], for `rescaled`; None: nothing is."""
        return None

    def rescaled(self, queries: Tensor, sums: Tensor) -> Tensor:
        """The features of queries, given the sums up to their positions."""
        return queries

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it."""
        with wide(query, key, value) as (q, k, v):
            places = torch.arange(q.shape[1], device=q.device)
            queries, keys = self.query_features(q, places), masked(self.key_features(k, places), real)
            if (terms := self.summed(keys)) is not None:
                queries = self.rescaled(queries, running(terms, causal))
            values = self._with_one(v)
            mixed = causal_product(queries, keys, values, self.chunk) if causal else product(queries, keys, values)
            return self._normalised(mixed).to(value.dtype)

    def start(self, rows: int, like: Tensor) -> State:
        """The number of positions so far; the sums [B, H, r, e] and [B, 1, H, r] begin with the first step."""
        return {"place": torch.zeros(1, dtype=torch.long, device=like.device)}

    def step(self, query: Tensor, key: Tensor, value: Tensor, state: State) -> tuple[Tensor, State]:
        """As the interface has it."""
        with wide(query[:, None], key[:, None], value[:, None]) as (q, k, v):
            place = state["place"]
            queries, keys = self.query_features(q, place), self.key_features(k, place)
            after = {"place": place + 1}
            if (terms := self.summed(keys)) is not None:
                after["terms"] = terms + state.get("terms", 0)
                queries = self.rescaled(queries, after["terms"])
            after["sum"] = keys[:, 0, :, :, None] * self._with_one(v)[:, 0, :, None] + state.get("sum", 0)
            mixed = (queries[:, 0, :, None] @ after["sum"])[:, :, 0]
            return self._normalised(mixed).to(value.dtype), after

    def _with_one(self, values: Tensor) -> Tensor:
        return F.pad(values, (0, 1), value=1.0) if self.normalised else values

    def _normalised(self, mixed: Tensor) -> Tensor:
        return self.quotient(mixed[..., :-1], mixed[..., -1:]) if self.normalised else mixed


def product(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """queries_t (sum over s of keys_s values_s^T): [B, T, H, r], [B, T, H, r], [B, T, H, e] -> [B, T, H, e]."""
    queries, keys, values = (one.transpose(1, 2) for one in (queries, keys, values))
    return (queries @ (keys.mT @ values)).transpose(1, 2)


def causal_product(queries: Tensor, keys: Tensor, values: Tensor, chunk: int) -> Tensor:
    """As `product`, but the sum of position t ends at t; computed in chunks."""
    sums, mixed = None, []
    chunks = (torch.split(one.transpose(1, 2), chunk, dim=2) for one in (queries, keys, values))
    for own_queries, own_keys, own_values in zip(*chunks, strict=True):
        within = (own_queries @ own_keys.mT).tril() @ own_values
        mixed.append(within if sums is None else within + own_queries @ sums)
        own_sums = own_keys.mT @ own_values
        sums = own_sums if sums is None else sums + own_sums
    return torch.cat(mixed, dim=2).transpose(1, 2)

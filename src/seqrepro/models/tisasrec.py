"""TiSASRec: self-attention that is aware of time intervals (Li et al. 2020), as in its authors' code.

    X^0 = drop(sqrt(D) E[s])
    Q = LN(X) W_q + b_q,  K = X W_k + b_k,  V = X W_v + b_v               only the queries' input is normed
    a_ij = softmax over j <= i of Q_i . (K_j + P^K_j + T^K_{r_ij}) / sqrt(D / H)
    Y_i = LN(X)_i + sum over j of drop(a_ij) (V_j + P^V_j + T^V_{r_ij})    the residual is normed too; no output map
    X'  = Z + drop(W2 drop(relu(W1 Z + b1)) + b2),  Z = LN(Y)              inner width D
    score(j | s_1..s_t) = <LN(X^n_t), E_j>                                 tied item embeddings

    r_ij = min(|t'_i - t'_j|, K),   t'_j = round((t_j - t_1) / u) + 1      K = time_span, halves rounded to even

All tables T and P are shared by the blocks. P is counted from the newest item shown, which has position L - 1. u is the
user's smallest gap between neighbouring items that is not 0, or 1. The authors take it over the whole sequence, and so
from held-out items too: a mild leak. Here position i takes it over the items shown up to i, so nothing is read of what
comes later, in training either, and at the newest item it is the smallest gap of the history that is ranked from.

`intervals: raw` with `positions_in: input` is what TiM4Rec's table was made with, under this model's name: seconds
without a scale, clipped at 256, and positions added to the item embeddings, here counted from the oldest item as in
all models of RecBole. With its timestamps of 32 bits (`stamps: float32`), which lie 64 or 128 seconds apart, few
intervals are left: almost all pairs have the same T. Of that code we know these two changes; the rest here is as above.

`pad_keys: port` is a trap of the PyTorch port: rows are filled up on the left to L, and nothing masks it. Padding has
the item 0, whose vector is 0, positions from 0 on, and time 0; so keys are b_k + P^K + T^K_min(t'_i, K).

Written out, T^K_{r_ij} is [B, L, L, D]. Computed here is Q T^K, [B, H, L, K + 1], of which each pair takes one number;
and weights a_ij of equal r_ij are summed before they meet T^V. The numbers are the same. Only dropout differs: the
authors' falls on what was looked up, for each pair anew; here on T^K and T^V themselves, once for a batch.

Differences of the recipe, not of the model: their loss is one negative a position with 5e-5 times the squares of all
five tables (objective `penalised`), their Adam has beta2 0.98. Initial weights: Glorot-uniform for tables and maps,
biases 0; norms have epsilon 1e-8. There is no exact form event by event: positions move with each item.

Parameters: (V + 1) D + 2 L D + 2 (K + 1) D + n (5 D^2 + 9 D) + 2 D; L D less with `positions_in: input`.

Shapes: B rows, L length, S keys, D width, H heads, d = D / H, V items, K largest interval, n blocks.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.config.architectures.tisasrec import TiSASRecParameters
from seqrepro.models.interfaces import TimedModel

EPSILON = 1e-8
NEVER = 2**62  # larger than any gap


class Relations(NamedTuple):
    """What all blocks know of pairs of positions: the query's and the key's. S is L, or 2 L with keys of padding."""

    intervals: Tensor  # [B, L, S] int64, 0..K
    seen: Tensor  # [B or 1, L, S] bool
    time_keys: Tensor  # [K+1, D]
    time_values: Tensor
    position_keys: Tensor  # [B, S, D], or a 0 that adds nothing
    position_values: Tensor


class TimeAttention(nn.Module):
    """Causal attention whose keys and values depend on position and on the interval to the query; no output map."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, inputs: Tensor, relations: Relations) -> Tensor:
        """[B, L, D] for queries, [B, L, D] for keys and values -> [B, L, D]."""
        padding = relations.intervals.shape[2] - inputs.shape[1]
        inputs = F.pad(inputs, (0, 0, 0, padding))  # keys of padding come last, with a vector of 0
        query = self._by_head(self.query(queries))
        key = self._by_head(self.key(inputs) + relations.position_keys)
        value = self._by_head(self.value(inputs) + relations.position_values)
        time_key, time_value = (self._by_head(table) for table in (relations.time_keys, relations.time_values))
        index = relations.intervals[:, None].expand(-1, self.heads, -1, -1)
        by_interval = query @ time_key.mT  # [B, H, L, K+1]
        scores = (query @ key.mT + by_interval.gather(3, index)) / query.shape[-1] ** 0.5
        weights = self.dropout(scores.masked_fill(~relations.seen[:, None], -torch.inf).softmax(3))
        of_interval = weights.new_zeros(by_interval.shape).scatter_add(3, index, weights)
        mixed: Tensor = weights @ value + of_interval @ time_value
        return mixed.transpose(1, 2).flatten(2)

    def _by_head(self, vectors: Tensor) -> Tensor:
        """[..., L, D] -> [..., H, L, d]."""
        return vectors.view(*vectors.shape[:-1], self.heads, -1).transpose(-3, -2)


class Block(nn.Module):
    """Attention and a feed-forward network, each after a norm that its residual sum takes too."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=EPSILON)
        self.attention = TimeAttention(width, heads, dropout)
        self.feed_forward_norm = nn.LayerNorm(width, eps=EPSILON)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, relations: Relations) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        normed = self.attention_norm(inputs)
        mixed = self.feed_forward_norm(normed + self.attention(normed, inputs, relations))
        inner = self.dropout(F.relu(self.inner(mixed)))
        outputs: Tensor = mixed + self.dropout(self.outer(inner))
        return outputs


class TiSASRec(TimedModel):
    """Causal self-attention over item embeddings that knows the time between items."""

    def __init__(self, parameters: TiSASRecParameters, n_items: int) -> None:
        super().__init__()
        p = parameters
        self.max_length, self.chosen = p.max_length, p
        self.items = nn.Embedding(n_items + 1, p.width, padding_idx=0)
        self.time_keys, self.time_values = (nn.Embedding(p.time_span + 1, p.width) for _ in range(2))
        tables = [nn.Embedding(p.max_length, p.width) for _ in range(1 if p.positions_in == "input" else 2)]
        self.positions = nn.ModuleList(tables)  # of the input, or of keys and values
        self.dropout = nn.Dropout(p.dropout)
        self.blocks = nn.ModuleList(Block(p.width, p.heads, p.dropout) for _ in range(p.layers))
        self.norm = nn.LayerNorm(p.width, eps=EPSILON)

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """As `hidden_at`, with all items at one moment."""
        return self.hidden_at(padded_BL, torch.zeros_like(padded_BL))

    def hidden_at(self, padded_BL: Tensor, times_BL: Tensor) -> Tensor:
        """Representations [B, L, D] of right-padded item ids [B, L] and their timestamps [B, L] in seconds."""
        embedded = self.items(padded_BL) * self.items.embedding_dim**0.5
        if self.chosen.positions_in == "input":
            embedded = embedded + self.positions[0](torch.arange(padded_BL.shape[1], device=padded_BL.device))
        states, relations = self.dropout(embedded), self._relations((padded_BL != 0).sum(1), times_BL)
        for block in self.blocks:
            states = block(states, relations)
        outputs: Tensor = self.norm(states)
        return outputs

    def item_table(self) -> Tensor:
        """Item embeddings [V+1, D]; row 0 is padding."""
        return self.items.weight

    def _relations(self, lengths: Tensor, times_BL: Tensor) -> Relations:
        """Of rows of so many items [B]."""
        places_L = torch.arange(times_BL.shape[1], device=lengths.device)
        empty_B1 = self.max_length - lengths[:, None]
        places = (empty_B1 + places_L).clamp(max=self.max_length - 1)  # those of padding on the right mean nothing
        units_BLL = self._units(times_BL)
        own_BL1 = units_BLL.diagonal(dim1=1, dim2=2)[:, :, None]
        intervals, seen = own_BL1 - units_BLL, (places_L <= places_L[:, None])[None]
        if self.chosen.pad_keys == "port":
            before_L = torch.arange(self.max_length, device=lengths.device)
            shape = (*times_BL.shape, self.max_length)
            intervals = torch.cat([intervals, own_BL1.expand(shape)], dim=2)
            seen = torch.cat([seen.expand_as(units_BLL), (before_L < empty_B1)[:, None].expand(shape)], dim=2)
            places = torch.cat([places, before_L.expand(len(lengths), -1)], dim=1)
        intervals = intervals.abs().clamp(max=self.chosen.time_span)
        return Relations(intervals, seen, *self._dropped(self.time_keys, self.time_values), *self._of_places(places))

    def _of_places(self, places_BS: Tensor) -> list[Tensor]:
        """What keys and values have of their positions."""
        if self.chosen.positions_in == "input":
            return [self.items.weight.new_zeros(())] * 2
        return [self.dropout(table(places_BS)) for table in self.positions]

    def _dropped(self, *tables: nn.Embedding) -> list[Tensor]:
        return [self.dropout(table.weight) for table in tables]

    def _units(self, times_BL: Tensor) -> Tensor:
        """The time of each key [B, L, L] int64, in units of each query."""
        times = times_BL.float().long() if self.chosen.stamps == "float32" else times_BL
        return personal(times) if self.chosen.intervals == "personal" else times[:, None].expand(-1, times.shape[1], -1)


def personal(times_BL: Tensor) -> Tensor:
    """t'_j in units of the smallest gap that position i has seen, [B, L of i, L of j] int64.

    Args:
        times_BL: int64, in any unit.
    """
    gaps = times_BL.diff(dim=1).abs()
    smallest = F.pad(gaps.where(gaps > 0, NEVER), (1, 0), value=NEVER).cummin(1).values
    smallest = smallest.where(smallest < NEVER, 1)
    since_first = times_BL - times_BL[:, :1]
    return (since_first[:, None].double() / smallest[:, :, None]).round().long() + 1


@torch.no_grad()
def draw(model: TiSASRec, generator: torch.Generator) -> None:
    """Draw all weights, in the order of the modules and from the generator alone."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.xavier_uniform_(module.weight, generator=generator)
        if isinstance(module, nn.Linear):
            module.bias.zero_()
    model.items.weight[0].zero_()


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> TiSASRec:
    """TiSASRec for a catalogue of `n_items`, initialised from the generator alone."""
    model = TiSASRec(TiSASRecParameters.model_validate(parameters), n_items)
    draw(model, generator)
    return model

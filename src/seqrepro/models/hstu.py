"""HSTU: hierarchical sequential transduction units (Zhai et al. 2024, arXiv 2402.17152), in the form of its code.

    X^0 = drop(sqrt(D) E[s] + P[0..L-1])
    U, V, Q, K = SiLU(LN(X) W)                                              one map D -> 4 D without bias, in this order
    a_ij = SiLU(<Q_i, K_j> + p_{j-i} + t_{b(i,j)}) / N                     for j <= i, else 0; by head, one bias for all
    X'  = X + W_o drop(U * LN(sum over j of a_ij V_j)) + b_o
    score(j | s_1..s_t) = <X^n_t, E_j>                                      tied item embeddings

    b(i,j) = min(floor(ln(max(|q_i - t_j|, 1)) / 0.301), 128)               seconds; each bucket is 1.35 times the last

There is no softmax, no 1 / sqrt(d), no inner layer and no final norm. Norms have no weights; epsilon 1e-6. They are not
idle: what is mixed is small at first (its root mean square is near 1e-4, and that of epsilon is 1e-3), so N is a part
of the model. It is max_length + spare, whatever is shown: 211 for 200, with room for 10 outputs and the target.

With `query_time: current` q_i is the time t_i of the item itself. With `next`, as the code has it, it is t_{i+1}: the
model is told when the event happens that it predicts, at evaluation too. `none` leaves the bias of time out. A table of
2 N - 1 distances (those above 0 are never read) and one of 129 buckets belong to each block.

Their code writes the recipe as cosines over a temperature of 0.05: `cosine_temperature`. Then representations and items
have length 1, and the former are divided by the temperature, in the loss and in ranking alike.

Weights start from N(0, 0.02^2), cut at two deviations for items; P Glorot-normal, W_o Glorot-uniform, b_o from torch's
default. The row of padding is 0; histories are padded on the right, and no position sees it.

Parameters: (V + 1) D + N D + n (5 D^2 + D + 2 N - 1 + 129); 129 n less without time.

Shapes: B rows, Q queries (the newest positions), S keys, D width, H heads, d = D / H, N positions, V items, n blocks.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.config.architectures.hstu import HSTUParameters
from seqrepro.data.sequences import Sequences
from seqrepro.models.attention.interface import State
from seqrepro.models.interfaces import TimedModel
from seqrepro.models.layers import INITIAL_DEVIATION, comparable, draw_uniform, scored

EPSILON = 1e-6
BUCKET_WIDTH, LAST_BUCKET = 0.301, 128


class Relations(NamedTuple):
    """What all blocks know of queries and keys."""

    distances: Tensor  # [Q, S] int64, N - 1 + j - i
    buckets: Tensor | None  # [B, Q, S] int64, 0..128; None: there is no bias of time


class Block(nn.Module):
    """Pointwise attention with relative biases, gated."""

    def __init__(self, p: HSTUParameters) -> None:
        super().__init__()
        self.heads, self.places = p.heads, p.max_length + p.spare
        self.projection = nn.Linear(p.width, 4 * p.width, bias=False)
        self.distances = nn.Parameter(torch.empty(2 * self.places - 1))
        self.times = nn.Parameter(torch.empty(LAST_BUCKET + 1)) if p.reads_times else None
        self.output = nn.Linear(p.width, p.width)
        self.dropout = nn.Dropout(p.dropout)

    def forward(self, inputs: Tensor, relations: Relations, past: State) -> tuple[Tensor, State]:
        """[B, Q, D] -> [B, Q, D], and the keys and values [B, S, D] of all positions so far."""
        gate, value, query, key = F.silu(self.projection(normed(inputs))).chunk(4, dim=-1)
        keys, values = torch.cat([past["keys"], key], dim=1), torch.cat([past["values"], value], dim=1)
        weights = self.weights(query, keys, relations)  # [B H, Q, S]
        mixed = weights @ self._by_head(values / self.places)
        mixed = mixed.view(len(inputs), self.heads, *mixed.shape[1:]).transpose(1, 2).flatten(2)
        outputs: Tensor = inputs + self.output(self.dropout(gate * normed(mixed)))
        return outputs, {"keys": keys, "values": values}

    def weights(self, query: Tensor, keys: Tensor, relations: Relations) -> Tensor:
        """N a_ij, [B H, Q, S], from [B, Q, D] and [B, S, D]."""
        bias = self.distances[relations.distances][None]
        if self.times is not None and relations.buckets is not None:
            bias = bias + self.times.index_select(0, relations.buckets.flatten()).view_as(relations.buckets)
        bias = bias[:, None].expand(len(query), self.heads, -1, -1).flatten(0, 1)
        scores = torch.baddbmm(bias, self._by_head(query), self._by_head(keys).mT)
        return F.silu(scores.tril_(keys.shape[1] - query.shape[1]))  # SiLU(0) = 0: later items have no weight

    def _by_head(self, vectors: Tensor) -> Tensor:
        """[B, S, D] -> [B H, S, d]."""
        return vectors.view(*vectors.shape[:2], self.heads, -1).transpose(1, 2).flatten(0, 1)


class HSTU(TimedModel):
    """Pointwise attention over item embeddings, with learned positions and biases of position and time."""

    def __init__(self, parameters: HSTUParameters, n_items: int) -> None:
        super().__init__()
        self.p = p = parameters
        self.max_length = p.max_length
        self.items = nn.Embedding(n_items + 1, p.width, padding_idx=0)
        self.positions = nn.Embedding(p.max_length + p.spare, p.width)
        self.dropout = nn.Dropout(p.dropout)
        self.blocks = nn.ModuleList(Block(p) for _ in range(p.layers))

    def read(self, histories: Sequences) -> Tensor:
        """Representations [B, L, D] of the newest items of each history; `query_time` says what is told of time.

        Raises:
            InputError: the histories have no timestamps, or not those of the events behind each item.
        """
        items, _ = histories.last(self.max_length)
        if not self.p.reads_times:
            return self.hidden(items)
        times = histories.last_times(self.max_length)
        asked = histories.last_next_times(self.max_length) if self.p.query_time == "next" else times
        return self.hidden_at(items, times, asked)

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """As `hidden_at`, with all items at one moment."""
        return self.hidden_at(padded_BL, torch.zeros_like(padded_BL))

    def hidden_at(self, padded_BL: Tensor, times_BL: Tensor, asked_BL: Tensor | None = None) -> Tensor:
        """Representations [B, L, D] of right-padded items [B, L] and their timestamps [B, L] in seconds.

        Args:
            padded_BL: int64, 0 at padding.
            times_BL: int64.
            asked_BL: q, the moments that positions ask from, int64; by default those of their items.
        """
        asked_BL = times_BL if asked_BL is None else asked_BL
        return self._extend(padded_BL, times_BL, asked_BL, self._nothing(padded_BL))[0]

    def item_table(self) -> Tensor:
        """What representations are multiplied by, [V+1, D]; row 0 is padding."""
        return comparable(self.items.weight, self.p.cosine_temperature)

    def start(self, rows: int) -> list[State]:
        """The times, and the keys and values of each block, of rows that have no item yet.

        Raises:
            NotImplementedError: positions ask from the time of the next event, which is not known when they are added.
        """
        if self.p.query_time == "next":
            raise NotImplementedError("query_time next has no form step by step")
        return self._nothing(self.items.weight.new_zeros(rows, 0).long())

    def step(self, items_B: Tensor, gaps_B: Tensor | None, states: list[State]) -> tuple[Tensor, list[State]]:
        """The representation [B, D] at the next item of each row, and the states after it.

        Args:
            items_B: int64.
            gaps_B: seconds since the item before; at the first item of the rows not read, and None will do.
            states: from `start`, or from the step before.

        Raises:
            NotImplementedError: there have been N items; one more would move all positions.
        """
        before = states[0]["times"]
        if before.shape[1] == len(self.positions.weight):
            raise NotImplementedError(f"a row has {before.shape[1]} items, and there are no more positions")
        times = torch.zeros_like(items_B)[:, None]
        if before.shape[1] and gaps_B is not None:
            times = before[:, -1:] + gaps_B[:, None]
        hidden, states = self._extend(items_B[:, None], times, times, states)
        return hidden[:, 0], states

    def _extend(
        self, items_BQ: Tensor, times_BQ: Tensor, asked_BQ: Tensor, states: list[State]
    ) -> tuple[Tensor, list[State]]:
        """Representations [B, Q, D] of items behind those of the states, and the states after them."""
        times_BS = torch.cat([states[0]["times"], times_BQ], dim=1)
        places_S = torch.arange(times_BS.shape[1], device=items_BQ.device)
        own_Q = places_S[-items_BQ.shape[1] :]
        distances = len(self.positions.weight) - 1 + places_S - own_Q[:, None]
        relations = Relations(distances, buckets(asked_BQ, times_BS) if self.p.reads_times else None)
        hidden: Tensor = self.dropout(self.items(items_BQ) * self.p.width**0.5 + self.positions(own_Q))
        after = [{"times": times_BS}]
        for block, state in zip(self.blocks, states[1:], strict=True):
            hidden, state = block(hidden, relations, state)
            after.append(state)
        return scored(hidden, self.p.cosine_temperature), after

    def _nothing(self, items_BL: Tensor) -> list[State]:
        """The states before the first item of rows like these."""
        none = self.items.weight.new_zeros(len(items_BL), 0, self.p.width)
        return [{"times": items_BL[:, :0]}, *({"keys": none, "values": none} for _ in self.blocks)]


def normed(vectors: Tensor) -> Tensor:
    """Vectors [..., D] of mean 0 and variance 1, without weights."""
    return F.layer_norm(vectors, vectors.shape[-1:], eps=EPSILON)


def buckets(asked_BQ: Tensor, times_BS: Tensor) -> Tensor:
    """b(i,j) [B, Q, S] int64 of moments in seconds; in 64 bits no whole number of seconds falls into the wrong one."""
    first = times_BS[:, :1]
    apart = (asked_BQ - first).double()[:, :, None] - (times_BS - first).double()[:, None, :]
    return apart.abs_().clamp_(min=1).log_().div_(BUCKET_WIDTH).long().clamp_(max=LAST_BUCKET)


@torch.no_grad()
def draw(model: HSTU, generator: torch.Generator) -> None:
    """Draw all weights, from the generator alone."""
    s = INITIAL_DEVIATION
    nn.init.trunc_normal_(model.items.weight, 0.0, s, -2 * s, 2 * s, generator)[0].zero_()
    nn.init.xavier_normal_(model.positions.weight, generator=generator)
    for block in model.blocks:
        assert isinstance(block, Block)
        for weight in (block.projection.weight, block.distances, block.times):
            if weight is not None:
                weight.normal_(0.0, s, generator=generator)
        nn.init.xavier_uniform_(block.output.weight, generator=generator)
        draw_uniform(block.output.bias, model.p.width, generator)


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> HSTU:
    """HSTU for a catalogue of `n_items`, initialised from the generator alone."""
    model = HSTU(HSTUParameters.model_validate(parameters), n_items)
    draw(model, generator)
    return model

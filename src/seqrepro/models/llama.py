"""A LLaMA-like decoder (Touvron et al. 2023), and the simplified HSTU of the Performance Law's code, in one frame.

    X^0 = drop(sqrt(D) E[s]);   n blocks, causal;   score(j | s_1..s_t) = <RMS(X^n_t), E_j>      tied item embeddings

    block `llama`:             X <- X + drop(W_o softmax(R(Q) R(K)^T / sqrt(d)) V),   Q, K, V = RMS(X) W_q, W_k, W_v
                               X <- X + drop(W_2 (SiLU(W_1 x) * W_3 x)),              x = RMS(X), inner width I
    block `simplified_hstu`:   Z = SiLU(RMS(X));   Q, K, V, U = Z W_q, W_k, W_v, W_u
                               X <- X + drop(W_o (U * RMS(drop(SiLU(R(Q) R(K)^T / sqrt(d))) V)))

    RMS(x) = g * x / sqrt(mean(x^2) + 1e-5);   I = 8 D / 3, rounded up to a multiple of 32
    R turns the pair (x_2k, x_2k+1) at position m by the angle m 10000^(-2k/d)

All maps are without biases. There are no positions but those of R, of which <R(q), R(k)> keeps the distance alone. The
simplified HSTU differs from HSTU (`hstu.py`): SiLU comes before the maps, no bias of position or time, no division by
a length, weights in the norms. Scores of later items are 0, and so are their weights.

Source: USTC-StarTeam/Performance-Law@e271aa5, `General_Transformer/model.py`. There rows are padded on the left and
nothing masks that: padding has an embedding like an item, and is attended to. Here histories are padded on the right,
no position sees it, and its row is 0. Where dropout stands in the first block is our choice; their runs have none.

Weights start from N(0, 0.02^2), W_o and W_3 from N(0, (0.02 / sqrt(2 n))^2), as coded; gains 1.

Parameters: (V + 1) D + n times a block + D; a block has 4 D^2 + 3 D I + 2 D, or simplified 5 D^2 + 2 D.

Shapes: B rows, Q queries (the newest positions), S keys, D width, H heads, d = D / H, I inner width, V items, n blocks.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.config.architectures.llama import LLaMAParameters
from seqrepro.models.attention.interface import State
from seqrepro.models.interfaces import SequentialModel
from seqrepro.models.layers import INITIAL_DEVIATION, comparable, initialise, scored

EPSILON, BASE, MULTIPLE = 1e-5, 10_000.0, 32


class HeadMaps(nn.Module):
    """Queries, keys and values by head, the first two turned by their position; and the map behind the mixture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, inputs: Tensor, angles: Tensor, past: State) -> tuple[Tensor, State]:
        """[B, Q, D] -> queries [B, H, Q, d], and the keys and values [B, H, S, d] of all positions so far."""
        query, key, value = (self._by_head(linear(inputs)) for linear in (self.query, self.key, self.value))
        keys = torch.cat([past["keys"], turned(key, angles)], dim=2)
        return turned(query, angles), {"keys": keys, "values": torch.cat([past["values"], value], dim=2)}

    def _by_head(self, vectors: Tensor) -> Tensor:
        """[B, Q, D] -> [B, H, Q, d]."""
        return vectors.view(*vectors.shape[:2], self.heads, -1).transpose(1, 2)


class LLaMABlock(nn.Module):
    """Dot-product attention, then a gated inner layer, each behind a norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.feed_forward_norm = (nn.RMSNorm(width, EPSILON) for _ in range(2))
        self.attention = HeadMaps(width, heads)
        inner = inner_width(width)
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))  # W_1, W_3
        self.down = nn.Linear(inner, width, bias=False)  # W_2
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, angles: Tensor, past: State) -> tuple[Tensor, State]:
        """[B, Q, D] -> [B, Q, D], and the state after these positions: one, or all of a row."""
        query, state = self.attention(self.attention_norm(inputs), angles, past)
        whole = query.shape[2] > 1
        mixed = F.scaled_dot_product_attention(query, state["keys"], state["values"], is_causal=whole)
        middle = inputs + self.dropout(self.attention.output(mixed.transpose(1, 2).flatten(2)))
        x = self.feed_forward_norm(middle)
        outputs: Tensor = middle + self.dropout(self.down(F.silu(self.gate(x)) * self.up(x)))
        return outputs, state


class SimplifiedHSTUBlock(nn.Module):
    """SiLU attention with a gate."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.input_norm, self.mixed_norm = (nn.RMSNorm(width, EPSILON) for _ in range(2))
        self.attention = HeadMaps(width, heads)
        self.gate = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, angles: Tensor, past: State) -> tuple[Tensor, State]:
        """[B, Q, D] -> [B, Q, D], and the state after these positions."""
        z = F.silu(self.input_norm(inputs))
        query, state = self.attention(z, angles, past)
        scores = query @ state["keys"].mT * query.shape[-1] ** -0.5
        weights = self.dropout(F.silu(scores.tril(state["keys"].shape[2] - query.shape[2])))
        mixed = (weights @ state["values"]).transpose(1, 2).flatten(2).to(inputs.dtype)  # autocast had it narrower
        outputs: Tensor = inputs + self.dropout(self.attention.output(self.gate(z) * self.mixed_norm(mixed)))
        return outputs, state


BLOCKS = {"llama": LLaMABlock, "simplified_hstu": SimplifiedHSTUBlock}


class LLaMA(SequentialModel):
    """Causal blocks over item embeddings, with rotary positions."""

    def __init__(self, parameters: LLaMAParameters, n_items: int) -> None:
        super().__init__()
        self.p = p = parameters
        self.max_length = p.max_length
        self.items = nn.Embedding(n_items + 1, p.width, padding_idx=0)
        self.dropout = nn.Dropout(p.dropout)
        self.blocks = nn.ModuleList(BLOCKS[p.block](p.width, p.heads, p.dropout) for _ in range(p.layers))
        self.norm = nn.RMSNorm(p.width, EPSILON)

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """Representations [B, L, D] of right-padded item ids [B, L]."""
        return self._extend(padded_BL, self.start(len(padded_BL)))[0]

    def item_table(self) -> Tensor:
        """What representations are multiplied by, [V+1, D]; row 0 is padding."""
        return comparable(self.items.weight, self.p.cosine_temperature)

    def start(self, rows: int) -> list[State]:
        """The keys and values of each block, of rows that have no item yet."""
        nothing = self.items.weight.new_zeros(rows, self.p.heads, 0, self.p.width // self.p.heads)
        return [{"keys": nothing, "values": nothing} for _ in self.blocks]

    def step(self, items_B: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """The representation [B, D] at the next item of each row, and the states after it."""
        hidden, states = self._extend(items_B[:, None], states)
        return hidden[:, 0], states

    def _extend(self, items_BQ: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """Representations [B, Q, D] of items behind those of the states, and the states after them."""
        hidden: Tensor = self.dropout(self.items(items_BQ) * self.p.width**0.5)
        known = states[0]["keys"].shape[2]
        places = torch.arange(known, known + items_BQ.shape[1], device=items_BQ.device)
        angles, after = angles_of(places, self.p.width // self.p.heads), []
        for block, state in zip(self.blocks, states, strict=True):
            hidden, state = block(hidden, angles, state)
            after.append(state)
        return scored(self.norm(hidden), self.p.cosine_temperature), after


def inner_width(width: int) -> int:
    """I: two thirds of 4 D, rounded up to a multiple of 32."""
    return MULTIPLE * -(-(2 * 4 * width // 3) // MULTIPLE)


def angles_of(places: Tensor, head_width: int) -> Tensor:
    """m 10000^(-2k/d) in float64, [Q, d/2], of positions m [Q]."""
    pairs = torch.arange(0, head_width, 2, device=places.device, dtype=torch.float64)
    return places[:, None] * BASE ** (-pairs / head_width)


def turned(vectors: Tensor, angles: Tensor) -> Tensor:
    """Vectors [B, H, Q, d] whose neighbouring pairs of numbers are turned by the angles [Q, d/2]."""
    even, odd = vectors.view(*vectors.shape[:-1], -1, 2).unbind(-1)
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


@torch.no_grad()
def draw(model: LLaMA, generator: torch.Generator) -> None:
    """Draw all weights, from the generator alone."""
    initialise(model, generator)
    smaller = INITIAL_DEVIATION / (2 * len(model.blocks)) ** 0.5
    for name, weight in model.named_parameters():
        if name.endswith(("output.weight", "up.weight")):
            weight.normal_(0.0, smaller, generator=generator)


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> LLaMA:
    """The decoder for a catalogue of `n_items`, initialised from the generator alone."""
    model = LLaMA(LLaMAParameters.model_validate(parameters), n_items)
    draw(model, generator)
    return model

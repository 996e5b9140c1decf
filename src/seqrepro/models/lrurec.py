"""LRURec: linear recurrent units for sequential recommendation (Yue et al. 2024), the whole model of its authors' code.

    X^0 = LN(drop(E[s]))                                                              no positions
    u_t = g * (B x_t + b)                                          complex: B [2D, D], b [2D]; g = exp(w) real
    h_t = l * h_{t-1} + u_t                                        l = exp(-exp(n) + i exp(p)), so |l| < 1
    Y   = LN(drop(Re(C h_t) + c) + X)                              complex C [D, 2D]; c real
    X'  = LN(drop(W2 drop(gelu(W1 Y + b1)) + b2) + Y)              inner width 4 D, exact GELU
    score(j | s_1..s_t) = <X^n_t, E_j> + beta_j                    tied item embeddings, a bias an item

The recurrence does not depend on the input, so whole rows are computed in log2(L) rounds (`decayed`); `start` and
`step` go on event by event, for any length, with a state of 2 D complex numbers a block. The family `hydrarec` with
attention `recurrence` is something else: this recurrence in SASRec's network, between that network's real maps.

Complex maps are stored as real ones: B as its real part above its imaginary part, C as [Re C, -Im C], for the stacked
[Re h, Im h]. The authors' c is complex too, but of its D imaginary parts nothing ever reads; they are left out.

Initially |l|^2 is uniform between 0.8^2 and 0.99^2, the phase exp(p) uniform up to 2 pi, and g = sqrt(1 - |l|^2); then
all three go their own ways. Norms start at 1 and 0, with epsilon 1e-5. Everything else, biases and item biases too, is
drawn from N(0, 0.02^2) cut off at two deviations; the authors' padding row too, which is 0 here, as it is read by
nothing: histories are padded on the right, and the recurrence looks back only. They pad on the left and stop the state
at padding, which gives the same numbers.

The bias is a column of the item table, and every representation has a 1 for it: h is [D + 1], and so is a row of the
table. So whatever trains and ranks by inner products does it with the bias.

Parameters: (V + 1) (D + 1) + 2 D + n (16 D^2 + 20 D) real numbers. Counted as the authors' code does, a complex number
as one and c whole, a block has 12 D^2 + 18 D: 887,366 in all at D = 64, n = 2 on Beauty.

Shapes: B rows, L length, D width, V items, n blocks.
"""

from collections.abc import Iterable
from math import pi
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.config.architectures.lrurec import LRURecParameters
from seqrepro.models.attention.interface import decayed, wide
from seqrepro.models.attention.recurrence import RING
from seqrepro.models.interfaces import SequentialModel
from seqrepro.models.layers import INITIAL_DEVIATION


class LinearRecurrentUnit(nn.Module):
    """Re(C h) + c with h_t = l h_{t-1} + g (B x_t + b), computed in 32 bits at least."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.zeros(2 * width))  # n
        self.phase = nn.Parameter(torch.zeros(2 * width))  # p
        self.gain = nn.Parameter(torch.zeros(2 * width))  # w
        self.input = nn.Linear(width, 4 * width)  # B and b, real parts first
        self.output = nn.Linear(4 * width, width)  # [Re C, -Im C] and c

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        with wide(inputs) as (one,):
            return self._read(decayed(self._terms(one), self._decay()))

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The output [B, D] at the next position [B, D], and the state [B, 2D] complex after it."""
        with wide(inputs) as (one,):
            after = self._decay() * state + self._terms(one)
            return self._read(after), after

    def _terms(self, inputs: Tensor) -> Tensor:
        real, imaginary = self.input(inputs).chunk(2, dim=-1)
        return self.gain.exp() * torch.complex(real, imaginary)

    def _decay(self) -> Tensor:
        """l, [2D] complex."""
        return torch.polar((-self.rate.exp()).exp(), self.phase.exp())

    def _read(self, states: Tensor) -> Tensor:
        outputs: Tensor = self.output(torch.cat([states.real, states.imag], dim=-1))
        return outputs


class Block(nn.Module):
    """A linear recurrent unit and a feed-forward network, each with a norm after the residual sum."""

    def __init__(self, parameters: LRURecParameters) -> None:
        super().__init__()
        p = parameters
        self.unit = LinearRecurrentUnit(p.width)
        self.unit_norm = nn.LayerNorm(p.width)
        self.inner = nn.Linear(p.width, 4 * p.width)
        self.outer = nn.Linear(4 * p.width, p.width)
        self.feed_forward_norm = nn.LayerNorm(p.width)
        self.mixing_dropout, self.dropout = nn.Dropout(p.mixing_dropout), nn.Dropout(p.dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        return self._joined(inputs, self.unit(inputs))

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """[B, D] and the state [B, 2D] before it -> [B, D] and the state after it."""
        mixed, after = self.unit.step(inputs, state)
        return self._joined(inputs, mixed), after

    def _joined(self, inputs: Tensor, mixed: Tensor) -> Tensor:
        mixed = self.unit_norm(self.mixing_dropout(mixed) + inputs)
        inner = self.dropout(F.gelu(self.inner(mixed)))
        outputs: Tensor = self.feed_forward_norm(self.dropout(self.outer(inner)) + mixed)
        return outputs


class LRURec(SequentialModel):
    """Blocks of linear recurrent units over item embeddings, without positions."""

    def __init__(self, parameters: LRURecParameters, n_items: int) -> None:
        super().__init__()
        p = parameters
        self.max_length = p.max_length
        self.items = nn.Embedding(n_items + 1, p.width, padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        self.norm = nn.LayerNorm(p.width)
        self.dropout = nn.Dropout(p.dropout)
        self.blocks = nn.ModuleList(Block(p) for _ in range(p.layers))

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """Representations [B, L, D + 1] of right-padded item ids [B, L]."""
        states = self._embedded(padded_BL)
        for block in self.blocks:
            states = block(states)
        return F.pad(states, (0, 1), value=1.0)

    def item_table(self) -> Tensor:
        """Item embeddings with the biases behind them [V+1, D + 1]; row 0 is padding."""
        return torch.cat([self.items.weight, self.bias[:, None]], dim=1)

    def start(self, rows: int) -> list[Tensor]:
        """The states [B, 2D] complex of histories without an item, one a block."""
        like = self.items.weight
        kind = torch.complex128 if like.dtype == torch.float64 else torch.complex64
        return [like.new_zeros(rows, 2 * like.shape[1], dtype=kind) for _ in self.blocks]

    def step(self, items_B: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The representations [B, D + 1] after one more item each [B], and the states then."""
        outputs, after = self._embedded(items_B), []
        for block, before in zip(cast(Iterable[Block], self.blocks), state, strict=True):
            outputs, own = block.step(outputs, before)
            after.append(own)
        return F.pad(outputs, (0, 1), value=1.0), after

    def _embedded(self, items: Tensor) -> Tensor:
        embedded: Tensor = self.norm(self.dropout(self.items(items)))
        return embedded


@torch.no_grad()
def draw(model: LRURec, generator: torch.Generator) -> None:
    """Draw all weights, in the order of the modules and from the generator alone."""
    for module in model.modules():
        if isinstance(module, LinearRecurrentUnit):
            _draw_decays(module, generator)
        elif isinstance(module, nn.Linear | nn.Embedding | LRURec):
            for weight in module.parameters(recurse=False):
                limit = 2 * INITIAL_DEVIATION
                nn.init.trunc_normal_(weight, 0.0, INITIAL_DEVIATION, -limit, limit, generator=generator)
    model.items.weight[0].zero_()
    model.bias[0].zero_()


def _draw_decays(unit: LinearRecurrentUnit, generator: torch.Generator) -> None:
    low, high = RING
    squares = torch.rand(len(unit.rate), generator=generator) * (high**2 - low**2) + low**2
    unit.rate.copy_((-squares.log() / 2).log())
    turns = torch.rand(len(unit.phase), generator=generator).clamp(min=torch.finfo(torch.float32).tiny)
    unit.phase.copy_((2 * pi * turns).log())
    unit.gain.copy_((1 - squares).log() / 2)


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> LRURec:
    """LRURec for a catalogue of `n_items`, initialised from the generator alone."""
    model = LRURec(LRURecParameters.model_validate(parameters), n_items)
    draw(model, generator)
    return model

"""TiM4Rec: state-space duality whose steps know the time between items (Fan et al. 2025, arXiv 2409.16182).

    X^0 = LN(drop(E[s]))                                      with positions: learned, LN(drop(E[s] + P))
    U   = LN(drop(mixer(X, factors of the steps)) + X)        without "+ X" if there is one layer
    X'  = LN(drop(W2 drop(hardswish(W1 U + b1)) + b2) + U)    inner width 4 D; X' = U without the inner layers
    score(j | s_1..s_t) = <X^n_t, E_j>                        tied item embeddings

The mixer is that of Mamba-2 (`ssm/mamba.py`) with biases, and hardswish behind its convolution: the code takes that
where the number of heads is no multiple of 8, which is so in all settings that its authors ship. The factors come from
`ssm/time_path.py`. With `time: off` there are none, and the network is what the paper calls SSD4Rec*.

`paper` is the authors' code (AlwaysFHao/TiM4Rec@8d4a6ce), padding and all: it is tied to L positions, a position knows
the gaps behind it, and the length of a row. So it has to be trained on `prefixes`. `off` and `causal` are strictly
causal, linear in the length, and go on event by event (`step`).

Init: N(0, 0.02^2) for linear and embedding weights, also those of the time path; convolutions, steps and decays as
`ssm/mamba.py` has them. Two things of the code are not here: its padding row is drawn too, and is a class of its
softmax.

Parameters: V' D + n (core + time) + 2 D + 2 L, V' = V + 1 rows, without L and time if time is off;
    core = D (2 E + 2 N + H) + (2 E + 2 N + H) + (E + 2 N)(w + 1) + 3 H + E + E D + D + 2 D + (8 D^2 + 4 D + D + 2 D)
    time = 2 H (w + 1) + 2 (L^2 + L) + (L + 1, or L^2 + L by position) + 2 L             of modes paper, paper_masked
    time = 16 (H + 2) + H                                                                of mode causal

Shapes: B rows, T length, L max_length, D width, H heads.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.config.architectures.tim4rec import TiM4RecParameters
from seqrepro.data.sequences import Sequences
from seqrepro.models.attention.interface import State
from seqrepro.models.interfaces import TimedModel
from seqrepro.models.layers import initialise
from seqrepro.models.ssm.block import DroppedFeedForward, StateSpaceBlock
from seqrepro.models.ssm.convolution import CausalConvolution
from seqrepro.models.ssm.mamba import Mamba2
from seqrepro.models.ssm.time_path import GapScale, PaperGaps, PaperTime, gaps_of


class TiM4Rec(TimedModel):
    """State-space duality over item embeddings, in one of four ways to read time."""

    def __init__(self, parameters: TiM4RecParameters, n_items: int) -> None:
        super().__init__()
        self.p = p = parameters
        self.max_length = p.max_length
        self.heads = p.inner // p.head_width
        self.items = nn.Embedding(n_items + 1, p.width, padding_idx=0)
        self.positions = nn.Embedding(p.max_length, p.width) if p.positions == "learned" else None
        self.norm = nn.LayerNorm(p.width, eps=p.norm_epsilon)
        self.dropout = nn.Dropout(p.dropout)
        self.blocks = nn.ModuleList(_block(p) for _ in range(p.layers))
        self.times = nn.ModuleList()
        if p.time == "causal":
            self.times.extend(GapScale(self.heads, p.gap_unit, p.bound) for _ in self.blocks)
        elif p.time != "off":
            exact, masked = p.stamps == "exact", p.time == "paper_masked"
            self.gaps = PaperGaps(p.max_length, p.norm_epsilon, p.dropout, masked, p.padding_gap, exact)
            shape = (p.max_length, self.heads, p.convolution, p.norm_epsilon, p.time_dropout, p.by_position)
            self.times.extend(PaperTime(*shape) for _ in self.blocks)

    def read(self, histories: Sequences) -> Tensor:
        """Representations [B, T, D] of the newest items of each history; timestamps are needed unless time is off."""
        if self.p.reads_times:
            return super().read(histories)
        return self.hidden(histories.last(self.max_length)[0])

    def hidden(self, padded_BT: Tensor) -> Tensor:
        """Representations [B, T, D] of right-padded item ids [B, T], T at most L, with time off."""
        return self.hidden_at(padded_BT, torch.zeros_like(padded_BT))

    def hidden_at(self, padded_BT: Tensor, times_BT: Tensor) -> Tensor:
        """Representations [B, T, D] of right-padded item ids [B, T], T at most L, and their timestamps [B, T]."""
        embedded = self.items(padded_BT)
        if self.positions is not None:
            embedded = embedded + self.positions.weight[: padded_BT.shape[1]]
        states: Tensor = self.norm(self.dropout(embedded))
        for block, factors in zip(self.blocks, self.factors(padded_BT, times_BT), strict=True):
            states = block(states, None, *factors)
        return states

    def item_table(self) -> Tensor:
        """Item embeddings [V+1, D]; row 0 is padding."""
        return self.items.weight

    def start(self, rows: int) -> list[State]:
        """The states of rows that have no item yet, a layer each; for the modes that are causal."""
        if self.p.time not in ("off", "causal") or self.positions is not None:
            raise NotImplementedError(f"time {self.p.time} with positions {self.p.positions} has no state")
        return [cast(StateSpaceBlock, block).mixer.start(rows) for block in self.blocks]

    def step(self, items_B: Tensor, gaps_B: Tensor | None, states: list[State]) -> tuple[Tensor, list[State]]:
        """The representation [B, D] at the next item of each row, and the states after it.

        Args:
            items_B: int64.
            gaps_B: seconds since the item before; None at the first item of the rows.
            states: from `start`, or from the step before.
        """
        hidden: Tensor = self.norm(self.dropout(self.items(items_B)))
        after = []
        for number, (block, state) in enumerate(zip(self.blocks, states, strict=True)):
            told = self.p.time == "causal" and gaps_B is not None
            factors = self.times[number](gaps_B) if told else None
            hidden, state = cast(StateSpaceBlock, block).step(hidden, state, None, factors)
            after.append(state)
        return hidden, after

    def factors(self, padded_BT: Tensor, times_BT: Tensor) -> list[tuple[Tensor | None, Tensor | None]]:
        """What each layer's steps are multiplied by, [B, T, H] each: before the softplus, and behind it."""
        if self.p.time == "off":
            return [(None, None) for _ in self.blocks]
        if self.p.time == "causal":
            gaps = gaps_of(times_BT)
            return [(None, _one_at_first(time(gaps))) for time in self.times]
        rows, seen = self.gaps(times_BT, padded_BT != 0)
        rows = rows.expand(-1, self.heads, -1)
        found: list[tuple[Tensor | None, Tensor | None]] = []
        for time in self.times:
            tau, rows = time(rows, seen)
            found.append((tau[:, : padded_BT.shape[1]], None))
        return found


def _block(p: TiM4RecParameters) -> StateSpaceBlock:
    mixer = Mamba2(p.width, p.expand, p.state, p.head_width, p.convolution, True, "hardswish", p.norm_epsilon)
    inner = DroppedFeedForward(p.width, 4 * p.width, p.dropout, F.hardswish) if p.feed_forward else None
    return StateSpaceBlock(mixer, inner, p.dropout, p.layers > 1, p.norm_epsilon)


def _one_at_first(factors: Tensor) -> Tensor:
    """Factors [B, T, H] with 1 at the first position, before which there is no gap."""
    return torch.cat([torch.ones_like(factors[:, :1]), factors[:, 1:]], dim=1)


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> TiM4Rec:
    """TiM4Rec for a catalogue of `n_items`, initialised from the generator alone."""
    p = TiM4RecParameters.model_validate(parameters)
    model = TiM4Rec(p, n_items)
    initialise(model, generator)
    for module in model.modules():
        if isinstance(module, Mamba2 | GapScale):
            module.draw(generator)
    if p.convolution_init == "kaiming":
        for module in model.modules():
            if isinstance(module, CausalConvolution):
                module.draw(generator, "kaiming")
    else:
        for time in model.times:
            for convolution in getattr(time, "convolutions", ()):
                convolution.draw(generator)
    return model

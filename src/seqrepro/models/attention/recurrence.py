"""A gated linear recurrence with learned complex decays, as that of LRURec (Yue et al. 2024; Orvieto et al. 2023).

    S_t = l S_{t-1} + g k_t * v_t,   out_t = q_t * Re(S_t)     by feature; l = exp(-exp(n) + i exp(h)), g = exp(w)

|l| starts uniform on a ring between 0.8 and 0.99 and its phase uniform up to pi / 10; g starts at sqrt(1 - |l|^2), so
that the state of white noise keeps its size. LRURec itself has no queries and keys: its input and output maps are
complex, and dense. Here the maps are those of all other methods, so that only the mixing differs; k gates what goes in,
q what comes out, each through a sigmoid. In both directions the recurrence runs there and back.

Time T D log T as a scan; the state is one complex vector.
"""

from math import pi
from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.models.attention.interface import Attention, State, decayed, masked, wide

RING = (0.8, 0.99)
LARGEST_PHASE = pi / 10


class Recurrence(Attention):
    """A diagonal linear recurrence between two gates."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.zeros(width))
        self.phase = nn.Parameter(torch.zeros(width))
        self.gain = nn.Parameter(torch.zeros(width))

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw decays and phases; the gains follow."""
        low, high = RING
        squares = torch.rand(len(self.rate), generator=generator) * (high**2 - low**2) + low**2
        self.rate.copy_((-squares.log() / 2).log())
        self.phase.copy_((torch.rand(len(self.phase), generator=generator).clamp(min=1e-3) * LARGEST_PHASE).log())
        self.gain.copy_((1 - squares).log() / 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it."""
        with wide(query.flatten(2), key.flatten(2), value.flatten(2)) as (q, k, v):
            terms = masked(self._input(k, v), real).to(_complex(v))
            sums = decayed(terms, self._decay(v))
            if not causal:
                sums = sums + decayed(terms.flip(1), self._decay(v)).flip(1) - terms
            return (q.sigmoid() * sums.real).reshape(value.shape).to(value.dtype)

    def start(self, rows: int, like: Tensor) -> State:
        """A complex vector of zeros for each row, [B, D]."""
        with wide(like) as (one,):
            return {"sum": one.new_zeros(rows, one.shape[-2:].numel(), dtype=_complex(one))}

    def step(self, query: Tensor, key: Tensor, value: Tensor, state: State) -> tuple[Tensor, State]:
        """As the interface has it."""
        with wide(query.flatten(1), key.flatten(1), value.flatten(1)) as (q, k, v):
            after = {"sum": self._decay(v) * state["sum"] + self._input(k, v)}
            return (q.sigmoid() * after["sum"].real).reshape(value.shape).to(value.dtype), after

    def _input(self, key: Tensor, value: Tensor) -> Tensor:
        gains: Tensor = self.gain.to(value.dtype).exp()
        return gains * key.sigmoid() * value

    def _decay(self, like: Tensor) -> Tensor:
        """[D] complex, inside the unit circle."""
        rate, phase = self.rate.to(like.dtype), self.phase.to(like.dtype)
        return torch.polar((-rate.exp()).exp(), phase.exp())


def _complex(real: Tensor) -> torch.dtype:
    return torch.complex128 if real.dtype == torch.float64 else torch.complex64


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> Recurrence:
    """The recurrence; there are no parameters."""
    return Recurrence(width)

"""The mixers of Mamba-1 (Gu & Dao 2023) and Mamba-2 (Dao & Gu 2024), as their authors' code has them.

Mamba-2, E = expand D inner channels in H = E / P heads:

    [z | x, k, q | d] = W_in X + b_in                                     widths E | E + 2 N | H
    x, k, q = act(convolution(x, k, q))                                   causal, of each channel
    delta = softplus(d * before + b_delta) * after                        `before` and `after` are 1 if not given
    y = ssd(x, delta, -exp(log_rate), k, q, skip)                         ssd.py
    Y = W_out RMSNorm(y * silu(z)) + b_out                                the gate first, the norm over all E channels

What is drawn here: b_delta, so that softplus(b_delta) is log-uniform between 0.001 and 0.1; log_rate = ln U(1, 16); the
convolution. The skip is 1. The linear maps are drawn with the network that the mixer stands in.

Each mixer has a form `step`, with a state of constant size; it gives what whole rows give.

Shapes: B rows, L length, D width, E inner width, H heads, P width of a head, N width of a state.
"""

from collections.abc import Callable
from math import log
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.models.attention.interface import State, wide
from seqrepro.models.ssm.convolution import CausalConvolution
from seqrepro.models.ssm.ssd import ssd, step

Activation = Literal["silu", "hardswish"]
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"silu": F.silu, "hardswish": F.hardswish}
STEPS = (0.001, 0.1)  # what the first steps lie between
RATES = (1.0, 16.0)  # what the first -A of Mamba-2 lie between


class Mamba2(nn.Module):
    """State-space duality between a convolution and a gate."""

    def __init__(
        self,
        width: int,
        expand: int,
        state: int,
        head_width: int,
        convolution: int,
        bias: bool = False,
        activation: Activation = "silu",
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        inner, heads = expand * width, expand * width // head_width
        self.state, self.heads, self.activation = state, heads, ACTIVATIONS[activation]
        self.projection = nn.Linear(width, 2 * inner + 2 * state + heads, bias)
        self.convolution = CausalConvolution(inner + 2 * state, convolution)
        self.step_bias = nn.Parameter(torch.zeros(heads))
        self.log_rate = nn.Parameter(torch.zeros(heads))
        self.skip = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(inner, eps=epsilon)
        self.output = nn.Linear(inner, width, bias)

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw what is not a linear map."""
        self.convolution.draw(generator)
        self.step_bias.copy_(drawn_step_bias(len(self.step_bias), generator))
        self.log_rate.uniform_(*RATES, generator=generator).log_()

    def forward(
        self,
        inputs: Tensor,
        segments: Tensor | None = None,
        before: Tensor | None = None,
        after: Tensor | None = None,
    ) -> Tensor:
        """Mix whole rows.

        Args:
            inputs: [B, L, D].
            segments: numbers, the same within a segment only, [B, L]; None: each row is one.
            before: multiplies the step before the bias and the softplus, [B, L, H]; None: 1.
            after: multiplies the step behind the softplus, [B, L, H]; None: 1.

        Returns:
            [B, L, D].
        """
        gate, convolved, raw = self._projected(inputs)
        x, keys, queries = self._split(self.convolution(convolved, segments))
        mixed, _ = ssd(x, self._delta(raw, before, after), self._rate(), keys, queries, self.skip, segments)
        return self._gated(mixed, gate)

    def start(self, rows: int) -> State:
        """The state of rows that have no position yet."""
        head_width = self.norm.weight.numel() // self.heads
        sums = self.skip.new_zeros(rows, self.heads, head_width, self.state)
        return {"buffer": self.convolution.start(rows), "sum": sums}

    def step(
        self, inputs: Tensor, state: State, before: Tensor | None = None, after: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The output [B, D] at the next position [B, D], and the state after it; before and after are [B, H]."""
        gate, convolved, raw = self._projected(inputs)
        convolved, buffer = self.convolution.step(convolved, state["buffer"])
        x, keys, queries = self._split(convolved)
        delta = self._delta(raw, before, after)
        mixed, sums = step(x, delta, self._rate(), keys, queries, self.skip, state["sum"])
        return self._gated(mixed, gate), {"buffer": buffer, "sum": sums}

    def _projected(self, inputs: Tensor) -> tuple[Tensor, ...]:
        inner, channels = self.norm.weight.numel(), len(self.convolution.bias)
        return torch.split(self.projection(inputs), [inner, channels, self.heads], dim=-1)

    def _split(self, convolved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., H, P], keys and queries [..., N]."""
        inner = self.norm.weight.numel()
        x, keys, queries = torch.split(self.activation(convolved), [inner, self.state, self.state], dim=-1)
        return x.reshape(*x.shape[:-1], self.heads, -1), keys, queries

    def _delta(self, raw: Tensor, before: Tensor | None, after: Tensor | None) -> Tensor:
        """[..., H] in 32 bits or more."""
        with wide(raw) as (delta,):
            delta = F.softplus((delta if before is None else delta * before) + self.step_bias)
            return delta if after is None else delta * after

    def _rate(self) -> Tensor:
        return -self.log_rate.exp()

    def _gated(self, mixed: Tensor, gate: Tensor) -> Tensor:
        with wide(mixed.flatten(-2), gate) as (y, z):
            normed = self.norm(y * F.silu(z))
        outputs: Tensor = self.output(normed)
        return outputs


def drawn_step_bias(count: int, generator: torch.Generator) -> Tensor:
    """b [count] with softplus(b) log-uniform over STEPS."""
    low, high = map(log, STEPS)
    steps = (torch.rand(count, generator=generator) * (high - low) + low).exp()
    return steps + (-torch.expm1(-steps)).log()

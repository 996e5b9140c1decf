"""The mixers of Mamba-1 (Gu & Dao 2023) and Mamba-2 (Dao & Gu 2024), as their authors' code has them.

Mamba-1, E = expand D inner channels, R = ceil(D / 16):

    [x | z] = W_in X                                                      widths E | E, no bias
    x = silu(convolution(x))                                              causal, of each channel
    [d | k | q] = W_x x                                                   widths R | N | N, no bias
    delta = softplus(W_delta d + b_delta)
    y = selective_scan(x, delta, -exp(log_rate), k, q, skip)              selective_scan.py
    Y = W_out (y * silu(z))                                               no bias, no norm

Mamba-2, E = expand D inner channels in H = E / P heads:

    [z | x, k, q | d] = W_in X + b_in                                     widths E | E + 2 N | H
    x, k, q = act(convolution(x, k, q))                                   causal, of each channel
    delta = softplus(d * before + b_delta) * after                        `before` and `after` are 1 if not given
    y = ssd(x, delta, -exp(log_rate), k, q, skip)                         ssd.py
    Y = W_out RMSNorm(y * silu(z)) + b_out                                the gate first, the norm over all E channels

The linear maps are drawn with the network that the mixer stands in. Drawn here are the convolution, b_delta, so that
softplus(b_delta) is log-uniform between 0.001 and 0.1, and, in Mamba-2, log_rate = ln U(1, 16). In Mamba-1 log_rate
starts at ln n for the states n = 1..N. The skip starts at 1.

Each mixer has a form `step`, with a state of constant size; it gives what whole rows give.

Shapes: B rows, L length, D width, E inner width, R rank of the steps, H heads, P width of a head, N width of a state.
"""

from collections.abc import Callable
from math import ceil, log
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.models.attention.interface import State, wide
from seqrepro.models.ssm import kernels
from seqrepro.models.ssm.convolution import CausalConvolution
from seqrepro.models.ssm.selective_scan import selective_scan
from seqrepro.models.ssm.selective_scan import step as selective_step
from seqrepro.models.ssm.ssd import ssd
from seqrepro.models.ssm.ssd import step as ssd_step

Activation = Literal["silu", "hardswish"]
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"silu": F.silu, "hardswish": F.hardswish}
STEPS = (0.001, 0.1)  # what the first steps lie between
RATES = (1.0, 16.0)  # what the first -A of Mamba-2 lie between


class Mamba1(nn.Module):
    """A selective scan between a convolution and a gate."""

    def __init__(self, width: int, expand: int, state: int, convolution: int, kernel: kernels.Kernel = "torch") -> None:
        super().__init__()
        kernels.check(kernel)
        self.kernel = kernel
        inner, self.rank, self.state = expand * width, ceil(width / 16), state
        self.projection = nn.Linear(width, 2 * inner, bias=False)
        self.convolution = CausalConvolution(inner, convolution)
        self.selection = nn.Linear(inner, self.rank + 2 * state, bias=False)
        self.steps = nn.Linear(self.rank, inner)
        self.log_rate = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.output = nn.Linear(inner, width, bias=False)

    @torch.no_grad()
    def draw(self, generator: torch.Generator, step_bias: bool = True) -> None:
        """Draw the convolution, and the bias of the steps unless told not to."""
        self.convolution.draw(generator)
        if step_bias:
            self.steps.bias.copy_(drawn_step_bias(len(self.steps.bias), generator))

    def forward(self, inputs: Tensor, segments: Tensor | None = None) -> Tensor:
        """[B, L, D] -> [B, L, D]; `segments` [B, L] are numbers, the same within a segment only."""
        x, gate = self.projection(inputs).chunk(2, dim=-1)
        x = F.silu(self.convolution(x, segments))
        given = (x, *self._selected(x), self.skip, segments)
        mixed = kernels.fused_selective_scan(*given) if self.kernel == "fused" else selective_scan(*given)[0]
        return self._gated(mixed, gate)

    def start(self, rows: int) -> State:
        """The state of rows that have no position yet."""
        return {"buffer": self.convolution.start(rows), "sum": self.skip.new_zeros(rows, *self.log_rate.shape)}

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """The output [B, D] at the next position [B, D], and the state after it."""
        x, gate = self.projection(inputs).chunk(2, dim=-1)
        x, buffer = self.convolution.step(x, state["buffer"])
        x = F.silu(x)
        mixed, sums = selective_step(x, *self._selected(x), self.skip, state["sum"])
        return self._gated(mixed, gate), {"buffer": buffer, "sum": sums}

    def _selected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Steps [..., E], A [E, N], keys and queries [..., N]."""
        raw, keys, queries = torch.split(self.selection(x), [self.rank, self.state, self.state], dim=-1)
        with wide(self.steps(raw)) as (steps,):
            return F.softplus(steps), -self.log_rate.exp(), keys, queries

    def _gated(self, mixed: Tensor, gate: Tensor) -> Tensor:
        outputs: Tensor = self.output(mixed * F.silu(gate))
        return outputs


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
        kernel: kernels.Kernel = "torch",
    ) -> None:
        super().__init__()
        kernels.check(kernel)
        self.kernel = kernel
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
        given = (x, self._delta(raw, before, after), self._rate(), keys, queries, self.skip, segments)
        mixed = kernels.fused_ssd(*given) if self.kernel == "fused" else ssd(*given)[0]
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
        mixed, sums = ssd_step(x, delta, self._rate(), keys, queries, self.skip, state["sum"])
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

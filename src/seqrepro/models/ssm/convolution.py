"""A short causal convolution of each channel over the positions of a row, as it stands before state-space mixers.

    y_t = b + sum over k < w of K_k x_{t-w+1+k}             by channel; x before the row is 0, or what a buffer holds

Computed as w shifted products, which is faster on a CPU than torch's grouped convolution and gives the same numbers.
Rows may hold several segments one behind the other: an item of another segment than t counts as 0.

Shapes: B rows, L length, E channels, w width.
"""

from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CausalConvolution(nn.Module):
    """Depthwise convolution; the parameters have the shapes of `nn.Conv1d(E, E, w, groups=E)`."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, width))
        self.bias = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def draw(self, generator: torch.Generator, law: Literal["uniform", "kaiming"] = "uniform") -> None:
        """Draw the weights.

        Args:
            generator: of the initial weights.
            law: uniform is torch's own, U(-1/sqrt(w), 1/sqrt(w)) for weights and biases; kaiming is
                N(0, 2 / (E w)), which is what `nn.init.kaiming_normal_` with fan_out gives, and biases 0.
        """
        channels, _, width = self.weight.shape
        if law == "kaiming":
            self.weight.normal_(0.0, sqrt(2 / (channels * width)), generator=generator)
            self.bias.zero_()
        else:
            self.weight.uniform_(-1 / sqrt(width), 1 / sqrt(width), generator=generator)
            self.bias.uniform_(-1 / sqrt(width), 1 / sqrt(width), generator=generator)

    def forward(self, inputs: Tensor, segments: Tensor | None = None) -> Tensor:
        """[B, L, E] -> [B, L, E]; `segments` [B, L] are numbers, the same within a segment only."""
        width, length = self.weight.shape[2], inputs.shape[1]
        before = F.pad(inputs, (0, 0, width - 1, 0))
        outputs = torch.addcmul(self.bias, inputs, self.weight[:, 0, -1])
        for shift in range(1, min(width, length)):
            earlier = before[:, width - 1 - shift : width - 1 - shift + length]
            if segments is not None:
                earlier = earlier * _same(segments, shift)[..., None]
            outputs.addcmul_(earlier, self.weight[:, 0, -1 - shift])
        return outputs

    def start(self, rows: int) -> Tensor:
        """The buffer of rows that have no position yet, [B, w-1, E]."""
        channels, _, width = self.weight.shape
        return self.weight.new_zeros(rows, width - 1, channels)

    def step(self, inputs: Tensor, buffer: Tensor) -> tuple[Tensor, Tensor]:
        """The output [B, E] at the next position [B, E], and the buffer after it: the last w - 1 inputs."""
        shown = torch.cat([buffer, inputs[:, None]], dim=1)
        return (shown * self.weight[:, 0].T).sum(1) + self.bias, shown[:, 1:]


def _same(segments: Tensor, shift: int) -> Tensor:
    """Whether the position `shift` before is of the same segment, [B, L] bool."""
    return F.pad(segments[:, shift:] == segments[:, :-shift], (shift, 0))

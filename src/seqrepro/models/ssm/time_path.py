"""How TiM4Rec turns the gaps between items into factors of the steps of its mixers.

As its code has it (`PaperTime`; modes paper and paper_masked), on rows of exactly L positions:

    g_0 = 0, g_t = time_t - time_{t-1}                        through the padding, whose time is 0
    T^0 = LN(drop(g))                                         over the positions, the same for all heads
    s   = W_b silu(W_a drop(T) + b_a) + b_b                   L -> L, the same for all heads
    tau = act(conv'(act(conv(T * s))))                        causal, by head, hardswish; multiplies a step before its
                                                              bias and its softplus
    T'  = LN(c T + (1 - c) tau), c = sigmoid(W_c drop(T) + b_c)     to the next layer; c by row, or by position

So every step depends on all gaps of a row and on its length. The gap into the padding is minus the last timestamp,
about -10^9: behind the norm it is -sqrt(L - 1), and all other gaps are one and the same number to four digits or so.
`paper_masked` leaves padding out of gaps, norms and tau.

Ours (`GapScale`; mode causal), linear in L, of any length, position by position:

    f_t = log(1 + gap_t / unit) / log(1 + year / unit)
    factor_t = bound^tanh(W_2 silu(W_1 f_t + b_1) + b_2)      [H]; 1 at the first item of a row

It multiplies a step behind its softplus, and so decay and input alike.

W_2 and b_2 start at 0: training begins at the model without time.

Shapes: B rows, L length (max_length of the model), T positions shown, H heads.
"""

from math import log, log1p

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.models.ssm.convolution import CausalConvolution

YEAR = 365 * 86_400.0  # seconds
SCALE_WIDTH = 16  # inner width of W_1, W_2


def gaps_of(times_BT: Tensor, exact: bool = True) -> Tensor:
    """g [B, T]: seconds since the item before; 0 at the first position.

    Args:
        times_BT: int64.
        exact: the difference of whole numbers, as int64; else of 32-bit floats, as RecBole hands timestamps over.
    """
    times = times_BT if exact else times_BT.float()
    return times.diff(dim=1, prepend=times[:, :1])


class PaperGaps(nn.Module):
    """T^0: the gaps of a row, normed over its positions."""

    def __init__(
        self, max_length: int, epsilon: float, dropout: float, masked: bool, padding_gap: str, exact: bool
    ) -> None:
        super().__init__()
        self.norm = PositionNorm(max_length, epsilon)
        self.dropout = nn.Dropout(dropout)
        self.max_length, self.masked, self.padding_gap, self.exact = max_length, masked, padding_gap, exact

    def forward(self, times_BT: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor | None]:
        """[B, T], T at most L -> [B, 1, L], and which positions norms see, [B, 1, L]; None: all."""
        missing = (0, self.max_length - times_BT.shape[1])
        times, real = F.pad(times_BT, missing), F.pad(real_BT, missing)
        gaps = gaps_of(times.where(real, 0), self.exact)
        into_padding = ~real & F.pad(real, (1, -1))
        if self.masked or self.padding_gap == "removed":
            gaps = gaps.where(~into_padding, 0)
        elif self.padding_gap == "only":
            gaps = gaps.where(into_padding, 0)
        seen = real[:, None] if self.masked else None
        return self.norm(self.dropout(gaps.to(self.norm.weight.dtype))[:, None], seen), seen


class PositionNorm(nn.Module):
    """LayerNorm over the positions of a row, or over some of them; 0 at the others."""

    def __init__(self, max_length: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(max_length))
        self.bias = nn.Parameter(torch.zeros(max_length))
        self.epsilon = epsilon

    def forward(self, rows: Tensor, seen: Tensor | None = None) -> Tensor:
        """[B, H, L] -> [B, H, L]; `seen` [B, 1, L] bool has at least one position a row."""
        if seen is None:
            return F.layer_norm(rows, self.weight.shape, self.weight, self.bias, self.epsilon)
        count = seen.sum(-1, keepdim=True)
        centred = (rows - rows.where(seen, 0).sum(-1, keepdim=True) / count).where(seen, 0)
        variance = centred.square().sum(-1, keepdim=True) / count
        normed = centred * (variance + self.epsilon).rsqrt() * self.weight + self.bias
        return normed.where(seen, 0)


class PaperTime(nn.Module):
    """The time path of one layer."""

    def __init__(
        self, max_length: int, heads: int, convolution: int, epsilon: float, dropout: float, by_position: bool
    ) -> None:
        super().__init__()
        self.inner = nn.Linear(max_length, max_length)
        self.outer = nn.Linear(max_length, max_length)
        self.convolutions = nn.ModuleList(CausalConvolution(heads, convolution) for _ in range(2))
        self.gate = nn.Linear(max_length, max_length if by_position else 1)
        self.norm = PositionNorm(max_length, epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """T [B, H, L] -> tau [B, L, H], and T' [B, H, L]; `seen` [B, 1, L]: positions that are not padding."""
        factors = self.outer(F.silu(self.inner(self.dropout(rows))))
        mixed = (rows * factors).mT  # [B, L, H]
        for convolution in self.convolutions:
            mixed = F.hardswish(convolution(mixed))
        if seen is not None:
            mixed = mixed.where(seen.mT, 0)
        kept = self.gate(self.dropout(rows)).sigmoid()
        return mixed, self.norm(kept * rows + (1 - kept) * mixed.mT, seen)


class GapScale(nn.Module):
    """Factors of one layer's steps from the gap before each item alone."""

    def __init__(self, heads: int, unit: float, bound: float) -> None:
        super().__init__()
        self.inner = nn.Linear(1, SCALE_WIDTH)
        self.outer = nn.Linear(SCALE_WIDTH, heads)
        self.unit, self.reach = unit, log(bound)

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw W_1 as torch does it, U(-1, 1), with its bias, so that it tells gaps apart; the rest is 0."""
        self.inner.weight.uniform_(-1, 1, generator=generator)
        self.inner.bias.uniform_(-1, 1, generator=generator)
        self.outer.weight.zero_()
        self.outer.bias.zero_()

    def forward(self, gaps_BT: Tensor) -> Tensor:
        """Seconds [B, T], at least 0 -> factors [B, T, H]."""
        feature = (gaps_BT.clamp(min=0).to(self.inner.weight.dtype) / self.unit).log1p() / log1p(YEAR / self.unit)
        exponents: Tensor = self.outer(F.silu(self.inner(feature[..., None]))).tanh()
        return (self.reach * exponents).exp()

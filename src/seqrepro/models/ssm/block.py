"""The block of the state-space recommenders: a mixer, then a network for each position, norms after the sums.

    U = LN(drop(mixer(X)) + X);  X' = LN(drop(W2 drop(act(W1 U + b1)) + b2) + U)

On demand without "+ X", or without the network, X' = U.

Shapes: B rows, L length, D width, I inner width.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.models.attention.interface import State
from seqrepro.models.layers import NORM_EPSILON, FeedForward
from seqrepro.models.ssm.mamba import Mamba1, Mamba2

Activation = Callable[[Tensor], Tensor]


class DroppedFeedForward(FeedForward):
    """W2 drop(act(W1 x + b1)) + b2, D -> I -> D."""

    def __init__(self, width: int, inner_width: int, dropout: float, activation: Activation = F.gelu) -> None:
        super().__init__(width, inner_width)
        self.dropout, self.activation = nn.Dropout(dropout), activation

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        outputs: Tensor = self.output(self.dropout(self.activation(self.inner(inputs))))
        return outputs


class StateSpaceBlock(nn.Module):
    """A causal mixer of constant state and a feed-forward network."""

    def __init__(
        self,
        mixer: Mamba1 | Mamba2,
        feed_forward: DroppedFeedForward | None,
        dropout: float,
        residual: bool = True,
        epsilon: float = NORM_EPSILON,
    ) -> None:
        """`residual`: whether the mixer's inputs are added to its outputs; `epsilon`: of the norm behind the mixer."""
        super().__init__()
        width = mixer.output.out_features
        self.mixer, self.feed_forward, self.residual = mixer, feed_forward, residual
        self.mixer_norm = nn.LayerNorm(width, eps=epsilon)
        self.feed_forward_norm = nn.LayerNorm(width, eps=NORM_EPSILON) if feed_forward else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, *context: Tensor | None) -> Tensor:
        """[B, L, D] -> [B, L, D]; the mixer is given the context too."""
        return self._behind(inputs, self.mixer(inputs, *context))

    def step(self, inputs: Tensor, state: State, *context: Tensor | None) -> tuple[Tensor, State]:
        """The output [B, D] at the next position [B, D], and the mixer's state after it."""
        mixed, after = self.mixer.step(inputs, state, *context)
        return self._behind(inputs, mixed), after

    def _behind(self, inputs: Tensor, mixed: Tensor) -> Tensor:
        mixed = self.dropout(mixed)
        outputs: Tensor = self.mixer_norm(mixed + inputs if self.residual else mixed)
        if self.feed_forward is not None and self.feed_forward_norm is not None:
            outputs = self.feed_forward_norm(self.dropout(self.feed_forward(outputs)) + outputs)
        return outputs

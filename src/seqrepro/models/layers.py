"""Building blocks of the networks.

Shapes: B rows, L length, D width, H heads, I inner width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INITIAL_DEVIATION = 0.02
NORM_EPSILON = 1e-12
SMALLEST_LENGTH = 1e-6


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention, causal or in both directions.

    softmax(Q K^T / sqrt(D / H)) V by head, linear maps with biases for Q, K, V and the output
    (Vaswani et al. 2017, section 3.2).
    """

    def __init__(self, width: int, heads: int, attention_dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, inputs: Tensor, seen: Tensor | None = None) -> Tensor:
        """[B, L, D] -> [B, L, D].

        Args:
            inputs: rows, padded on the right.
            seen: the positions that all positions of a row see, [B, L] bool; by default a position sees itself and
                what came before, so that padding needs no mask.
        """
        by_head = self.query_key_value(inputs).unflatten(-1, (3, self.heads, -1))
        query, key, value = by_head.permute(2, 0, 3, 1, 4)  # each [B, H, L, D/H]
        dropout = self.attention_dropout if self.training else 0.0
        keys = None if seen is None else seen[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, keys, dropout, is_causal=seen is None)
        outputs: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return outputs


class FeedForward(nn.Module):
    """W2 gelu(W1 x + b1) + b2 with the exact GELU, D -> I -> D."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner_width)
        self.output = nn.Linear(inner_width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        outputs: Tensor = self.output(F.gelu(self.inner(inputs)))
        return outputs


class PostNormBlock(nn.Module):
    """X <- LN(X + drop(mixer(X))); X <- LN(X + drop(feed_forward(X)))."""

    def __init__(self, mixer: nn.Module, width: int, inner_width: int, dropout: float) -> None:
        super().__init__()
        self.mixer = mixer
        self.mixer_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.feed_forward = FeedForward(width, inner_width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, *context: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]; the mixer is given the context too."""
        mixed = self.mixer_norm(inputs + self.dropout(self.mixer(inputs, *context)))
        outputs: Tensor = self.feed_forward_norm(mixed + self.dropout(self.feed_forward(mixed)))
        return outputs


@torch.no_grad()
def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Draw linear and embedding weights from N(0, 0.02^2); biases 0; norms 1 and 0; padding rows 0.

    The draws come in the order of the modules and from the generator alone.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.normal_(0.0, INITIAL_DEVIATION, generator=generator)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.zero_()
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx].zero_()


def unit(vectors: Tensor) -> Tensor:
    """Vectors [..., D] over their lengths, or over 1e-6; a vector of zeros stays one."""
    return F.normalize(vectors, dim=-1, eps=SMALLEST_LENGTH)


def scored(states: Tensor, cosine_temperature: float | None) -> Tensor:
    """Representations [..., D] as they are, or such that their products with unit vectors are cosines over it."""
    return states if cosine_temperature is None else unit(states) / cosine_temperature


def comparable(rows: Tensor, cosine_temperature: float | None) -> Tensor:
    """Item rows [V+1, D] as they are, or of length 1 where scores are cosines."""
    return rows if cosine_temperature is None else unit(rows)


def draw_uniform(weight: Tensor, inputs: int, generator: torch.Generator) -> None:
    """Draw a weight, or a bias, from U(-1 / sqrt(inputs), 1 / sqrt(inputs)): torch's default for most maps."""
    nn.init.uniform_(weight, -(inputs**-0.5), inputs**-0.5, generator)

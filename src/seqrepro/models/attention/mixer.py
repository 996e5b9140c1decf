"""What a block has in the place of attention: linear maps with biases around a way to mix positions.

    out = W_O mix(W_Q X, W_K X, W_V X) + b_O

The maps are the same for every method; one that reads no queries and keys has no maps for them. With the method `none`
there is nothing at all: out = 0, so that of a block its inner layers stay.

Shapes: B rows, T length, D width, H heads.
"""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.models.attention.interface import Attention


class Mixer(nn.Module):
    """Attention of some kind with its linear maps."""

    def __init__(self, attention: Attention, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query_key_value = nn.Linear(width, len(attention.uses) * width)
        self.output = nn.Linear(width, width)
        self.attention = attention

    def forward(self, inputs: Tensor, seen: Tensor | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D].

        Args:
            inputs: rows.
            seen: the real positions [B, T] bool; None: causal rows that are padded on the right at most.
        """
        uses = self.attention.uses
        parts = self.query_key_value(inputs).unflatten(-1, (len(uses), self.heads, -1)).unbind(2)
        given = dict(zip(uses, parts, strict=True))
        query, key = given.get("query", parts[-1]), given.get("key", parts[-1])
        outputs: Tensor = self.output(self.attention(query, key, given["value"], seen, self.causal).flatten(2))
        return outputs


class Nothing(nn.Module):
    """No mixing of positions."""

    def forward(self, inputs: Tensor, seen: Tensor | None = None) -> Tensor:
        """[B, T, D] -> zeros [B, T, D]."""
        return torch.zeros_like(inputs)


def build_mixer(parameters: dict[str, Any], width: int, heads: int, max_length: int, causal: bool) -> nn.Module:
    """The mixer of the method that the parameters name: a module beside this one."""
    if parameters["name"] == "none":
        return Nothing()
    method = import_module(f"seqrepro.models.attention.{parameters['name']}")
    return Mixer(method.build(parameters, width, heads, max_length), width, heads, causal)

"""Mamba4Rec: sequential recommendation with selective state spaces (Liu et al. 2024), as its authors' code has it.

    X^0 = LN(drop(E[s]))                                                       no positions
    U = LN(drop(mamba(X)) + X)                                                 without "+ X" if there is one layer
    X' = LN(drop(W2 drop(gelu(W1 U + b1)) + b2) + U)
    score(j | s_1..s_t) = <X^n_t, E_j>                                         tied item embeddings

All norms have epsilon 1e-12. All linear and embedding weights start at N(0, 0.02^2) and all biases at 0; so the
authors' code overwrites the first bias of the steps, too, and all steps start near ln 2 (`step_bias`). Their row of
padding is drawn and is a class of the softmax; here it is 0, and no class.

It is causal, so padding on the right has no influence, and it can be trained on all positions. A history of any length
has a state of E (N + w - 1) numbers a layer: `start`, `step`.

Parameters: (V + 1) D + 2 D + n (mixer + 2 D I + 5 D + I), the mixer having 3 D E + E (w + 2 R + 3 N + 3).

Shapes: B rows, L length, D width, V items, E inner channels, N width of a state, w convolution, R rank of the steps,
I inner width, n layers.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.config.architectures.mamba4rec import Mamba4RecParameters
from seqrepro.models.attention.interface import State
from seqrepro.models.interfaces import SequentialModel
from seqrepro.models.layers import NORM_EPSILON, initialise
from seqrepro.models.ssm.block import DroppedFeedForward, StateSpaceBlock
from seqrepro.models.ssm.mamba import Mamba1


class Mamba4Rec(SequentialModel):
    """Blocks of selective scans over item embeddings."""

    def __init__(self, parameters: Mamba4RecParameters, n_items: int) -> None:
        super().__init__()
        p = parameters
        self.max_length = p.max_length
        self.items = nn.Embedding(n_items + 1, p.width, padding_idx=0)
        self.norm = nn.LayerNorm(p.width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(p.dropout)
        self.blocks = nn.ModuleList(
            StateSpaceBlock(
                Mamba1(p.width, p.expand, p.state, p.convolution, p.kernel),
                DroppedFeedForward(p.width, p.inner_width, p.dropout),
                p.dropout,
                residual=p.layers > 1,
            )
            for _ in range(p.layers)
        )

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """Representations [B, L, D] of right-padded item ids [B, L] of any length."""
        states = self._embedded(padded_BL)
        for block in self.blocks:
            states = block(states)
        return states

    def item_table(self) -> Tensor:
        """Item embeddings [V+1, D]; row 0 is padding."""
        return self.items.weight

    def start(self, rows: int) -> list[State]:
        """The states of histories that have no item yet, one a layer."""
        return [block.mixer.start(rows) for block in self.blocks]  # type: ignore[union-attr, operator]

    def step(self, items: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """The representations [B, D] at the next items [B], and the states after them."""
        outputs, after = self._embedded(items), []
        for block, state in zip(self.blocks, states, strict=True):
            outputs, own = block.step(outputs, state)  # type: ignore[operator]
            after.append(own)
        return outputs, after

    def _embedded(self, items: Tensor) -> Tensor:
        embedded: Tensor = self.norm(self.dropout(self.items(items)))
        return embedded


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> Mamba4Rec:
    """Mamba4Rec for a catalogue of `n_items`, initialised from the generator alone."""
    p = Mamba4RecParameters.model_validate(parameters)
    model = Mamba4Rec(p, n_items)
    initialise(model, generator)
    for module in model.modules():
        if isinstance(module, Mamba1):
            module.draw(generator, step_bias=p.step_bias == "mamba")
    return model

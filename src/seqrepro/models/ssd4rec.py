"""SSD4Rec: structured state-space duality for sequential recommendation (Qu et al. 2024), as its authors' code has it.

    X^0 = E[s], or LN(drop(E[s])) with `norm_embedding`                              no positions
    F = mamba2(X),  G = mamba2(X backwards)                                          one mixer for both ways
    H = drop(LN(F + beta G + X));  X' = drop(LN(W2 drop(gelu(W1 H + b1)) + b2 + H))
    score(j | s_1..s_m) = <X^n_m, E_j>                                               tied item embeddings

G is added as it comes: its position t has seen the items s_m .. s_{m-t+1}. At the newest position both ways have seen
the whole history, and that position alone is meaningful: the network is not causal, and learns from prefixes. In
training items of a history are hidden with a probability (`hidden_share` of the recipe). They are replaced by row 0 of
E, which is trained like any other; here it is no class of the softmax, with the authors it is one.

The authors put histories one behind the other, with segments; rows with padding on the right, each turned round for
itself, give the same numbers. Norms have epsilon 1e-12, that of the mixer 1e-5; the mixer's maps have no biases.

Parameters: (V + 1) D + 2 D + n (mixer + 2 D I + 5 D + I), the mixer having
D (2 E + 2 N + H) + (E + 2 N) (w + 1) + 3 H + E + E D; the norm behind the embeddings is there even if it isn't used.

Shapes: B rows, L length, m items of a history, D width, V items, E inner channels, H heads, N width of a state,
w convolution, I inner width, n layers.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.config.architectures.ssd4rec import SSD4RecParameters
from seqrepro.models.interfaces import SequentialModel
from seqrepro.models.layers import NORM_EPSILON, initialise
from seqrepro.models.ssm.block import DroppedFeedForward
from seqrepro.models.ssm.mamba import Mamba2


class BothWaysBlock(nn.Module):
    """One mixer for both ways, and a feed-forward network; dropout behind the norms."""

    def __init__(self, p: SSD4RecParameters) -> None:
        super().__init__()
        self.backward_weight = p.backward
        self.mixer = Mamba2(p.width, p.expand, p.state, p.head_width, p.convolution, kernel=p.kernel)
        self.mixer_norm = nn.LayerNorm(p.width, eps=NORM_EPSILON)
        self.feed_forward = DroppedFeedForward(p.width, p.inner_width, p.dropout)
        self.feed_forward_norm = nn.LayerNorm(p.width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(p.dropout)

    def forward(self, inputs: Tensor, turned: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]; `turned` [B, L] are the places that the positions of a row's way back come from."""
        backwards = inputs.gather(1, turned[..., None].expand_as(inputs))
        both = self.mixer(inputs) + self.backward_weight * self.mixer(backwards)
        mixed = self.dropout(self.mixer_norm(both + inputs))
        outputs: Tensor = self.dropout(self.feed_forward_norm(self.feed_forward(mixed) + mixed))
        return outputs


class SSD4Rec(SequentialModel):
    """Blocks of state-space mixers in both directions over item embeddings."""

    def __init__(self, parameters: SSD4RecParameters, n_items: int) -> None:
        super().__init__()
        p = parameters
        self.max_length, self.mask, self.norm_embedding = p.max_length, n_items + 1, p.norm_embedding
        self.items = nn.Embedding(n_items + 1, p.width)
        self.norm = nn.LayerNorm(p.width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(p.dropout)
        self.blocks = nn.ModuleList(BothWaysBlock(p) for _ in range(p.layers))

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """Representations [B, L, D] of right-padded ids [B, L]: items, and V + 1 for a hidden one.

        Only that at the newest item of a row is meaningful.
        """
        states = self.items(padded_BL.masked_fill(padded_BL == self.mask, 0))
        if self.norm_embedding:
            states = self.norm(self.dropout(states))
        turned = turned_round(padded_BL != 0)
        for block in self.blocks:
            states = block(states, turned)
        return states  # type: ignore[no-any-return]

    def item_table(self) -> Tensor:
        """Item embeddings [V+1, D]; row 0 is that of hidden items."""
        return self.items.weight


def turned_round(real: Tensor) -> Tensor:
    """m-1, ..., 1, 0 for the m real positions [B, L] of a row padded on the right, each of the others itself."""
    places = torch.arange(real.shape[1], device=real.device)
    return torch.where(real, real.sum(1, keepdim=True) - 1 - places, places)


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> SSD4Rec:
    """SSD4Rec for a catalogue of `n_items`, initialised from the generator alone."""
    model = SSD4Rec(SSD4RecParameters.model_validate(parameters), n_items)
    initialise(model, generator)
    for module in model.modules():
        if isinstance(module, Mamba2):
            module.draw(generator)
    return model

"""SASRec: self-attentive sequential recommendation (Kang & McAuley 2018), in the widespread post-norm form.

    X^0 = drop(LN(E[s] + P[0..L-1]))                                                 without P if positions: none
    X^l = block(X^{l-1}): X <- LN(X + drop(MHA(X))); X <- LN(X + drop(W2 gelu(W1 X)))      causal, with biases
    score(j | s_1..s_t) = <X^n_t, E_j>                                                     tied item embeddings

It is the form of the S3-Rec and RecBole implementations, not that of the paper: norms after the residual sums
(epsilon 1e-12), attention with an output map, an inner width of 4 D with exact GELU, no scaling of the embeddings, no
final norm, N(0, 0.02^2) for linear and embedding weights. The padding row of E is never scored, attended or trained;
it is 0.

Histories are padded on the right. The item s_t of a history of m <= L items has the position t - 1, counted from the
oldest item shown, as in RecBole. With `positions_from: newest` it has L - m + t - 1, so that the newest item always
has L - 1: this is padding on the left, the form of SASRec's authors and of S3-Rec. In training on all positions m is
then the length of the whole input, so that an item's place says how many targets are still to come.
Without positions, one layer knows the newest item and which others there are, not their order; several can tell order
by the causal mask.

Parameters: (V + 1) D + L D + 2 D + n (4 D^2 + 2 D I + 9 D + I); at D = 64, I = 256 a block has 49,984. S3-Rec's code
has one row of D more, for a mask that its fine-tuning never shows; `mask_row` adds it, for training that shows it.
With `cosine_temperature` scores are cosines divided by it, in the loss and in ranking.

Shapes: B rows, L length, D width, V items, I inner width, n layers.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrepro.config.architectures.sasrec import SASRecParameters
from seqrepro.data.sequences import index_range
from seqrepro.models.interfaces import SequentialModel
from seqrepro.models.layers import NORM_EPSILON, PostNormBlock, SelfAttention, comparable, initialise, scored


class SASRec(SequentialModel):
    """Causal Transformer over item embeddings, with learned positions or without."""

    def __init__(self, parameters: SASRecParameters, n_items: int) -> None:
        super().__init__()
        p = parameters
        self.max_length, self.positions_from = p.max_length, p.positions_from
        self.n_items, self.mask = n_items, n_items + 1
        self.cosine_temperature = p.cosine_temperature
        self.items = nn.Embedding(n_items + 1 + p.mask_row, p.width, padding_idx=0)
        self.positions = nn.Embedding(p.max_length, p.width) if p.positions == "learned" else None
        self.norm = nn.LayerNorm(p.width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(p.dropout)
        self.blocks = nn.ModuleList(
            PostNormBlock(SelfAttention(p.width, p.heads, p.attention_dropout), p.width, p.inner, p.dropout)
            for _ in range(p.layers)
        )

    def hidden(self, padded_BL: Tensor, both_ways: bool = False) -> Tensor:
        """Representations [B, L, D] of right-padded item ids [B, L], L at most `max_length`.

        Every position sees all items of its row with `both_ways`, which only S3-Rec's pre-training asks for.
        """
        context = [padded_BL != 0] if both_ways else []
        embedded = self.items(padded_BL)
        if self.positions is not None:
            embedded = embedded + self._positions_of(padded_BL, self.positions)
        states: Tensor = self.dropout(self.norm(embedded))
        for block in self.blocks:
            states = block(states, *context)
        return scored(states, self.cosine_temperature)

    def item_table(self) -> Tensor:
        """What representations are multiplied by, [V+1, D]; row 0 is padding."""
        rows = self.items.weight
        rows = rows if len(rows) == self.n_items + 1 else rows[: self.n_items + 1]
        return comparable(rows, self.cosine_temperature)

    def _positions_of(self, padded_BL: Tensor, table: nn.Embedding) -> Tensor:
        """Position embeddings [L, D], or [B, L, D] where they depend on the length of a row."""
        if self.positions_from == "oldest":
            return table.weight[: padded_BL.shape[1]]
        lengths = (padded_BL != 0).sum(1, keepdim=True)
        places_BL = self.max_length - lengths + index_range(padded_BL[0])
        positions: Tensor = table(places_BL.clamp(max=self.max_length - 1))  # those of padding mean nothing
        return positions


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> SASRec:
    """SASRec for a catalogue of `n_items`, initialised from the generator alone."""
    model = SASRec(SASRecParameters.model_validate(parameters), n_items)
    initialise(model, generator)
    return model

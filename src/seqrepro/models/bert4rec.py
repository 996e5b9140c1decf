"""BERT4Rec: bidirectional Transformer that predicts the items behind masks (Sun et al. 2019).

    X^0 = drop(LN(E[s] + P[0..L-1]))                          some of the s are the mask, V + 1
    X^l = block(X^{l-1}), as SASRec's, but every position sees every item of the row
    h_t = LN(gelu(W X^n_t + b))                               the head
    score(j at t) = <h_t, E_j> + beta_j                       tied item embeddings, a bias an item
    score(j | s_1..s_m) = score(j at the mask of s_{m-L+2}..s_m, mask)

Trained with the view `cloze`. It is the form of its authors' code and of RecBole, without the embedding of the token
type, which is one and the same vector everywhere (the positions contain it), and with N(0, 0.02^2) for all weights,
which the authors cut off at two deviations. Positions are counted from the oldest item shown. What is ranked is the
newest L - 1 items with a mask behind them; RecBole takes away the oldest item there, even of a short history.

The bias is a column of the item table, and every representation has a 1 for it: h is [D + 1], and so is a row of the
table. So whatever trains and ranks by inner products does it with the bias. Padding is neither scored, attended nor
trained; the mask is no candidate.

Parameters: (V + 2) D + L D + 2 D + n (4 D^2 + 2 D I + 9 D + I) + D^2 + 3 D + V + 1.

Shapes: B rows, L length, D width, V items, I inner width, n layers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.config.architectures.bert4rec import BERT4RecParameters
from seqrepro.data.sequences import Sequences, offsets_of, ranges
from seqrepro.models.interfaces import SequentialModel
from seqrepro.models.layers import NORM_EPSILON, PostNormBlock, SelfAttention, initialise


class BERT4Rec(SequentialModel):
    """Bidirectional Transformer over item embeddings with learned positions and a head of its own."""

    def __init__(self, parameters: BERT4RecParameters, n_items: int) -> None:
        super().__init__()
        p = parameters
        self.max_length, self.mask = p.max_length, n_items + 1
        self.items = nn.Embedding(n_items + 2, p.width, padding_idx=0)
        self.positions = nn.Embedding(p.max_length, p.width)
        self.norm = nn.LayerNorm(p.width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(p.dropout)
        self.blocks = nn.ModuleList(
            PostNormBlock(SelfAttention(p.width, p.heads, p.attention_dropout), p.width, p.inner_width, p.dropout)
            for _ in range(p.layers)
        )
        self.head = nn.Linear(p.width, p.width)
        self.head_norm = nn.LayerNorm(p.width, eps=NORM_EPSILON)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """Representations [B, L, D + 1] of right-padded ids [B, L] of items and masks, L at most `max_length`."""
        states = self.dropout(self.norm(self.items(padded_BL) + self.positions.weight[: padded_BL.shape[1]]))
        for block in self.blocks:
            states = block(states, padded_BL != 0)
        predicted = self.head_norm(F.gelu(self.head(states)))
        return torch.cat([predicted, torch.ones_like(predicted[:, :, :1])], dim=2)

    def item_table(self) -> Tensor:
        """Item embeddings with the biases behind them [V+1, D + 1]; row 0 is padding."""
        return torch.cat([self.items.weight[: self.mask], self.bias[:, None]], dim=1)

    def last_hidden(self, histories: Sequences) -> Tensor:
        """The representation [B, D + 1] at a mask behind the newest item of each history."""
        return super().last_hidden(self._with_mask(histories.tail(self.max_length - 1)))

    def _with_mask(self, histories: Sequences) -> Sequences:
        """The same rows, each with a mask at its end."""
        offsets = offsets_of(histories.lengths + 1)
        values = histories.values.new_full((int(offsets[-1]),), self.mask)
        values[ranges(offsets[:-1], histories.lengths)] = histories.values
        return Sequences(histories.users, values, offsets, None, histories.n_items)


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> BERT4Rec:
    """BERT4Rec for a catalogue of `n_items`, initialised from the generator alone."""
    model = BERT4Rec(BERT4RecParameters.model_validate(parameters), n_items)
    initialise(model, generator)
    return model

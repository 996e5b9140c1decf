"""HydraRec: Transformers for sequential recommendation with Hydra attention (Mushtaque 2025, arXiv 2501.01242).

Of the paper only the abstract was available to us. So this is a re-derivation: the operator of Hydra attention
(`attention/hydra.py`), causal as a running sum, in the frames of the two models that the abstract names. Everything
else is theirs, output map and position embeddings included:

    frame `causal`:          SASRec's network (`sasrec.py`), for the next item at every position
    frame `bidirectional`:   BERT4Rec's network (`bert4rec.py`), for items behind masks
    X <- LN(X + drop(mixer(X)));  X <- LN(X + drop(feed_forward(X)))              the mixer of `attention/mixer.py`

Any other method may stand in the mixer, so all that a comparison varies is the method; with dot-product attention the
network is SASRec or BERT4Rec bit by bit. `replaced: k` replaces the mixers of the last k layers only.

`padding: mixed` is a trap of public code, for comparison: rows of L positions with padding on the left, which no mask
takes out. Padding has no position, its vector is 0, so its key is the bias of the map; a norm makes a key of length 1
even of that.

Shapes: B rows, L length, D width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.config.architectures.bert4rec import BERT4RecParameters
from seqrepro.config.architectures.hydrarec import HydraRecParameters
from seqrepro.config.architectures.sasrec import SASRecParameters
from seqrepro.models.attention.interface import Attention
from seqrepro.models.attention.mixer import build_mixer
from seqrepro.models.bert4rec import BERT4Rec
from seqrepro.models.layers import initialise
from seqrepro.models.sasrec import SASRec

SHARED = ("width", "layers", "heads", "inner_width", "dropout", "attention_dropout", "max_length")


class MixedPadding(SASRec):
    """The causal frame with unmasked padding on the left."""

    def hidden(self, padded_BL: Tensor, both_ways: bool = False) -> Tensor:
        """Representations [B, L, D] of right-padded item ids [B, L]."""
        shown = padded_BL.shape[1]
        real = F.pad(padded_BL, (0, self.max_length - shown)) != 0
        places = (torch.arange(self.max_length, device=real.device) + real.sum(1, keepdim=True)) % self.max_length
        embedded = self.items(padded_BL)
        if self.positions is not None:
            embedded = embedded + self.positions.weight[:shown] * real[:, :shown, None]
        states = self.dropout(self.norm(F.pad(embedded, (0, 0, 0, self.max_length - shown))))
        states = _taken(states, places)  # padding first
        for block in self.blocks:
            states = block(states)
        return _taken(states, places.argsort(1))[:, :shown]


def _taken(states: Tensor, places: Tensor) -> Tensor:
    """The positions [B, L] of rows [B, L, D]."""
    return states.gather(1, places[:, :, None].expand_as(states))


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> SASRec | BERT4Rec:
    """The network for a catalogue of `n_items`, initialised from the generator alone."""
    p = HydraRecParameters.model_validate(parameters)
    model = _frame(p, n_items)
    for block in list(model.blocks)[-(p.replaced or p.layers) :]:
        block.mixer = build_mixer(p.attention.canonical(), p.width, p.heads, p.max_length, p.frame == "causal")
    initialise(model, generator)
    for module in model.modules():
        if isinstance(module, Attention):
            module.draw(generator)
    if isinstance(model, BERT4Rec) and p.positions == "none":
        model.positions.requires_grad_(False)
        model.positions.weight.zero_()
    return model


def _frame(p: HydraRecParameters, n_items: int) -> SASRec | BERT4Rec:
    """The network with dot-product attention in every layer."""
    shared = {name: getattr(p, name) for name in SHARED}
    if p.frame == "bidirectional":
        return BERT4Rec(BERT4RecParameters(family="bert4rec", **shared), n_items)
    network = MixedPadding if p.padding == "mixed" else SASRec
    return network(SASRecParameters(family="sasrec", positions=p.positions, **shared), n_items)

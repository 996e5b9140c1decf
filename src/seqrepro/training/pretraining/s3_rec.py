"""S3-Rec: pre-training of SASRec on the attributes of items and on parts of histories (Zhou et al. 2020).

An instance is a prefix s_1..s_n (n >= 1) of a user's last L training items. The network of SASRec sees it in both
directions here; with A attributes, the rows a_0..a_A of a table of their own, and maps W_AAP, W_MAP, W_MIP, W_SP:

    X = s with some items replaced by the mask, each with probability `mask_ratio`, the last one always;  H = network(X)
    AAP = sum over t not masked, k of BCE(<W_AAP h_t, a_k>, whether s_t has k)          associated attributes
    MAP = sum over t masked, k of BCE(<W_MAP h_t, a_k>, whether s_t has k)              masked attributes
    MIP = sum over t masked of -log sigma(sigma<W_MIP h_t, e_{s_t}> - sigma<W_MIP h_t, e_{j_t}>)      masked items
    SP  = sum over rows of -log sigma(sigma<W_SP c, p> - sigma<W_SP c, q>)              segments
    loss = aap AAP + mip MIP + map MAP + sp SP                                          sums, and no means

j_t is uniform over the items that are not in the prefix. For SP a segment of k consecutive items is cut out, k uniform
over 1..floor(n/2) and then its place: c, p and q are the representations at the newest position of the history with
masks for the segment, of the segment with masks for the rest, and of k consecutive items of anybody in its place. Of a
single item all three are the item itself. BCE is binary cross-entropy with logits, over all A + 1 attributes; nothing
has a_0.

As in its authors' code, MIP and SP have a sigma inside the sigma, so a term lies between log(1 + 1/e) and log(1 + e);
and the segments of others come from whole sequences of users, held-out items included. That code also draws the mask
as a negative, once in V + 1 times; here it is never drawn. Fine-tuning starts from the network alone: the attributes
and the maps stay behind. With them the whole has

    (V + 2) D + L D + 2 D + n (4 D^2 + 2 D I + 9 D + I) + (A + 1) D + 4 (D^2 + D)      parameters.

Shapes: B rows, L length, N items of the rows, D width, V items, A attributes, M items of all users.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.data.sequences import Sequences, index_range, length_groups
from seqrepro.data.splits import Split
from seqrepro.errors import InputError
from seqrepro.models.layers import initialise
from seqrepro.models.sasrec import SASRec
from seqrepro.training.negatives import items_outside
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import Batch, View, all_prefixes_view

MAPS = ("aap", "mip", "map", "sp")


@dataclass(frozen=True)
class Instances:
    """What is drawn for a batch; all [B, L], padded on the right with 0."""

    items: Tensor  # the prefix itself
    masked: Tensor  # which of its items are masked, bool
    negatives: Tensor  # an item that is not in the prefix
    context: Tensor  # the prefix with masks for the segment
    segment: Tensor  # the segment with masks for the rest
    other: Tensor  # a segment of anybody with masks for the rest

    def rows(self, rows: Tensor, length: int, device: torch.device) -> "Instances":
        """Some rows [B'], cut to a length, on a device."""
        return Instances(*(getattr(self, field.name)[rows, :length].to(device) for field in fields(self)))


def draw_instances(rows: Sequences, everything: Tensor, mask_ratio: float, randomness: Randomness) -> Instances:
    """Masks, negatives and segments of prefixes, on the CPU.

    Args:
        rows: the prefixes [B].
        everything: items of all users, one behind the other [M].
        mask_ratio: probability of an item that is not the last to be masked.
        randomness: masks and segments come from `masking`, items from `negatives`.
    """
    items, lengths = rows.last(int(rows.lengths.max()))
    n, places, mask = lengths[:, None], torch.arange(items.shape[1]), rows.n_items + 1
    real, last = places < n, places == n - 1
    masked = real & (last | (_uniform(items.shape, randomness.masking) < mask_ratio))
    negatives = torch.zeros_like(items)
    negatives[real] = items_outside(rows, rows.rows, 1, randomness.negatives)[:, 0]
    size = _integers(torch.ones_like(n), n // 2, randomness.masking).where(n > 1, 0)
    begin = _integers(torch.zeros_like(n), n - size, randomness.masking)
    inside = (places >= begin) & (places < begin + size)
    elsewhere = _integers(torch.zeros_like(n), len(everything) - size, randomness.negatives)
    taken = everything[(elsewhere + places - begin).clamp(0, len(everything) - 1)]
    alone = torch.where(n == 1, items, mask).where(real, 0)
    context = items.masked_fill(inside, mask)
    return Instances(items, masked, negatives, context, items.where(inside, alone), taken.where(inside, alone))


class S3RecPretraining(nn.Module):
    """The four objectives, with the attributes' table and the maps that only they need."""

    has: Tensor  # [V+1, A+1] float: which items have which attributes

    def __init__(self, parameters: dict[str, Any], split: Split, model: SASRec, generator: torch.Generator) -> None:
        super().__init__()
        if split.attributes is None:
            raise InputError("pretraining: the items have no attributes; expected some in items.parquet, for s3_rec")
        width = model.items.embedding_dim
        self.chosen, self.everything = parameters, split.whole.values.cpu()
        self.register_buffer("has", split.attributes.float(), persistent=False)
        self.attributes = nn.Embedding(split.attributes.shape[1], width)
        self.maps = nn.ModuleDict({name: nn.Linear(width, width) for name in MAPS})
        initialise(self, generator)

    def view(self, train: Sequences, max_length: int) -> View:
        """Every prefix of the last `max_length` items of each training row."""
        return all_prefixes_view(train.tail(max_length))

    def loss(self, model: SASRec, batch: Batch, randomness: Randomness) -> Tensor:
        """The weighted sum of the four sums over all rows of the batch."""
        rows = batch.rows.to(torch.device("cpu"))
        drawn = draw_instances(rows, self.everything, self.chosen["mask_ratio"], randomness)
        groups = [(group, int(rows.lengths[group].max())) for group in length_groups(rows.lengths)]
        parts = [self.parts(model, drawn.rows(*group, device=self.has.device)) for group in groups]
        totals = [self.chosen[name] * part[name] for part in parts for name in MAPS]
        return torch.stack(totals).sum()

    def parts(self, model: SASRec, drawn: Instances) -> dict[str, Tensor]:
        """AAP, MIP, MAP and SP, each summed over the rows."""
        items, masked, real = drawn.items, drawn.masked, drawn.items != 0
        shown = torch.cat([items.masked_fill(masked, model.mask), drawn.context, drawn.segment, drawn.other])
        hidden, *ends = model.hidden(shown, both_ways=True).chunk(4)  # each [B, L, D]
        newest = index_range(real), real.sum(1) - 1
        seen = real & ~masked
        return {
            "aap": self._attribute_loss("aap", hidden[seen], items[seen]),
            "mip": self._preference(
                "mip", hidden[masked], model.items(items[masked]), model.items(drawn.negatives[masked])
            ),
            "map": self._attribute_loss("map", hidden[masked], items[masked]),
            "sp": self._preference("sp", *(end[newest] for end in ends)),
        }

    def _attribute_loss(self, name: str, hidden: Tensor, items: Tensor) -> Tensor:
        logits = self.maps[name](hidden) @ self.attributes.weight.T  # [N', A+1]
        return F.binary_cross_entropy_with_logits(logits, self.has[items].to(logits.dtype), reduction="sum")

    def _preference(self, name: str, query: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
        """Sum of -log sigma(sigma<W query, right> - sigma<W query, wrong>); all [N', D]."""
        mapped = self.maps[name](query)
        difference = (mapped * right).sum(1).sigmoid() - (mapped * wrong).sum(1).sigmoid()
        return -F.logsigmoid(difference).sum()


def build(parameters: dict[str, Any], split: Split, model: SASRec, generator: torch.Generator) -> S3RecPretraining:
    """The pre-training named `s3_rec`; parameters mask_ratio and the weights aap, mip, map, sp."""
    return S3RecPretraining(parameters, split, model, generator)


def _uniform(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _integers(low: Tensor, high: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform over low..high, the shape of both."""
    return low + (_uniform(low.shape, generator) * (high - low + 1)).long()

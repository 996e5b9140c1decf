"""Hydra attention (Bolya et al. 2022, arXiv 2209.07484), the operator of HydraRec, in causal form too.

With as many heads as features, the summary of the past of each head is one number:

    q^ = q / ||q||,  k^ = k / ||k||                      norms over all D features of a position, before heads are split
    S_t = sum over s <= t of a^(t-s) k^_s * v_s          causal; a = 1 in the published operator
    G   = sum over s of k^_s * v_s                       in both directions: the same vector for all positions
    out_t = q^_t * S_t / scale_t                         scale_t = 1 in the published operator

Products are by feature. The scores q^_td k^_sd are signed and sum over d to a cosine; there is no softmax-like
normaliser. So the mixture grows with the length of the history, and `scale` says what is done about it, with c_t the
number of real positions that are summed: `none` (as published), `mean` c_t, `root` sqrt(c_t), `learned`
c_t^sigmoid(p) with a p for each feature, 0.5 at first, and `norm`, the root of the mean square of the mixture plus
1e-12, with a gain. `decay` learns an a in (0, 1) for each feature, which starts between 0.9 and 0.999. In both
directions the sum is then over a^|t-s|.

A padding position has a key of norm 1 as any other, so padding is taken out after the norm. There is no dropout here:
no probabilities are there to drop.

Time T D (with decay T D log T); the state is one vector of D numbers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.models.attention.interface import NORM_FLOOR, Attention, State, counts, decayed, masked, running, wide

FIRST_DECAYS = (0.9, 0.999)
FIRST_POWER = 0.5


class Hydra(Attention):
    """Attention with the cosine kernel and as many heads as features."""

    def __init__(self, width: int, scale: str, decay: bool) -> None:
        super().__init__()
        self.scale = scale
        self.power = nn.Parameter(torch.full((width,), FIRST_POWER)) if scale == "learned" else None
        self.norm = nn.RMSNorm(width, eps=NORM_FLOOR**2) if scale == "norm" else None
        self.decay = nn.Parameter(torch.linspace(*FIRST_DECAYS, width).logit()) if decay else None

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it."""
        with wide(query.flatten(2), key.flatten(2), value.flatten(2)) as (q, k, v):
            terms = masked(_unit(k) * v, real)
            mixed = _unit(q) * self._sums(terms, causal)
            return self._scaled(mixed, counts(terms, real, causal)).reshape(value.shape).to(value.dtype)

    def start(self, rows: int, like: Tensor) -> State:
        """A vector of zeros for each row [B, D], and how many positions it had [1, 1]."""
        with wide(like) as (one,):
            return {"sum": one.new_zeros(rows, one.shape[-2:].numel()), "count": one.new_zeros(1, 1)}

    def step(self, query: Tensor, key: Tensor, value: Tensor, state: State) -> tuple[Tensor, State]:
        """As the interface has it."""
        with wide(query.flatten(1), key.flatten(1), value.flatten(1)) as (q, k, v):
            before = state["sum"] if self.decay is None else state["sum"] * self.decay.sigmoid()
            after = {"sum": before + _unit(k) * v, "count": state["count"] + 1}
            mixed = self._scaled((_unit(q) * after["sum"])[:, None], after["count"])[:, 0]
            return mixed.reshape(value.shape).to(value.dtype), after

    def _sums(self, terms: Tensor, causal: bool) -> Tensor:
        if self.decay is None:
            return running(terms, causal)
        past = decayed(terms, self.decay.sigmoid())
        return past if causal else past + decayed(terms.flip(1), self.decay.sigmoid()).flip(1) - terms

    def _scaled(self, mixed: Tensor, count: Tensor) -> Tensor:
        """[B, T, D] by the count of summed positions [B or 1, T or 1]."""
        if self.norm is not None:
            normed: Tensor = self.norm(mixed)
            return normed
        if self.scale == "none":
            return mixed
        power = self.power.sigmoid() if self.power is not None else {"mean": 1.0, "root": 0.5}[self.scale]
        return mixed / count[..., None] ** power


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors, dim=-1, eps=NORM_FLOOR)


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> Hydra:
    """Hydra attention; the parameters are `scale` and `decay`, both the published ones if they are not given."""
    return Hydra(width, parameters.get("scale", "none"), parameters.get("decay", False))

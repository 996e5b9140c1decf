"""Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1).

    out_t = sum over s of softmax_s(<q_t, k_s> / sqrt(d)) v_s        s real, and s <= t if causal

`sdpa` is PyTorch's fused form, the one of SASRec and BERT4Rec here: the same bits. `naive` writes the matrix of scores
[B, H, T, T] into memory, as most code of the field does. A position that sees nothing has a mixture of 0.

Time T^2 D; the state is the keys and values so far, 2 t D numbers.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.models.attention.interface import Attention, State


class Softmax(Attention):
    """Dot-product attention with dropout on its weights."""

    def __init__(self, kernel: str, dropout: float) -> None:
        super().__init__()
        self.kernel, self.dropout = kernel, dropout

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it."""
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        if real is None:
            return self._mix(query, key, value, None, causal).transpose(1, 2)
        seen = real[:, None, None, :]
        if causal:
            seen = seen & torch.ones(len(real[0]), len(real[0]), dtype=torch.bool, device=real.device).tril()
        blind = ~seen.any(-1, keepdim=True)
        return self._mix(query, key, value, seen | blind, False).masked_fill(blind, 0.0).transpose(1, 2)

    def start(self, rows: int, like: Tensor) -> State:
        """No keys and no values, [B, H, 0, d]."""
        nothing = like.new_zeros(rows, like.shape[-2], 0, like.shape[-1])
        return {"keys": nothing, "values": nothing}

    def step(self, query: Tensor, key: Tensor, value: Tensor, state: State) -> tuple[Tensor, State]:
        """As the interface has it."""
        after = {
            "keys": torch.cat([state["keys"], key[:, :, None]], dim=2),
            "values": torch.cat([state["values"], value[:, :, None]], dim=2),
        }
        return self._mix(query[:, :, None], after["keys"], after["values"], None, False)[:, :, 0], after

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, causal: bool) -> Tensor:
        """[B, H, T, d] each; `seen` is broadcast to [B, H, T, T]."""
        dropout = self.dropout if self.training else 0.0
        if self.kernel == "sdpa":
            return F.scaled_dot_product_attention(query, key, value, seen, dropout, is_causal=causal)
        scores = query @ key.mT * query.shape[-1] ** -0.5
        if causal:
            seen = torch.ones_like(scores[0, 0], dtype=torch.bool).tril()
        if seen is not None:
            scores = scores.masked_fill(~seen, -torch.inf)
        return F.dropout(scores.softmax(-1), dropout) @ value


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> Softmax:
    """Dot-product attention; the parameters are `kernel` and `dropout`."""
    return Softmax(parameters["kernel"], parameters["dropout"])

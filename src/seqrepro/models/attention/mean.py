"""A control: the mean of the values so far, or of all, in the place of attention.

    out_t = sum over s of v_s / c_t                  c_t real positions, s <= t if causal

It needs no queries and no keys. What does not beat it makes no use of them. Time T D; the state is one vector.
"""

from typing import Any

from torch import Tensor

from seqrepro.models.attention.interface import Attention, State, counts, masked, running, wide


class Mean(Attention):
    """Mean pooling."""

    uses = ("value",)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it."""
        with wide(value) as (v,):
            mixed = running(masked(v, real), causal) / counts(v, real, causal)[..., None, None]
            return mixed.expand_as(v).to(value.dtype)

    def start(self, rows: int, like: Tensor) -> State:
        """The sum [B, H, d] and the number of positions [1]."""
        with wide(like) as (one,):
            return {"sum": one.new_zeros(rows, *one.shape[-2:]), "count": one.new_zeros(1)}

    def step(self, query: Tensor, key: Tensor, value: Tensor, state: State) -> tuple[Tensor, State]:
        """As the interface has it."""
        with wide(value) as (v,):
            after = {"sum": state["sum"] + v, "count": state["count"] + 1}
            return (after["sum"] / after["count"]).to(value.dtype), after


def build(parameters: dict[str, Any], width: int, heads: int, max_length: int) -> Mean:
    """Mean pooling; there are no parameters."""
    return Mean()

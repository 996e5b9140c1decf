"""Parameters of SASRec."""

from typing import Literal

from pydantic import Field, model_validator

from seqrepro.config.architectures.inner import WithInnerWidth
from seqrepro.config.base import identity


class SASRecParameters(WithInnerWidth):
    """Causal Transformer with tied item embeddings (post-norm blocks)."""

    family: Literal["sasrec"]
    width: int = Field(64, ge=1, description="D, the embedding width")
    layers: int = Field(2, ge=1, description="number of Transformer blocks")
    heads: int = Field(2, ge=1, description="H, attention heads; must divide the width")
    dropout: float = Field(0.5, ge=0, lt=1, description="after embeddings, attention output and feed-forward")
    attention_dropout: float = Field(0.5, ge=0, lt=1, description="on the attention weights")
    max_length: int = Field(50, ge=1, description="L, the longest history that the model sees")
    positions: Literal["learned", "none"] = identity("learned", description="none: of one layer, blind to order")
    positions_from: Literal["oldest", "newest"] = identity(
        "oldest", description="the end of a history that positions are counted from; newest is padding on the left"
    )
    mask_row: bool = identity(False, description="one more row of the item table, for a mask that training shows")
    cosine_temperature: float | None = identity(
        None, gt=0, description="scores are cosines over it, in training and ranking; null: inner products"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "SASRecParameters":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _no_positions_have_no_end(self) -> "SASRecParameters":
        if self.positions == "none" and self.positions_from == "newest":
            raise ValueError("found positions_from: newest with positions: none; expected one of them")
        return self

"""Parameters of BERT4Rec."""

from typing import Literal

from pydantic import Field, model_validator

from seqrepro.config.base import Configuration


class BERT4RecParameters(Configuration):
    """Bidirectional Transformer that predicts masked items (post-norm blocks, tied item embeddings)."""

    family: Literal["bert4rec"]
    width: int = Field(64, ge=1, description="D, the embedding width")
    layers: int = Field(2, ge=1, description="number of Transformer blocks")
    heads: int = Field(2, ge=1, description="H, attention heads; must divide the width")
    inner_width: int = Field(256, ge=1, description="width inside the feed-forward network")
    dropout: float = Field(0.5, ge=0, lt=1, description="after embeddings, attention output and feed-forward")
    attention_dropout: float = Field(0.2, ge=0, lt=1, description="on the attention weights")
    max_length: int = Field(50, ge=2, description="L, the longest history that the model sees, its mask included")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "BERT4RecParameters":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

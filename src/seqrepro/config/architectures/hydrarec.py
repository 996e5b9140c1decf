"""Parameters of HydraRec, and of the same network with another method in the place of attention."""

from typing import Literal

from pydantic import Field, model_validator

from seqrepro.config.architectures.attention import AnyAttention
from seqrepro.config.base import Configuration, identity


class HydraRecParameters(Configuration):
    """Transformer whose attention is replaced; its frame is SASRec or BERT4Rec (post-norm, tied item embeddings)."""

    family: Literal["hydrarec"]
    frame: Literal["causal", "bidirectional"] = Field(
        "causal", description="causal: SASRec, predicts the next item; bidirectional: BERT4Rec, predicts masked items"
    )
    attention: AnyAttention = Field(description="the method, with its own parameters")
    replaced: int | None = identity(
        None, ge=1, description="in the last so many layers only, dot-product attention in the others; null: in all"
    )
    width: int = Field(64, ge=1, description="D, the embedding width")
    layers: int = Field(2, ge=1, description="number of blocks")
    heads: int = Field(2, ge=1, description="H, heads; must divide the width")
    inner_width: int = Field(256, ge=1, description="width inside the feed-forward network")
    dropout: float = Field(0.5, ge=0, lt=1, description="after embeddings, mixer output and feed-forward")
    attention_dropout: float = Field(
        0.5, ge=0, lt=1, description="on weights of dot-product attention that is not replaced"
    )
    max_length: int = Field(50, ge=2, description="L, the longest history that the model sees, its mask included")
    positions: Literal["learned", "none"] = identity("learned")
    padding: Literal["masked", "mixed"] = identity(
        "masked", description="mixed: rows of L with padding on the left, which is mixed in as in some public code"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "HydraRecParameters":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _replaced_layers_exist(self) -> "HydraRecParameters":
        if self.replaced is not None and self.replaced >= self.layers:
            raise ValueError(
                f"found replaced: {self.replaced} of {self.layers} layers; expected fewer, or null for all"
            )
        return self

    @model_validator(mode="after")
    def _the_method_fits_the_frame(self) -> "HydraRecParameters":
        if self.frame == "causal" and self.attention.name == "linformer":
            raise ValueError(
                "found attention linformer in a causal frame; expected bidirectional, it has no causal form"
            )
        if self.frame == "bidirectional" and self.padding == "mixed":
            raise ValueError("found padding: mixed in a bidirectional frame; expected a causal one")
        return self

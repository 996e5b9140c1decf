"""Parameters of the LLaMA-like decoder, and of the simplified HSTU in the same frame."""

from typing import Literal

from pydantic import Field, model_validator

from seqrepro.config.base import Configuration, identity


class LLaMAParameters(Configuration):
    """Causal Transformer with RMSNorm before each part, rotary positions and a gated inner layer."""

    family: Literal["llama"]
    block: Literal["llama", "simplified_hstu"] = identity(
        "llama", description="simplified_hstu: the block of the same code that has SiLU attention and a gate"
    )
    width: int = Field(64, ge=2, description="D, the embedding width")
    layers: int = Field(2, ge=1, description="number of blocks")
    heads: int = Field(2, ge=1, description="H, attention heads; the width of a head must be whole and even")
    dropout: float = Field(0.2, ge=0, lt=1, description="after embeddings and at the end of each part of a block")
    max_length: int = Field(50, ge=1, description="L, the longest history that the model sees")
    cosine_temperature: float | None = identity(
        None, gt=0, description="scores are cosines over it, in training and ranking; null: inner products"
    )

    @model_validator(mode="after")
    def _heads_are_even(self) -> "LLaMAParameters":
        if self.width % (2 * self.heads):
            raise ValueError(
                f"found width {self.width} with heads {self.heads}; expected a multiple of {2 * self.heads}, since "
                "rotary positions turn pairs of numbers of a head"
            )
        return self

"""Parameters of SSD4Rec."""

from typing import Literal

from pydantic import Field, model_validator

from seqrepro.config.base import Configuration, identity


class SSD4RecParameters(Configuration):
    """State-space duality (Mamba-2) there and back, with tied item embeddings; predicts behind the newest item only."""

    family: Literal["ssd4rec"]
    width: int = Field(256, ge=1, description="D, the embedding width")
    layers: int = Field(2, ge=1, description="number of blocks")
    state: int = Field(64, ge=1, description="N, width of a head's state")
    head_width: int = Field(16, ge=1, description="P, channels of a head; must divide the inner channels")
    convolution: int = Field(4, ge=1, description="w, positions that the convolution sees")
    expand: int = Field(2, ge=1, description="inner channels as a multiple of D")
    inner_width: int = Field(1024, ge=1, description="width inside the feed-forward network")
    backward: float = Field(0.1, ge=0, description="beta, the weight of the way back")
    norm_embedding: bool = Field(True, description="dropout and a norm behind the embeddings, or neither")
    dropout: float = Field(0.2, ge=0, lt=1, description="after embeddings, after both norms of a block, in between")
    max_length: int = Field(50, ge=1, description="L, the longest history that the model sees")
    kernel: Literal["torch", "fused"] = identity(
        "torch", description="what computes the scan of training and ranking: plain torch, or mamba_ssm on a GPU"
    )

    @model_validator(mode="after")
    def _heads_divide_the_channels(self) -> "SSD4RecParameters":
        if self.expand * self.width % self.head_width:
            raise ValueError(f"{self.expand} x width {self.width} is not a multiple of head_width {self.head_width}")
        return self

"""Parameters of Mamba4Rec."""

from typing import Literal

from pydantic import Field

from seqrepro.config.base import Configuration, identity


class Mamba4RecParameters(Configuration):
    """Selective state spaces (Mamba-1) with tied item embeddings (post-norm blocks, no positions)."""

    family: Literal["mamba4rec"]
    width: int = Field(64, ge=1, description="D, the embedding width")
    layers: int = Field(1, ge=1, description="number of blocks; a single one has no residual around its mixer")
    state: int = Field(32, ge=1, description="N, width of a channel's state")
    convolution: int = Field(4, ge=1, description="w, positions that the convolution sees")
    expand: int = Field(2, ge=1, description="inner channels as a multiple of D")
    inner_width: int = Field(256, ge=1, description="width inside the feed-forward network")
    dropout: float = Field(0.2, ge=0, lt=1, description="after embeddings, mixer, and twice in the feed-forward")
    step_bias: Literal["as_coded", "mamba"] = Field(
        "as_coded",
        description="first bias of the steps; as_coded: 0, so that all steps start near ln 2, "
        "as the authors' code overwrites that of mamba, whose steps start between 0.001 and 0.1",
    )
    max_length: int = Field(50, ge=1, description="L, the longest history that the model sees")
    kernel: Literal["torch", "fused"] = identity(
        "torch", description="what computes the scan of training and ranking: plain torch, or mamba_ssm on a GPU"
    )

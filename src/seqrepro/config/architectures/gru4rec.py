"""Parameters of GRU4Rec."""

from typing import Literal

from pydantic import Field

from seqrepro.config.base import Configuration


class GRU4RecParameters(Configuration):
    """Gated recurrent network with tied item embeddings, in RecBole's form."""

    family: Literal["gru4rec"]
    width: int = Field(64, ge=1, description="D, the embedding width")
    hidden_width: int = Field(128, ge=1, description="H, the width of the recurrent state")
    layers: int = Field(1, ge=1, description="number of recurrent layers")
    dropout: float = Field(0.3, ge=0, lt=1, description="after embeddings")
    max_length: int = Field(50, ge=1, description="L, the longest history that the model sees")

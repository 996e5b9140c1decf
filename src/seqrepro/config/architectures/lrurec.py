"""Parameters of LRURec."""

from typing import Literal

from pydantic import Field

from seqrepro.config.base import Configuration


class LRURecParameters(Configuration):
    """Linear recurrent units between dense complex maps, with tied item embeddings and a bias an item."""

    family: Literal["lrurec"]
    width: int = Field(64, ge=1, description="D, the embedding width; the state has 2 D complex numbers")
    layers: int = Field(2, ge=1, description="number of blocks")
    dropout: float = Field(0.2, ge=0, lt=1, description="after embeddings and twice in the feed-forward network")
    mixing_dropout: float = Field(0.2, ge=0, lt=1, description="after the recurrence")
    max_length: int = Field(50, ge=1, description="L, the longest history that the model sees")

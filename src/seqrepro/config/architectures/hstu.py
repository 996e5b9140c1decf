"""Parameters of HSTU."""

from typing import Literal

from pydantic import Field, model_validator

from seqrepro.config.architectures.timed import TimedParameters
from seqrepro.config.base import identity


class HSTUParameters(TimedParameters):
    """Hierarchical sequential transduction units: SiLU attention with biases of position and time, and a gate."""

    family: Literal["hstu"]
    width: int = Field(50, ge=1, description="D, the embedding width")
    layers: int = Field(2, ge=1, description="number of blocks")
    heads: int = Field(1, ge=1, description="H, attention heads; must divide the width")
    dropout: float = Field(0.2, ge=0, lt=1, description="after embeddings, and behind the gate of each block")
    max_length: int = Field(200, ge=1, description="L, the longest history that the model sees")
    spare: int = Field(
        11,
        ge=0,
        description="positions beyond L; sums are divided by N = L + spare, whatever is shown (the code has 11)",
    )
    query_time: Literal["current", "next", "none"] = Field(
        "current",
        description="the moment that a position asks from: of its own item; of the event that it predicts, as the "
        "authors' code has it, which tells when that is; none: no bias of time, for data without timestamps",
    )
    cosine_temperature: float | None = identity(
        None, gt=0, description="scores are cosines over it, in training and ranking; null: inner products"
    )

    @property
    def reads_times(self) -> bool:
        """Whether it needs a dataset with timestamps."""
        return self.query_time != "none"

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "HSTUParameters":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _gaps_are_read(self) -> "HSTUParameters":
        if self.gaps != "real" and not self.reads_times:
            raise ValueError(f"found gaps: {self.gaps} with query_time: none; expected current or next")
        return self

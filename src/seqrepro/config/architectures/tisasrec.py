"""Parameters of TiSASRec."""

from typing import Literal

from pydantic import Field, model_validator

from seqrepro.config.architectures.timed import TimedParameters
from seqrepro.config.base import identity


class TiSASRecParameters(TimedParameters):
    """Causal self-attention that knows the time between items, clipped (tied item embeddings)."""

    family: Literal["tisasrec"]
    width: int = Field(50, ge=1, description="D, the embedding width")
    layers: int = Field(2, ge=1, description="number of blocks")
    heads: int = Field(1, ge=1, description="H, attention heads; must divide the width")
    dropout: float = Field(0.2, ge=0, lt=1, description="everywhere that the model has dropout")
    max_length: int = Field(50, ge=1, description="L, the longest history that the model sees")
    time_span: int = Field(256, ge=0, description="K, the largest interval; all above it are alike")
    intervals: Literal["personal", "raw"] = Field(
        "personal", description="personal: in units of the user's smallest gap so far; raw: in seconds"
    )
    stamps: Literal["exact", "float32"] = identity(
        "exact", description="float32: timestamps are rounded to 32-bit floats first, as RecBole does"
    )
    positions_in: Literal["keys", "input"] = Field(
        "keys", description="keys: of keys and values, from the newest item; input: of items, from the oldest"
    )
    pad_keys: Literal["masked", "port"] = identity(
        "masked", description="port: padding on the left is attended to, as in the PyTorch port"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TiSASRecParameters":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _padding_has_positions_in_keys(self) -> "TiSASRecParameters":
        if self.pad_keys == "port" and self.positions_in == "input":
            raise ValueError("found pad_keys: port with positions_in: input; expected keys, which the port has")
        return self

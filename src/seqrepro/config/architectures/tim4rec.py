"""Parameters of TiM4Rec, and of the same network without time."""

from typing import Literal

from pydantic import Field, model_validator

from seqrepro.config.architectures.timed import TimedParameters
from seqrepro.config.base import identity


class TiM4RecParameters(TimedParameters):
    """Structured state space duality whose steps are scaled by the time between items."""

    family: Literal["tim4rec"]
    time: Literal["off", "paper", "paper_masked", "causal"] = Field(
        description="off: SSD4Rec*; paper: as its code has it, padding included; paper_masked: without padding; "
        "causal: a bounded scale from the logarithm of each gap"
    )
    width: int = Field(64, ge=1, description="D, the embedding width")
    layers: int = Field(2, ge=1, description="number of layers; one alone has no residual around its mixer")
    state: int = Field(32, ge=1, description="N, the width of a state")
    head_width: int = Field(32, ge=1, description="P; must divide expand times the width")
    expand: int = Field(2, ge=1, description="inner width of the mixer over D")
    convolution: int = Field(4, ge=1, description="w, positions that a convolution reads")
    convolution_init: Literal["uniform", "kaiming"] = Field("uniform", description="uniform is torch's default")
    feed_forward: bool = identity(True, description="false: without the inner layers (4 D) behind the mixers")
    dropout: float = Field(0.2, ge=0, lt=1, description="after embeddings, mixers and inner layers, and on gaps")
    norm_epsilon: float = Field(1e-12, gt=0, description="of all norms but that of the inner layers, which has 1e-12")
    max_length: int = Field(50, ge=2, description="L, the longest history that the model sees")
    positions: Literal["none", "learned"] = identity("none", description="control: positions without time")
    time_dropout: float = identity(0.0, ge=0, lt=1, description="paper: on what the maps over positions read")
    by_position: bool = identity(False, description="paper: the gate between layers is one a position, not one a row")
    padding_gap: Literal["kept", "only", "removed"] = identity(
        "kept", description="paper: the gap into the padding, minus the last timestamp; only: all other gaps are 0"
    )
    stamps: Literal["exact", "float32"] = identity("exact", description="paper: float32 is what RecBole gives a model")
    gap_unit: float = identity(60.0, gt=0, description="causal: seconds; log(1 + gap / unit) is what is read")
    bound: float = identity(2.0, gt=1, description="causal: steps are scaled by 1 / bound to bound")

    @property
    def inner(self) -> int:
        """E, the inner width of the mixer."""
        return self.expand * self.width

    @property
    def reads_times(self) -> bool:
        """Whether it needs a dataset with timestamps."""
        return self.time != "off"

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TiM4RecParameters":
        if self.inner % self.head_width:
            raise ValueError(f"found head_width {self.head_width}, expected a divisor of {self.inner}")
        return self

    @model_validator(mode="after")
    def _parts_belong_to_their_mode(self) -> "TiM4RecParameters":
        needed = {"padding_gap": ("paper",), "stamps": ("paper", "paper_masked")}
        needed |= dict.fromkeys(("time_dropout", "by_position"), ("paper", "paper_masked"))
        needed |= dict.fromkeys(("gap_unit", "bound"), ("causal",)) | {"gaps": ("paper", "paper_masked", "causal")}
        for name, modes in needed.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.time not in modes:
                raise ValueError(f"found {name} with time: {self.time}; expected {' or '.join(modes)}")
        return self

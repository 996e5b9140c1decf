"""Parameters of what stands in the place of attention."""

from typing import Annotated, Literal

from pydantic import Field

from seqrepro.config.base import Configuration, identity


class Softmax(Configuration):
    """Scaled dot-product attention."""

    name: Literal["softmax"]
    kernel: Literal["sdpa", "naive"] = Field("sdpa", description="naive: the matrix of scores is written into memory")
    dropout: float = Field(0.5, ge=0, lt=1, description="on the attention weights")


class Hydra(Configuration):
    """Cosine kernel with as many heads as features."""

    name: Literal["hydra"]
    scale: Literal["none", "mean", "root", "learned", "norm"] = identity(
        "none", description="what the sum over the history is divided by; none: as published"
    )
    decay: bool = identity(False, description="a learned decay of the running sum, for each feature")


class LinearTransformer(Configuration):
    """Linear attention with elu + 1."""

    name: Literal["linear_transformer"]


class Performer(Configuration):
    """Linear attention with positive random features."""

    name: Literal["performer"]
    features: int | None = identity(None, ge=1, description="random features a head; null: d ln d")


class CosFormer(Configuration):
    """Linear attention with a cosine of the distance."""

    name: Literal["cosformer"]


class Efficient(Configuration):
    """Softmax over the features of queries, and over time for keys."""

    name: Literal["efficient"]


class LinRec(Configuration):
    """Linear attention with normalised elu features."""

    name: Literal["linrec"]
    form: Literal["code", "paper"] = Field(
        "code", description="code: norm of each key; paper: norm of each feature over time"
    )
    masked: bool = identity(True, description="false: padding is mixed in, as in the authors' code")


class Linformer(Configuration):
    """Dot-product attention over a short summary of the row; not causal."""

    name: Literal["linformer"]
    rank: int = Field(16, ge=1, description="rows of the summary")


class Cottention(Configuration):
    """Cosines over a learned power of the length."""

    name: Literal["cottention"]
    divide: Literal["mixture", "values"] = identity("mixture", description="values: as in the authors' causal code")


class Recurrence(Configuration):
    """A gated linear recurrence with learned decays."""

    name: Literal["recurrence"]


class Mean(Configuration):
    """Control: the mean of the values."""

    name: Literal["mean"]


class Nothing(Configuration):
    """Control: nothing in the place of attention."""

    name: Literal["none"]


AnyAttention = Annotated[
    Softmax
    | Hydra
    | LinearTransformer
    | Performer
    | CosFormer
    | Efficient
    | LinRec
    | Linformer
    | Cottention
    | Recurrence
    | Mean
    | Nothing,
    Field(discriminator="name"),
]

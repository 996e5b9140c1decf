"""Parameters of a search: which settings of a model are tried, as often for each model that is compared."""

import math
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from seqrepro.config.base import Configuration
from seqrepro.config.names import Metric, Name

DIGITS = 4  # significant ones of a drawn number: readable, and the same on every machine


class Grid(Configuration):
    """All combinations of the listed values."""

    kind: Literal["grid"]


class Random(Configuration):
    """Independent draws."""

    kind: Literal["random"]
    seed: int = Field(ge=0, description="of the draws; no run's seed")


class LogUniform(Configuration):
    """Numbers whose logarithm is uniform, rounded to 4 digits."""

    log_uniform: list[Annotated[float, Field(gt=0)]] = Field(min_length=2, max_length=2, description="lowest, highest")

    @field_validator("log_uniform")
    @classmethod
    def _ascending(cls, bounds: list[float]) -> list[float]:
        if bounds[0] >= bounds[1]:
            raise ValueError(f"found {bounds}, expected a lower bound and a higher one")
        return bounds

    def at(self, share: float) -> float:
        """The number below which lies this share of the draws."""
        low, high = self.log_uniform
        value = float(f"{math.exp(math.log(low) + share * math.log(high / low)):.{DIGITS}g}")
        return min(max(value, low), high)


Space = Annotated[
    Annotated[list[Any], Field(min_length=1), Tag("[values]")] | Annotated[LogUniform, Tag("[range]")],
    Discriminator(lambda space: "[values]" if isinstance(space, list) else "[range]"),
]
Spaces = dict[str, Space]


class Search(Configuration):
    """A search space for each model, and how much of it is tried."""

    trials: int = Field(ge=1, description="different configurations of each model; the unchanged one is the first")
    seed: int = Field(ge=0, description="of the trials' training; no seed of a final run")
    metric: Metric = Field("ndcg@10", description="on the validation split, history masked, ties pessimistic")
    sampling: Annotated[Grid | Random, Field(discriminator="kind")]
    spaces: dict[Name, Spaces] = Field(min_length=1, description="name of a model -> path of a setting -> its values")
    follow: dict[Name, Name] = Field(
        {}, description="a model without trials -> the model whose chosen settings are laid over it"
    )

    def of_trials(self) -> dict[str, Any]:
        """What decides which trials there are and which is chosen; who follows is no part of it."""
        return {key: value for key, value in self.canonical().items() if key != "follow"}

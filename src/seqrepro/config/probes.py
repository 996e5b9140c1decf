"""Parameters of probes: measurements on trained or fitted models."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

from seqrepro.config.base import Configuration, identity

RESULTS = {"robustness": "robustness.parquet", "exposure": "exposure.json"}  # what other steps read, by kind
Probed = Literal["trained", "all"]


class DropLast(Configuration):
    """Forget the last items of each history."""

    kind: Literal["drop_last"]
    count: int = Field(ge=1)


class Shuffle(Configuration):
    """Put each history into random order."""

    kind: Literal["shuffle"]


class InsertRandom(Configuration):
    """Insert random items that the user never chose."""

    kind: Literal["insert_random"]
    ratio: float = Field(gt=0, le=1, description="inserted items as a share of the history's length")


Perturbation = Annotated[DropLast | Shuffle | InsertRandom, Field(discriminator="kind")]


class Robustness(Configuration):
    """How ranks change when the history at test time is disturbed."""

    kind: Literal["robustness"]
    perturbations: list[Perturbation] = Field(min_length=1)
    models: Probed = identity("trained", description="trained: by gradients; all: closed forms too")


class Exposure(Configuration):
    """Which items are recommended at all: coverage, concentration and popularity of the top items of each user."""

    kind: Literal["exposure"]
    cutoffs: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="lengths of the lists, ascending")
    models: Probed = identity("all", description="trained: by gradients; all: closed forms too")

    @field_validator("cutoffs")
    @classmethod
    def _ascending(cls, cutoffs: list[int]) -> list[int]:
        if any(low >= high for low, high in pairwise(cutoffs)):
            raise ValueError(f"found {cutoffs}, expected numbers that ascend")
        return cutoffs


Probe = Annotated[Robustness | Exposure, Field(discriminator="kind")]

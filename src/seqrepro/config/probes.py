"""Parameters of probes: measurements on trained models."""

from typing import Annotated, Literal

from pydantic import Field

from seqrepro.config.base import Configuration


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


Probe = Robustness  # becomes a union discriminated by `kind` as probes are added

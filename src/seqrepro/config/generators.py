"""Parameters of generated data; each class names a module of `seqrepro.data.synthetic`, which states the truth."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seqrepro.config.base import Configuration, identity


class MarkovGenerator(Configuration):
    """Sequences from a known first-order Markov chain over the items."""

    kind: Literal["markov"]
    users: int = Field(ge=1)
    items: int = Field(ge=2)
    mean_length: float = Field(ge=5, description="mean number of interactions of a user")
    concentration: float = Field(gt=0, description="of the Dirichlet transitions; small means predictable")
    seed: int = Field(ge=0)


class Sized(Configuration):
    """What generators have in common."""

    users: int = Field(ge=1)
    items: int = Field(ge=2)
    seed: int = Field(ge=0)


class ChainLaw(Sized):
    """A chain whose contexts all have the same law up to a shift, so that its entropy rate is known in closed form."""

    successors: int = Field(ge=1, description="likely next items of a context")
    decay: float = Field(gt=0, le=1, description="each likely successor is so much less likely than the one before it")
    smoothing: float = Field(ge=0, le=1, description="probability that the next item is any item, uniformly")
    mean_length: float = Field(ge=5, description="mean number of interactions of a user")

    @model_validator(mode="after")
    def _successors_fit(self) -> "ChainLaw":
        if self.successors > self.items:
            raise ValueError(f"found {self.successors} successors, expected at most the {self.items} items")
        return self


class MarkovOrderKGenerator(ChainLaw):
    """Sequences from a Markov chain of order k; fewer than the k last items tell nothing."""

    kind: Literal["markov_order_k"]
    order: int = Field(ge=1)
    memory: Literal["joint", "oldest"] = identity(
        "joint", description="joint: the last k items decide together; oldest: only the item k steps back decides"
    )

    @model_validator(mode="after")
    def _order_fits(self) -> "MarkovOrderKGenerator":
        if self.mean_length < self.order + 2:
            raise ValueError(
                f"found mean_length {self.mean_length}, expected {self.order + 2} or more at order {self.order}"
            )
        return self


class GapDependentGenerator(ChainLaw):
    """The next item depends on the last item and on the class of the time gap before it."""

    kind: Literal["gap_dependent"]
    classes: int = Field(ge=2, le=4, description="of gaps: minutes, hours, days, weeks")
    gaps: Literal["informative", "noise"] = Field(
        description="noise: the same laws of items and of gaps, but the gaps are independent of the items"
    )

    @model_validator(mode="after")
    def _classes_fit(self) -> "GapDependentGenerator":
        if (needed := self.classes * self.successors) > self.items:
            raise ValueError(f"found {self.items} items, expected {needed} or more: classes x successors")
        return self


class MultisetGenerator(Sized):
    """What comes next depends on which items came before, not on their order."""

    kind: Literal["multiset"]
    types: int = Field(ge=2, description="latent types of users, and as many blocks of items")
    affinity: float = Field(lt=1, description="probability that an interaction is of the user's own block")
    exponent: float = Field(ge=0, description="of the Zipf law of popularity within a block")
    mean_length: float = Field(ge=5, description="mean number of interactions of a user")

    @model_validator(mode="after")
    def _blocks_are_even(self) -> "MultisetGenerator":
        if self.items % self.types:
            raise ValueError(f"found {self.items} items, expected a multiple of the {self.types} types")
        if self.affinity * self.types <= 1:
            raise ValueError(f"found affinity {self.affinity}, expected more than 1 / types")
        return self


class NoisyGenerator(ChainLaw):
    """A first-order chain in which a known share of the interactions is replaced by uniform random items."""

    kind: Literal["noisy"]
    noise: float = Field(ge=0, lt=1, description="probability that an interaction is replaced")
    clean_targets: bool = identity(False, description="the last two items of a user are never replaced")


class Popularity(Configuration):
    """Zipf-Mandelbrot: the item of rank r of V has a weight of (r / V + shift)^-exponent."""

    exponent: float = Field(ge=0)
    shift: float = Field(ge=0, description="in units of the catalogue")


class Lengths(Configuration):
    """Discretised log-normal above `shortest` - 1, cut at `longest`."""

    shortest: int = Field(ge=3)
    longest: int = Field(ge=3)
    mu: float
    sigma: float = Field(gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> "Lengths":
        if self.longest < self.shortest:
            raise ValueError(f"found longest {self.longest}, expected {self.shortest} (shortest) or more")
        return self


class LookAlikeGenerator(Sized):
    """Popularity skew and sequence lengths of a named dataset, at any size."""

    kind: Literal["look_alike"]
    like: Literal["beauty", "ml-1m", "ml-100k", "yelp"] = Field(description="gives what is not stated here")
    popularity: Popularity | None = identity(None)
    lengths: Lengths | None = identity(None)
    repeats: bool | None = identity(None, description="whether a user may choose an item again")


Generator = Annotated[
    MarkovGenerator
    | MarkovOrderKGenerator
    | GapDependentGenerator
    | MultisetGenerator
    | NoisyGenerator
    | LookAlikeGenerator,
    Field(discriminator="kind"),
]

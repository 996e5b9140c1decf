"""Parameters of datasets: where the interactions come from, and how they are filtered."""

from typing import Annotated, Literal

from pydantic import Field

from seqrepro.config.base import Configuration, identity


class Filter(Configuration):
    """What is removed before sequences are built."""

    k_core: int | None = identity(None, ge=1, description="iterate until all users and items have so many interactions")


class MarkovGenerator(Configuration):
    """Sequences from a known first-order Markov chain over the items."""

    kind: Literal["markov"]
    users: int = Field(ge=1)
    items: int = Field(ge=2)
    mean_length: float = Field(ge=5, description="mean number of interactions of a user")
    concentration: float = Field(gt=0, description="of the Dirichlet transitions; small means predictable")
    seed: int = Field(ge=0)


class RegistryDataset(Configuration):
    """A public dataset, described in registry/datasets.yaml."""

    source: Literal["registry"]
    entry: str = Field(description="a key of registry/datasets.yaml")
    filter: Filter = Filter()


class GeneratedDataset(Configuration):
    """A dataset that we generate: no download, and the truth is known."""

    source: Literal["generated"]
    generator: MarkovGenerator


Dataset = Annotated[RegistryDataset | GeneratedDataset, Field(discriminator="source")]

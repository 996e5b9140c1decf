"""The whole of `params.yaml`, as classes. They are its documentation, its validation and its JSON schema."""

from typing import Annotated, Any, Literal

from pydantic import Field

from seqrepro.config.architectures.bayes_optimal import BayesOptimalParameters
from seqrepro.config.architectures.bert4rec import BERT4RecParameters
from seqrepro.config.architectures.caser import CaserParameters
from seqrepro.config.architectures.ease import EASEParameters
from seqrepro.config.architectures.gru4rec import GRU4RecParameters
from seqrepro.config.architectures.hstu import HSTUParameters
from seqrepro.config.architectures.hydrarec import HydraRecParameters
from seqrepro.config.architectures.itemknn import ItemKNNParameters
from seqrepro.config.architectures.llama import LLaMAParameters
from seqrepro.config.architectures.lrurec import LRURecParameters
from seqrepro.config.architectures.mamba4rec import Mamba4RecParameters
from seqrepro.config.architectures.markov import MarkovParameters
from seqrepro.config.architectures.popularity import PopularityParameters
from seqrepro.config.architectures.sasrec import SASRecParameters
from seqrepro.config.architectures.ssd4rec import SSD4RecParameters
from seqrepro.config.architectures.tim4rec import TiM4RecParameters
from seqrepro.config.architectures.tisasrec import TiSASRecParameters
from seqrepro.config.base import Configuration, identity
from seqrepro.config.datasets import Dataset
from seqrepro.config.measures import Measures
from seqrepro.config.names import Chapter, Name, Paper
from seqrepro.config.probes import Probe
from seqrepro.config.protocols import Protocol
from seqrepro.config.search import Search
from seqrepro.config.training import Recipe

Architecture = Annotated[
    PopularityParameters
    | MarkovParameters
    | ItemKNNParameters
    | EASEParameters
    | SASRecParameters
    | BayesOptimalParameters
    | BERT4RecParameters
    | HydraRecParameters
    | TiM4RecParameters
    | Mamba4RecParameters
    | SSD4RecParameters
    | GRU4RecParameters
    | CaserParameters
    | LRURecParameters
    | TiSASRecParameters
    | HSTUParameters
    | LLaMAParameters,
    Field(discriminator="family"),
]


Variation = Annotated[
    dict[str, Annotated[list[Any], Field(min_length=1)]],
    Field(min_length=1, description="path of a setting -> its values; all combinations"),
]


class Model(Configuration):
    """An architecture and the recipe that trains it."""

    title: str = Field(description="as tables print it")
    architecture: Architecture
    training: str = Field(description="a name under `training`")
    published_as: list[str] = Field([], description="names of this model in published tables")
    datasets: dict[Name, dict[str, Any]] = Field(
        {}, description="settings for a dataset: its name -> path, such as architecture.max_length -> value"
    )


class Experiment(Configuration):
    """A question, and the models that answer it."""

    purpose: str
    papers: list[Paper] = Field(description="the papers whose claims need these runs; none, for controls")
    protocol: str = Field(description="a name under `protocols`")
    models: list[str] = Field(min_length=1, description="names under `models`")
    probes: list[str] = Field([], description="names under `probes`; each says on which models it is measured")
    shows: list[Chapter] = identity([], description="chapters of the report that need all its runs, claims or not")
    search: str | None = Field(None, description="a name under `searches`; its selection is what runs")
    selected_by: str | None = identity(
        None, description="an experiment with a search: its models, and those that follow them, run as chosen there"
    )
    variations: list[str] = identity([], description="names under `variations`; each model also runs with each setting")
    law: bool = identity(False, description="the settings alone run, as points of the Performance Law (step refit)")


class Scale(Configuration):
    """How much of an experiment a suite runs."""

    datasets: list[str] = Field(min_length=1, description="names under `datasets`")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    models: list[str] | None = Field(None, min_length=1, description="in place of the experiment's models")


class Refit(Configuration):
    """Refit of the published points of the Performance Law paper (no training)."""

    inverse_p1: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="grid of 1/p1")
    draws: int = Field(ge=1, description="of the bootstrap of the optimum, in each panel")
    seed: int = Field(ge=0, description="of these draws")


class Suite(Configuration):
    """A set of experiments that belong together, at one scale."""

    title: str
    description: str
    claims: list[Literal["papers", "controls"]] = Field(
        ["papers"], description="what its runs judge: claims of papers, controls of our implementation"
    )
    versioned: bool = Field(False, description="finished runs are committed and stand in results/MANIFEST.json")
    experiments: dict[Name, Scale] = Field(min_length=1, description="names under `experiments`")
    describe: list[str] = Field([], description="names under `datasets`, described beside those that experiments use")
    refit: Refit | None = None


class Parameters(Configuration):
    """`params.yaml`: the only file that is edited to change an experiment."""

    suite: str = Field(description="the suite that runs; `--config suite=NAME` overrides it")
    mirror: str | None = Field(None, description="folder or URL with copies of datasets; SEQREPRO_MIRROR overrides it")
    datasets: dict[Name, Dataset]
    measures: Measures | None = Field(None, description="what datasets are described by; null: they are not")
    protocols: dict[str, Protocol]
    training: dict[str, Recipe]
    models: dict[Name, Model]
    probes: dict[Name, Probe] = Field({})
    searches: dict[Name, Search] = Field({})
    variations: dict[Name, Variation] = Field({})
    experiments: dict[Name, Experiment]
    suites: dict[Name, Suite]

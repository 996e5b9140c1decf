"""Claims: what a paper says, as statements that runs can decide; `registry/papers/<paper>/claims.yaml`.

A claim has parts, and each part gets its own verdict: 'beats it by 3 %' has a direction and a size. A part says what is
compared, on which datasets and by which metric. It is fixed before the runs. Models, datasets and probes have the names
of `params.yaml`; one that is not there yet makes a part 'not tested'.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from seqrepro.config.base import Configuration
from seqrepro.config.names import Metric, Paper
from seqrepro.data.source_kinds import first_problem
from seqrepro.errors import InputError

PAPERS = Path("registry/papers")
Share = Annotated[float, Field(gt=0, lt=1)]
Identifier = Annotated[str, Field(pattern=r"^[A-Z][0-9]+[a-z]?$")]


class Part(Configuration):
    """What all parts have."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="what it decides, such as direction or size")
    deciding: bool = Field(True, description="False: reported, and no part of the claim's verdict")
    note: str = Field("", description="how the statement was made testable, where the paper leaves it open")


class Compared(Part):
    """A part that rank files decide."""

    metric: Metric = "ndcg@10"
    datasets: list[str] = Field(min_length=1, description="that the paper, or the code that it builds on, evaluates on")
    extensions: list[str] = Field([], description="other real datasets; reported, and no part of the verdict")
    needed: Literal["all", "most"] = Field("all", description="on how many of the datasets it must hold")
    seeds: int = Field(3, ge=2, description="fewer give no verdict")


class Superiority(Compared):
    """A model is better than each of some others, and than each control."""

    kind: Literal["superiority"]
    model: str
    against: list[str] = Field(min_length=1)
    controls: list[str] = Field([], description="must be beaten too, or another cause explains the gain")


class NonInferiority(Compared):
    """A model is not worse than each of some others by more than a margin."""

    kind: Literal["non_inferiority"]
    model: str
    against: list[str] = Field(min_length=1)
    margin: Share = Field(0.05, description="of the other model's mean")


class Equivalence(Compared):
    """A model and each of some others differ by less than a margin."""

    kind: Literal["equivalence"]
    model: str
    against: list[str] = Field(min_length=1)
    margin: Share = Field(0.05, description="of the other model's mean")


class Ordering(Compared):
    """Each model is better than the next one."""

    kind: Literal["ordering"]
    models: list[str] = Field(min_length=2, description="from best to worst")


class Value(Configuration):
    """A number that the paper prints, for one dataset."""

    dataset: str
    metric: Metric
    value: float
    source: str = Field(description="table and row, or who quotes it")


class Size(Part):
    """A model gains as much over another as printed: the ratio of the means is within a margin of the printed ratio."""

    kind: Literal["size"]
    model: str
    against: str
    gains: list[Value] = Field(min_length=1, description="relative gains: 0.03 is 3 %")
    margin: Share = 0.05
    seeds: int = Field(3, ge=2)


class Level(Part):
    """A model reaches the printed values, within a margin."""

    kind: Literal["level"]
    model: str
    values: list[Value] = Field(min_length=1)
    margin: Share = 0.05
    seeds: int = Field(3, ge=2)


class Measured(Part):
    """A number that a probe measures on each run is lower or higher for one model than for others."""

    kind: Literal["measured"]
    probe: str
    measure: str
    direction: Literal["lower", "higher"]
    model: str
    against: list[str] = Field(min_length=1)
    datasets: list[str] = Field(min_length=1)
    factor: float = Field(1.0, ge=1, description="at least so many times lower or higher")
    seeds: int = Field(3, ge=2)


class Growth(Part):
    """How a measured number grows: the slope of its logarithm lies in a range."""

    kind: Literal["growth"]
    probe: str
    measure: str
    over: str = Field(description="what is varied: length, width, interactions ...")
    model: str
    slope: list[float] = Field(min_length=2, max_length=2, description="lowest and highest slope")


class Tabulated(Part):
    """All rows of a table of ours (or the share of them) satisfy a bound."""

    kind: Literal["tabulated"]
    table: str = Field(description="below results/<suite>, such as laws/r2.csv")
    where: dict[str, str] = Field({}, description="columns and the values that they must have")
    column: str
    below: str | float | None = Field(None, description="another column, or a number")
    above: str | float | None = None
    share: float = Field(1.0, gt=0, le=1, description="of the rows that must satisfy it")

    @model_validator(mode="after")
    def _has_one_bound(self) -> "Tabulated":
        if (self.below is None) == (self.above is None):
            raise ValueError("expected either below or above")
        return self


class Untestable(Part):
    """Nothing that could be run decides it."""

    kind: Literal["untestable"]
    reason: str


AnyPart = Annotated[
    Superiority | NonInferiority | Equivalence | Ordering | Size | Level | Measured | Growth | Tabulated | Untestable,
    Field(discriminator="kind"),
]


class Claim(Configuration):
    """One statement, with the tests that decide it."""

    id: Identifier
    statement: str
    origin: Literal["paper", "ours"] = Field(description="ours: added to find out what explains the paper's result")
    source: str = Field(description="where the paper says so")
    basis: Literal["known", "re-derived"] = Field(
        description="known: protocol and value are published, so it can be reproduced; re-derived: only supported"
    )
    family: str = Field(description="the claims whose p values are adjusted together")
    protocol: str = Field("leave-one-out", description="a name under `protocols`; runs of others are not looked at")
    masking: Literal["masked", "unmasked"] = Field("masked", description="whether items of the history are candidates")
    parts: list[AnyPart] = Field(min_length=1)

    @model_validator(mode="after")
    def _parts_differ(self) -> "Claim":
        names = [part.id for part in self.parts]
        if not any(part.deciding for part in self.parts):
            raise ValueError("no part decides it")
        if len(set(names)) < len(names):
            raise ValueError(f"two parts have one id: {', '.join(names)}")
        return self

    def models(self) -> list[str]:
        """The models that it needs runs of, each once."""
        found: list[str] = []
        for part in self.parts:
            told: dict[str, Any] = part.model_dump()
            for key in ("model", "models", "against", "controls"):
                value = told.get(key, [])
                found += [value] if isinstance(value, str) else value
        return list(dict.fromkeys(found))


class Claims(Configuration):
    """All claims of one paper."""

    paper: Paper
    title: str
    reference: str
    claims: list[Claim] = Field(min_length=1)

    @model_validator(mode="after")
    def _claims_differ(self) -> "Claims":
        names = [claim.id for claim in self.claims]
        if len(set(names)) < len(names):
            raise ValueError(f"two claims have one id: {', '.join(names)}")
        return self


def read_claims(path: Path) -> Claims:
    """The claims of one paper.

    Raises:
        InputError: no such file, no YAML, or a key that is wrong: file, place, what was found.
    """
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    try:
        return Claims.model_validate(told)
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}"[:500]) from None


def all_claims(folder: Path = PAPERS) -> list[Claims]:
    """The claims of all papers, in the order of their folders."""
    return [read_claims(path) for path in sorted(folder.glob("*/claims.yaml"))]

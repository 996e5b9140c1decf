"""Claims: what a paper says, as statements that runs can decide; `registry/papers/<paper>/claims.yaml`.

Controls, in `registry/controls.yaml`, are claims too: what must come out on generated data, whose truth is known.

A claim may rest on gates: published numbers of a baseline that our own runs of it must reach first (gates.py).

A claim has parts, and each part gets its own verdict: 'beats it by 3 %' has a direction and a size. A part says what is
compared, on which datasets and by which metric. It is fixed before the runs. Models, datasets and probes have the names
of `params.yaml`, or stand under `to_come`; one that is not planned makes a part 'not tested'. Printed numbers are never
written here: a part names the rows of `published.csv` that hold them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from seqrepro.config.base import Configuration, identity
from seqrepro.config.names import Paper
from seqrepro.data.source_kinds import first_problem
from seqrepro.errors import InputError
from seqrepro.ledger.parts import AnyPart, Level, models_of

PAPERS = Path("registry/papers")
CONTROLS = Path("registry/controls.yaml")
SETS = {"papers": "papers/*/claims.yaml", "controls": "controls.yaml"}  # what a suite can judge
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # each plan reads the claims: the parser in C is 15 times faster
Identifier = Annotated[str, Field(pattern=r"^[A-Z][0-9]+[a-z]?$")]
GateId = Annotated[str, Field(pattern=r"^G[0-9]+$")]
GATE_SEEDS = 3  # so many a gate needs at least


class Statement(Configuration):
    """What claims and gates have in common."""

    statement: str
    source: str = Field(description="where the paper says so")
    protocol: str = Field("leave-one-out", description="a name under `protocols`; runs of others are not looked at")
    masking: Literal["masked", "unmasked"] = Field("masked", description="whether items of the history are candidates")


class Explanation(Configuration):
    """Why our runs miss a published number."""

    text: str
    ablation: str = Field(description="the committed file, below the repository, that shows it")


class Gate(Statement):
    """Published numbers of a baseline, which our own runs of it must reach before claims that rest on it are judged."""

    id: GateId
    parts: list[Level] = Field(min_length=1)
    explained: dict[str, Explanation] = identity({}, description="of a dataset where it failed: it bars nothing there")

    @model_validator(mode="after")
    def _has_enough_seeds(self) -> "Gate":
        if few := [part for part in self.parts if part.seeds < GATE_SEEDS]:
            raise ValueError(f"part {few[0].id}: found {few[0].seeds} seeds, expected at least {GATE_SEEDS}")
        names = {name for part in self.parts for name in part.datasets}
        if other := [name for name in self.explained if name not in names]:
            raise ValueError(f"explained: found {other[0]}, expected a dataset of one of its parts")
        return self

    def models(self) -> list[str]:
        """The models that it needs runs of, each once."""
        return models_of(self.parts)


class Claim(Statement):
    """One statement, with the tests that decide it."""

    id: Identifier
    origin: Literal["paper", "ours"] = Field(description="ours: added to find out what explains the paper's result")
    basis: Literal["known", "re-derived", "control"] = Field(
        description="known: protocol and value are published, so it can be reproduced; re-derived: only supported; "
        "control: generated data, whose truth is known"
    )
    vouched: bool = identity(True, description="of a control: ours, so it must pass; false: a published method")
    family: str = Field(description="the claims whose p values are adjusted together")
    gates: list[GateId] = identity([], description="where one is not passed, the claim is not comparable")
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
        return models_of(self.parts)


class ToCome(Configuration):
    """Names that claims use before `params.yaml` has them, and what they will mean."""

    models: dict[str, str] = Field(default_factory=dict)
    datasets: dict[str, str] = Field(default_factory=dict)
    probes: dict[str, str] = Field(default_factory=dict)
    tables: dict[str, str] = Field(default_factory=dict)


class Claims(Configuration):
    """All claims of one paper, or all controls."""

    paper: Paper | Literal["controls"]
    title: str
    reference: str
    to_come: ToCome = ToCome()
    gates: list[Gate] = Field([], description="that claims rest on, or that are only shown")
    claims: list[Claim] = Field(min_length=1)

    @model_validator(mode="after")
    def _claims_differ(self) -> "Claims":
        names = [one.id for one in self.statements]
        if len(set(names)) < len(names):
            raise ValueError(f"two claims have one id: {', '.join(names)}")
        known = [gate.id for gate in self.gates]
        for claim in self.claims:
            if unknown := [name for name in claim.gates if name not in known]:
                raise ValueError(f"claim {claim.id}: found gate {unknown[0]}, expected one of {', '.join(known)}")
        if other := [claim.id for claim in self.claims if (claim.basis == "control") != self.are_controls]:
            raise ValueError(f"claim {other[0]}: basis: control belongs to {CONTROLS}, and nothing else does")
        return self

    @property
    def statements(self) -> list[Gate | Claim]:
        """All that runs are held against: its gates, and its claims."""
        return [*self.gates, *self.claims]

    @property
    def are_controls(self) -> bool:
        """Whether generated data judge them, and nothing else."""
        return self.paper == "controls"


def read_claims(path: Path) -> Claims:
    """The claims of one paper.

    Raises:
        InputError: no such file, no YAML, or a key that is wrong: file, place, what was found.
    """
    try:
        told = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except OSError:
        raise InputError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    try:
        return Claims.model_validate(told)
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}"[:500]) from None


def published_files() -> list[Path]:
    """The files of published numbers of all papers."""
    return sorted(PAPERS.glob("*/published.csv"))


def claim_files(sets: Iterable[str]) -> list[Path]:
    """The files of claims that a suite judges, by names of SETS."""
    return [path for name in sets for path in sorted(PAPERS.parent.glob(SETS[name]))]


def all_claims(folder: Path = PAPERS) -> list[Claims]:
    """The claims of all papers, in the order of their folders."""
    return [read_claims(path) for path in sorted(folder.glob("*/claims.yaml"))]

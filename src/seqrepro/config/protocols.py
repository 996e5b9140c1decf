"""Parameters of protocols: which interactions are held out, and among which items they are ranked."""

from typing import Any, Literal

from pydantic import Field, model_validator

from seqrepro.config.base import Configuration

WORDS = {
    "leave_one_out": "leave-one-out",
    "leave_one_out_recbole": "leave-one-out (order by 32-bit timestamps, as RecBole)",
}
MASKINGS = ("masked", "unmasked")


class Temporal(Configuration):
    """One moment for all users, after which nothing is trained on."""

    validation_share: float = Field(gt=0, lt=0.5, description="share of the interactions, the latest before the test")
    test_share: float = Field(gt=0, lt=0.5, description="share of the interactions, the latest of all")
    target: Literal["first", "last"] = Field("first", description="which of a user's interactions in the window")


class Negatives(Configuration):
    """Items that the user never chose, drawn without repetition and saved."""

    count: int = Field(ge=1, description="how many a user")
    seed: int = Field(ge=0)


class Protocol(Configuration):
    """How models are evaluated. Each table prints it. Ranks with and without the user's history are always kept."""

    split: Literal["leave_one_out", "leave_one_out_recbole", "global_temporal"] = Field(
        description="leave_one_out_recbole: ordered by 32-bit float timestamps, then by row of the source"
    )
    temporal: Temporal | None = Field(None, description="with split: global_temporal")
    candidates: Literal["full", "uniform", "popularity"] = Field(
        "full", description="full: the target is ranked among all items; else also among negatives drawn so"
    )
    negatives: Negatives | None = Field(None, description="with candidates: uniform or popularity")

    @model_validator(mode="after")
    def _parts_belong_together(self) -> "Protocol":
        if (self.split == "global_temporal") != (self.temporal is not None):
            raise ValueError(f"split: {self.split} {_needs(self.temporal)} the key temporal")
        if (self.candidates != "full") != (self.negatives is not None):
            raise ValueError(f"candidates: {self.candidates} {_needs(self.negatives)} the key negatives")
        return self

    def configuration(self) -> dict[str, Any]:
        """What of it is part of a run: the split, and the drawn candidates if there are any."""
        told: dict[str, Any] = {"split": self.split}
        if self.temporal:
            told["temporal"] = self.temporal.canonical()
        if self.negatives:
            told["candidates"] = {"kind": self.candidates, **self.negatives.canonical()}
        return told

    @property
    def source(self) -> str:
        """The file of a prepared dataset that the split is made from."""
        return "interactions.parquet" if self.split == "leave_one_out_recbole" else "sequences.parquet"

    def text(self) -> str:
        """The protocol in words, as tables print it."""
        also = f" and among {self._drawn()}" if self.negatives else ""
        return f"{self._split()}, full ranking{also}, history masked, ties pessimistic"

    def rankings(self) -> dict[str, str]:
        """The protocol of each ranking that a run of it has, in words."""
        full = {name: f"{self._split()}, full ranking, history {name}, ties pessimistic" for name in MASKINGS}
        sampled = f"{self._split()}, ranked among {self._drawn()}, ties pessimistic"
        return full | ({"sampled": sampled} if self.negatives else {})

    def _drawn(self) -> str:
        drawn = self.negatives
        return f"{drawn.count} {self.candidates} negatives (seed {drawn.seed})" if drawn else "all items"

    def _split(self) -> str:
        if self.temporal:
            shares = f"validation {self.temporal.validation_share:g}, test {self.temporal.test_share:g}"
            return f"global temporal split ({shares}, {self.temporal.target} target)"
        return WORDS[self.split]


def _needs(part: object) -> str:
    return "needs" if part is None else "does not take"

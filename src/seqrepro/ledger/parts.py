"""The parts of claims: what one test of a statement compares, on which datasets, and by which metric.

A part is fixed before the runs. Models, datasets and probes have the names of `params.yaml`; printed numbers are never
written here: a part names the rows of `published.csv` that hold them.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from seqrepro.config.base import Configuration, identity
from seqrepro.config.names import Metric

Share = Annotated[float, Field(gt=0, lt=1)]


def _ascending(ends: list[float | None]) -> list[float | None]:
    low, high = ends
    if low is None and high is None:
        raise ValueError("expected at least one end")
    if low is not None and high is not None and low >= high:
        raise ValueError(f"found {ends}, expected two numbers that ascend")
    return ends


Range = Annotated[
    list[float | None],
    Field(min_length=2, max_length=2, description="lowest and highest; null: no such end"),
    AfterValidator(_ascending),
]


class Part(Configuration):
    """What all parts have."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="what it decides, such as direction or size")
    deciding: bool = Field(True, description="False: reported, and no part of the claim's verdict")
    note: str = Field("", description="how the statement was made testable, where the paper leaves it open")

    def needed_models(self) -> list[str]:
        """The models that it needs runs of, each once, in the order in which it names them."""
        named = [getattr(self, key, None) for key in ("model", "models", "against", "controls")]
        lists = [[one] if isinstance(one, str) else one or [] for one in named]
        return list(dict.fromkeys(name for names in lists for name in names))


def models_of(parts: Iterable[Part]) -> list[str]:
    """The models that some parts need runs of, each once."""
    return list(dict.fromkeys(name for part in parts for name in part.needed_models()))


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


Knowledge = Literal["history", "items", "unordered", "last", "nothing", "chance"]
Pair = Annotated[list[Knowledge], Field(min_length=2, max_length=2)]


class Power(Configuration):
    """What a margin and the power of its test come from; `seqrepro controls power` simulates both again (power.py)."""

    knows: Pair = Field(description="what the model, and what the other, is assumed to make the best of")
    scale: Pair | None = Field(None, description="the margin is a share of what the first gains over the second")
    window: int | None = Field(None, ge=2, le=6, description="with unordered: how many of the last items are known")
    gap: float = Field(description="true gain of the first of `knows` over the second")
    share: float = Field(gt=0, lt=1, description="the margin, as a share of the gain of `scale`; by default of the gap")
    reach: float = Field(1.0, gt=0, le=1, description="share of users for whom training is assumed to reach it")
    noise: float = Field(ge=0, le=1, description="share of users for whom chance, not knowledge, sets both apart")
    seed_sd: float = Field(ge=0, description="assumed standard deviation of a trained model's mean between seeds")
    power: float = Field(ge=0, le=1, description="probability to pass, with the users of the data and `seeds`")

    @model_validator(mode="after")
    def _unordered_has_a_window(self) -> "Power":
        if ("unordered" in [*self.knows, *(self.scale or [])]) != (self.window is not None):
            raise ValueError("a window belongs to unordered, and unordered to a window")
        return self


class Gain(Compared):
    """What a model gains over another, in units of the metric, lies above a margin, or below it: a control."""

    kind: Literal["gain"]
    datasets: list[str] = Field(min_length=1, max_length=1)
    model: str
    against: list[str] = Field(min_length=1, max_length=1)
    above: float | None = Field(None, ge=0, description="positive: the lower bound exceeds it")
    below: float | None = Field(None, gt=0, description="negative: the upper bound stays below it")
    power: Power

    @model_validator(mode="after")
    def _has_one_margin(self) -> "Gain":
        if (self.below is None) == (self.above is None):
            raise ValueError("expected either below or above")
        return self

    @property
    def margin(self) -> float:
        """The one that is given."""
        return next(margin for margin in (self.above, self.below) if margin is not None)


class PrintedValue(Configuration):
    """Which rows of the paper's `published.csv` hold a printed value; metric and dataset are those of the part."""

    model: str = Field(description="as the column `model` has it")
    table: str | None = Field(None, description="as the column `table` has it; null: any")
    reported_by: str | None = Field(None, description="what the column `reported_by` begins with; null: anything")


class PrintedGain(PrintedValue):
    """The rows of a printed gain: of both models, or of the gain itself."""

    against: str = Field(description="as the column `model` has it")


class OfPrinted(Part):
    """A part that printed numbers decide, where a dataset and a metric have one that compares."""

    model: str
    metrics: list[Metric] = Field(min_length=1, description="those that are printed count, and each must hold")
    datasets: list[str] = Field(min_length=1)
    seeds: int = Field(3, ge=2)


class Size(OfPrinted):
    """A model gains as much over another as printed."""

    kind: Literal["size"]
    against: str
    printed: PrintedGain
    share: Share = Field(0.5, description="of the printed gain, by which ours may differ from it")


class Level(OfPrinted):
    """A model reaches the printed values, within a margin."""

    kind: Literal["level"]
    printed: PrintedValue
    margin: Share = Field(0.05, description="of the printed value")


class Probed(Part):
    """A part that a probe's measurements decide."""

    probe: str
    measure: str
    model: str
    datasets: list[str] = Field(min_length=1)
    cost: bool = Field(False, description="it depends on shapes and not on what data say: generated data count too")


class RatioPower(Configuration):
    """What the power of a test of a ratio comes from; `seqrepro controls power` simulates it again (ratio_power.py)."""

    ratio: float = Field(gt=1, description="assumed true ratio of the larger number to the smaller one")
    seed_sd: float = Field(gt=0, description="assumed standard deviation between seeds of the logarithm of each")
    power: float = Field(ge=0, le=1, description="probability to pass, with `seeds` and the tests of the family")


class Measured(Probed):
    """A number that a probe measures on each run is lower or higher for one model than for others."""

    kind: Literal["measured"]
    against: list[str] = Field(min_length=1)
    direction: Literal["lower", "higher"] | None = None
    factor: float | None = Field(None, ge=1, description="at least so many times; null: a difference, and no ratio")
    ratio: Range | None = Field(None, description="in place of a direction: the range of the ratio of model to other")
    seeds: int = Field(3, ge=2)
    power: RatioPower | None = identity(None, description="of a control with a factor")

    @model_validator(mode="after")
    def _says_one_thing(self) -> "Measured":
        if (self.direction is None) == (self.ratio is None):
            raise ValueError("expected either direction or ratio")
        if self.ratio is not None and self.factor is not None:
            raise ValueError("factor goes with direction, and not with ratio")
        if self.ratio is not None and any(end is not None and end <= 0 for end in self.ratio):
            raise ValueError(f"found {self.ratio}, expected a ratio above 0, or null")
        if self.power is not None and self.factor is None:
            raise ValueError("power goes with a factor")
        return self


class Growth(Probed):
    """How a measured number grows: the slope of its logarithm over that of what is varied lies in a range."""

    kind: Literal["growth"]
    over: str = Field(description="what is varied; the probe's measure is `<measure> over <over>`")
    against: str | None = Field(None, description="the number is divided by that of this model")
    slope: Range
    seeds: int = Field(3, ge=1)


class Scaling(Part):
    """How a number grows with a setting: a model is trained once for each value of a variation."""

    kind: Literal["scaling"]
    variation: str = Field(description="a name under `variations` of params.yaml, with one number in each setting")
    measure: str = Field(description="as the table `variations` has it, such as ndcg@10 or seconds_per_step")
    model: str
    against: str | None = Field(None, description="the number is divided by that of this model")
    datasets: list[str] = Field(min_length=1)
    slope: Range
    seeds: int = Field(3, ge=1)

    @property
    def over(self) -> str:
        """What is varied."""
        return self.variation


class Tabulated(Part):
    """All rows of a table of ours (or the share of them) satisfy a bound."""

    kind: Literal["tabulated"]
    table: str = Field(description="below results/<suite>, such as laws/r2.csv")
    where: dict[str, str | list[str]] = Field({}, description="columns and the value, or values, that they must have")
    column: str
    below: str | float | None = Field(None, description="another column, or a number")
    above: str | float | None = None
    between: Range | None = Field(None, description="a lowest and a highest number")
    share: float = Field(1.0, gt=0, le=1, description="of the rows that must satisfy it")

    @model_validator(mode="after")
    def _has_one_bound(self) -> "Tabulated":
        if [self.below, self.above, self.between].count(None) != 2:
            raise ValueError("expected one of below, above and between")
        return self


class Untestable(Part):
    """Nothing that could be run decides it."""

    kind: Literal["untestable"]
    reason: str


AnyPart = Annotated[
    Superiority
    | NonInferiority
    | Equivalence
    | Ordering
    | Gain
    | Size
    | Level
    | Measured
    | Growth
    | Scaling
    | Tabulated
    | Untestable,
    Field(discriminator="kind"),
]

"""Parameters of probes: measurements on trained or fitted models."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from seqrepro.config.base import Configuration, identity
from seqrepro.config.disturbances import Perturbation
from seqrepro.config.training import Objective

RESULTS = {  # what other steps read, by kind
    "robustness": "robustness.parquet",
    "exposure": "exposure.json",
    "sharpness": "measurements.parquet",
    "landscape": "landscape.parquet",
    "cost": "measurements.parquet",
    "traps": "measurements.parquet",
    "slices": "slices.parquet",
    "trajectory": "measurements.parquet",
    "attention": "measurements.parquet",
    "timing": "measurements.parquet",
    "efficiency": "measurements.parquet",
}
OTHERS = ("towards", "against")  # fields that name a model whose run of the same seed is looked at too
TRAINS = ("trajectory", "cost", "timing", "efficiency")  # kinds that train, with all that the run's training needs
RECKONS = ("timing",)  # kinds that reckon how long a whole training takes, and read which epoch was the best
Probed = Literal["trained", "all"]


def _ascending(numbers: list[int]) -> list[int]:
    if any(low >= high for low, high in pairwise(numbers)):
        raise ValueError(f"found {numbers}, expected numbers that ascend")
    return numbers


Ascending = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1), AfterValidator(_ascending)]
Lengths = Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1), AfterValidator(_ascending)]


class Robustness(Configuration):
    """How ranks change when the history at test time is disturbed."""

    kind: Literal["robustness"]
    perturbations: list[Perturbation] = Field(min_length=1)
    keep_ranks: bool = identity(True, description="whether the rank of each user is stored, for each perturbation")
    models: Probed = identity("trained", description="trained: by gradients; all: closed forms too")


class Exposure(Configuration):
    """Which items are recommended at all: coverage, concentration and popularity of the top items of each user."""

    kind: Literal["exposure"]
    cutoffs: Ascending = Field(description="lengths of the lists, ascending")
    models: Probed = identity("all", description="trained: by gradients; all: closed forms too")


class Slices(Configuration):
    """How accurate a run is for users with short histories, and where the next item is rare in the training."""

    kind: Literal["slices"]
    history: Ascending = Field(description="upper ends of bins of the user's training interactions, ascending")
    popularity: Ascending = Field(description="upper ends of bins of the target's training interactions, ascending")
    models: Probed = identity("all", description="trained: by gradients; all: closed forms too")


class Lanczos(Configuration):
    """How eigenvectors of the Hessian are found."""

    steps: int = Field(60, ge=2, description="at most so many products with the Hessian")
    tolerance: float = Field(1e-3, gt=0, description="enough when residuals are below it, as a share of the eigenvalue")


class Eigenvalues(Lanczos):
    """The ends of the Hessian's spectrum, by Lanczos."""

    count: int = Field(5, ge=1, description="eigenvalues at each end")


class TraceEstimate(Configuration):
    """The trace of the Hessian, by Hutch++."""

    products: int = Field(45, ge=6, description="products with the Hessian, a third for each step of the estimate")


class Density(Configuration):
    """The spectral density of the Hessian, by stochastic Lanczos quadrature."""

    runs: int = Field(2, ge=1, description="random starts")
    steps: int = Field(40, ge=2, description="products with the Hessian a start")
    smoothing: float = Field(0.01, gt=0, description="deviation of the Gaussians, as a share of the spectrum's width")
    points: int = Field(1001, ge=2)


class Ball(Configuration):
    """The largest increase of the loss within a ball around the weights."""

    rho: float = Field(0.05, gt=0, description="radius")
    adaptive_rho: float = Field(0.5, gt=0, description="radius where the ball is scaled by the weights (ASAM)")
    steps: int = Field(10, ge=0, description="projected steps of ascent after the one of SAM")


class OnTrainingLoss(Configuration):
    """What probes of the training loss have in common: which loss, of whom."""

    users: int = Field(2048, ge=1, description="a sample of training users, the same for all models and seeds")
    sample_seed: int = Field(1, ge=0, description="of that sample, its negatives, and all random directions")
    loss: Objective | None = identity(None, description="one for all models; null: what each was trained with")
    dtype: Literal["float32", "float64"] = "float64"
    models: Literal["trained"] = identity("trained", description="trained: by gradients")


class Sharpness(OnTrainingLoss):
    """How curved the training loss is at a solution, and how much it rises around it."""

    kind: Literal["sharpness"]
    eigenvalues: Eigenvalues
    trace: TraceEstimate
    density: Density
    ball: Ball


class Landscape(OnTrainingLoss):
    """The training loss on lines and on a plane through a solution."""

    kind: Literal["landscape"]
    points: int = Field(51, ge=2, description="of each line")
    grid: int = Field(51, ge=2, description="of each side of the plane")
    reach: float = Field(1.0, gt=0, description="distance to both sides along the two eigenvectors")
    eigenvalues: Lanczos
    towards: str | None = identity(None, description="a model: also the line to its weights of the same seed")


class Cost(Configuration):
    """What a step of training costs in time, passes and memory, beside a step of another model's training."""

    kind: Literal["cost"]
    against: str = Field(description="a model: the other side, and the reference of equal steps and equal compute")
    rounds: int = Field(20, ge=1, description="each of four blocks: own, other, other, own")
    steps: int = Field(10, ge=1, description="of a block")
    warm_up: int = Field(10, ge=0, description="steps of both before the first round")
    models: Literal["trained"] = identity("trained", description="trained: by gradients")


class Attention(Configuration):
    """Time, memory and operations of a run's attention, against length and width, beside dot-product attention."""

    kind: Literal["attention"]
    lengths: Ascending = Field(description="T, ascending")
    widths: Ascending = Field(description="D, ascending; those that are no multiple of the run's heads are left out")
    width_length: int = Field(1024, ge=1, description="the length at which widths are compared")
    rows: int = Field(4, ge=1, description="of a batch, where it is constant")
    tokens: int = Field(16384, ge=1, description="positions of all rows, where they are constant; at least one row")
    fit_from: int = Field(1024, ge=1, description="slopes are fitted to lengths from here on")
    rounds: int = Field(5, ge=1, description="each of two blocks of every method, there and back")
    block_seconds: float = Field(0.1, gt=0, description="a form is repeated until a block takes about so long")
    largest_matrix_mb: int = Field(1024, ge=1, description="no explicit matrix of scores is larger; in MiB")
    dtype: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = identity(False, description="whether torch compiles what is timed; it needs a C++ compiler")
    models: Literal["trained"] = identity("trained", description="trained: by gradients")


class Timing(Configuration):
    """Steps of training and inference of a whole run, beside those of another model's, and what attention can give."""

    kind: Literal["timing"]
    against: str = Field(description="a model: the other side")
    rounds: int = Field(10, ge=1, description="each of two blocks of either model, there and back")
    steps: int = Field(10, ge=1, description="of training, a block")
    warm_up: int = Field(10, ge=0, description="steps of both before the first round")
    models: Literal["trained"] = identity("trained", description="trained: by gradients")


class Efficiency(Configuration):
    """What a run's whole network costs against the length of histories, beside another model's."""

    kind: Literal["efficiency"]
    against: str = Field(description="a model: the other side")
    lengths: Lengths = Field(description="L, ascending")
    rows: int = Field(8, ge=1, description="of a batch, the same at all lengths and for both models")
    fit_from: int = Field(800, ge=1, description="slopes are fitted to lengths from here on")
    rounds: int = Field(5, ge=1, description="each of two blocks of either model, there and back")
    block_seconds: float = Field(0.5, gt=0, description="what is timed is repeated until a block takes about so long")
    largest_matrix_mb: int = Field(1024, ge=1, description="a network that makes a larger one is left out; in MiB")
    models: Literal["trained"] = identity("trained", description="trained: by gradients")


class Traps(Configuration):
    """What becomes of a run's test metrics if seen items score 0 and padding competes, as in S3-Rec's code."""

    kind: Literal["traps"]
    models: Probed = identity("trained", description="trained: by gradients; all: closed forms too")


class Trajectory(OnTrainingLoss):
    """How curvature and size of the training loss change while a run is trained."""

    kind: Literal["trajectory"]
    every: int = Field(5, ge=1, description="epochs between measurements; the first, last and best have one too")
    eigenvalues: Lanczos
    rho: float = Field(0.05, gt=0, description="radius of the sharpness of batches")


Probe = Annotated[
    Robustness
    | Exposure
    | Slices
    | Sharpness
    | Landscape
    | Trajectory
    | Cost
    | Attention
    | Timing
    | Efficiency
    | Traps,
    Field(discriminator="kind"),
]

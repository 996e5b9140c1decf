"""Parameters of a training recipe: objective, optimizer, budget, and what the numbers are computed with."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seqrepro.config.base import Configuration, identity
from seqrepro.config.disturbances import TrainingData
from seqrepro.config.names import Metric


class CrossEntropy(Configuration):
    """Softmax cross-entropy over the full catalogue, at every target of the view."""

    name: Literal["cross_entropy"]


Exclude = Annotated[
    Literal["target", "history", "history_and_held_out"],
    Field(
        description="negatives are drawn outside the target, outside all items of the example, or outside all items "
        "of the user, held-out ones too (S3-Rec's code; it leaks: a held-out item is never a negative)"
    ),
]


class SampledSoftmax(Configuration):
    """Softmax cross-entropy over the target and a few drawn items."""

    name: Literal["sampled_softmax"]
    negatives: int = Field(ge=1, description="draws, with replacement; those that are the target do not count")
    proposal: Literal["uniform", "log_uniform", "popularity"] = Field(
        "uniform",
        description="what items are drawn from; log_uniform is Zipf's law for ids from popular to rare, "
        "popularity the counts of the training interactions",
    )
    correction: Literal["negatives", "all", "none"] = Field(
        "negatives", description="of whose scores log(expected number of draws) is subtracted"
    )
    shared: bool = Field(False, description="one set of draws for all targets of a batch, or one a target")
    temperature: float = Field(1.0, gt=0, description="scores are divided by it in the loss")
    l2_normalise: bool = Field(False, description="cosines instead of inner products, in the loss")


class BinaryCrossEntropy(Configuration):
    """Binary cross-entropy with uniform negatives (SASRec, Kang & McAuley 2018)."""

    name: Literal["bce"]
    negatives: int = Field(1, ge=1, description="draws a target, with replacement")
    exclude: Exclude = "target"


class GeneralisedBCE(Configuration):
    """Generalised binary cross-entropy (gSASRec, Petrov & Macdonald 2023)."""

    name: Literal["gbce"]
    negatives: int = Field(256, ge=1, description="draws a target, with replacement; at most all other items")
    calibration: float = Field(0.75, ge=0, le=1, description="t of the paper; 0 is plain binary cross-entropy")
    exclude: Exclude = "target"


class CL4SRec(Configuration):
    """A loss of the next item, and InfoNCE between two augmented views of each row (CL4SRec, Xie et al. 2022)."""

    name: Literal["cl4srec"]
    base: Annotated[CrossEntropy | BinaryCrossEntropy, Field(discriminator="name", description="of the next item")]
    weight: float = Field(0.1, gt=0, description="of InfoNCE")
    temperature: float = Field(1.0, gt=0, description="similarities are divided by it")
    cosine: bool = Field(False, description="similarity of directions instead of inner products")
    crop: float = Field(0.6, gt=0, le=1, description="share of a row that is kept")
    mask: float = Field(0.3, ge=0, le=1, description="share of a row that is masked")
    reorder: float = Field(0.6, ge=0, le=1, description="share of a row that is shuffled")


class Penalised(Configuration):
    """A loss of the next item, and a penalty on the norms of weights."""

    name: Literal["penalised"]
    base: Annotated[CrossEntropy | BinaryCrossEntropy, Field(discriminator="name", description="of the next item")]
    weight: float = Field(gt=0, description="of the sum of norms")
    of: Literal["matrices", "embeddings"] = Field(description="weights of two axes or more, or the tables only")
    squared: bool = Field(description="whether the norms are squared")


Objective = Annotated[
    CrossEntropy | SampledSoftmax | BinaryCrossEntropy | GeneralisedBCE | CL4SRec | Penalised,
    Field(discriminator="name"),
]


class Adam(Configuration):
    """Adam (Kingma & Ba 2015)."""

    name: Literal["adam"]
    learning_rate: float = Field(1e-3, gt=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = identity(0.0, ge=0)


Base = Adam  # becomes a union discriminated by `name` as optimizers with one pass a step are added


class SharpnessAware(Configuration):
    """What all optimizers have in common that use the gradient at perturbed weights."""

    base: Base = Field(description="the optimizer that takes the step, at the weights before the perturbation")
    rho: float = Field(0.05, ge=0, description="norm of the perturbation; 0 is the base optimizer at twice its price")
    masks: Literal["same", "fresh"] = Field("same", description="dropout masks of the second pass")
    decay: Literal["base", "loss"] = Field(
        "base", description="whether the base optimizer's weight decay is its own, or a part of both passes' loss"
    )
    parts: Literal["all", "embeddings", "items", "blocks", "norms", "all_but_embeddings"] = Field(
        "all", description="what is perturbed; the norm is taken over this"
    )


class SAM(SharpnessAware):
    """Sharpness-aware minimization (Foret et al. 2021)."""

    name: Literal["sam"]


class ASAM(SharpnessAware):
    """Adaptive sharpness-aware minimization (Kwon et al. 2021): perturbations scale with the weights."""

    name: Literal["asam"]
    rho: float = Field(0.5, ge=0, description="norm of the perturbation over the weights' size; ten times SAM's or so")
    eta: float = Field(0.01, ge=0, description="added to the absolute value of the weights")


class GSAM(SharpnessAware):
    """Surrogate gap guided sharpness-aware minimization (Zhuang et al. 2022) with a constant rho."""

    name: Literal["gsam"]
    alpha: float = Field(0.4, ge=0, description="weight of the gradient's part that is orthogonal to the perturbed one")


class LookSAM(SharpnessAware):
    """Sharpness-aware minimization with a second pass in one step of many (Liu et al. 2022)."""

    name: Literal["looksam"]
    period: int = Field(10, ge=1, description="k: one step in so many has a second pass")
    alpha: float = Field(0.7, ge=0, description="weight of what the last such step has left to those between")


class RandomSAM(SharpnessAware):
    """The control of SAM: a random direction in place of the gradient's."""

    name: Literal["random_sam"]


Optimizer = Annotated[Adam | SAM | ASAM | GSAM | LookSAM | RandomSAM, Field(discriminator="name")]


class Budget(Configuration):
    """How long a model may train, and when it stops."""

    epochs: int = Field(ge=1, description="at most so many passes over the training examples")
    patience: int = Field(ge=1, description="stop after so many epochs without a better validation metric")
    batch_size: int = Field(ge=1, description="examples a step: users, or prefixes of users (see view)")
    monitor: Metric = Field("ndcg@10", description="validation metric, ties pessimistic")
    masking: Literal["masked", "unmasked"] = identity(
        "masked", description="whether the items of a history are no candidates in validation; the log tells the same"
    )
    stopping: Literal["general", "recbole"] = identity(
        "general",
        description="what counts as better: a larger value, or a value that is equal or larger at 4 decimals, "
        "with one more epoch of patience (RecBole)",
    )


class Masking(Configuration):
    """Which items of a row are masked (BERT4Rec, Sun et al. 2019)."""

    ratio: float = Field(0.2, gt=0, lt=1, description="share of a row's items, at least one and never all")
    last_share: float = Field(0.0, ge=0, le=1, description="probability that it is the last item alone")


class S3RecPretraining(Configuration):
    """Pre-training on the attributes of items and on parts of histories (S3-Rec, Zhou et al. 2020)."""

    name: Literal["s3_rec"]
    epochs: int = Field(ge=1, description="passes over all prefixes of all training rows; there is no validation")
    batch_size: int = Field(100, ge=1, description="prefixes a step")
    mask_ratio: float = Field(0.2, ge=0, lt=1, description="probability of an item before the last to be masked")
    aap: float = Field(0.2, ge=0, description="weight of the attributes of items that are seen")
    mip: float = Field(1.0, ge=0, description="weight of the masked items")
    map: float = Field(1.0, ge=0, description="weight of the attributes of masked items")
    sp: float = Field(0.5, ge=0, description="weight of the segments")


class Gradient(Configuration):
    """Training by gradient descent."""

    kind: Literal["gradient"]
    objective: Objective
    optimizer: Optimizer
    budget: Budget
    view: Literal["all_positions", "prefixes", "cloze"] = Field(
        "all_positions",
        description="an example is a user with all positions as targets, a prefix with the next item, "
        "or a user with masked items as targets",
    )
    masking: Masking | None = identity(None, description="with the view cloze: which items are masked")
    hidden_share: float = identity(
        0.0,
        ge=0,
        le=1,
        description="with the view prefixes: probability of each item of a history to be hidden behind a mask",
    )
    pretraining: S3RecPretraining | None = identity(
        None, description="a stage before, with an optimizer of the same parameters; its weights are the start"
    )
    last: int | None = identity(None, ge=2, description="train on the last so many interactions of each user only")
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        "fp32", description="of the matrix products of training steps; everything is ranked in fp32"
    )
    threads: int = Field(1, ge=1, description="CPU threads; part of the result, never taken from --cores")
    device: Literal["cpu", "cuda"] = identity("cpu")
    data: TrainingData | None = identity(
        None, description="what is seen of the training rows, drawn by the run's seed; null: all of them, as they are"
    )

    @property
    def random(self) -> bool:
        """Whether another seed gives another result."""
        return True

    @model_validator(mode="after")
    def _cloze_masks(self) -> "Gradient":
        if (self.view == "cloze") != (self.masking is not None):
            found = f"view {self.view} {'without' if self.masking is None else 'with'} masking"
            raise ValueError(f"found {found}; expected masking with the view cloze, and only there")
        return self

    @model_validator(mode="after")
    def _prefixes_hide(self) -> "Gradient":
        if self.hidden_share and (self.view, self.objective.name) != ("prefixes", "cross_entropy"):
            found = f"hidden_share {self.hidden_share} with view {self.view} and objective {self.objective.name}"
            raise ValueError(f"found {found}; expected the view prefixes and the objective cross_entropy")
        return self

    @model_validator(mode="after")
    def _tf32_needs_a_gpu(self) -> "Gradient":
        if self.precision == "tf32" and self.device == "cpu":
            raise ValueError("found precision tf32 with device cpu; expected device cuda, or precision fp32 or bf16")
        return self


class ClosedForm(Configuration):
    """Fitting by counting or by solving a linear system; the seed plays no part but in drawing its data."""

    kind: Literal["closed_form"]
    fit_on: Literal["train", "train+validation"] = Field(
        "train", description="train+validation also sees each user's validation item before the test"
    )
    threads: int = Field(1, ge=1, description="CPU threads; part of the result, never taken from --cores")
    data: TrainingData | None = identity(
        None, description="what is seen of the training rows, drawn by the run's seed; null: all of them, as they are"
    )

    @property
    def random(self) -> bool:
        """Whether another seed gives another result."""
        return self.data is not None


Recipe = Annotated[Gradient | ClosedForm, Field(discriminator="kind")]

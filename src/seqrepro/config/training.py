"""Parameters of a training recipe: objective, optimizer, budget, and what the numbers are computed with."""

from typing import Annotated, Literal

from pydantic import Field

from seqrepro.config.base import Configuration, identity

Metric = Annotated[str, Field(pattern=r"^(hit_rate|ndcg|mrr)@[1-9][0-9]*$")]


class CrossEntropy(Configuration):
    """Softmax cross-entropy over the full catalogue, at every target of the view."""

    name: Literal["cross_entropy"]


Objective = CrossEntropy  # becomes a union discriminated by `name` as objectives are added


class Adam(Configuration):
    """Adam (Kingma & Ba 2015)."""

    name: Literal["adam"]
    learning_rate: float = Field(1e-3, gt=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = identity(0.0, ge=0)


Optimizer = Adam  # becomes a union discriminated by `name` as optimizers are added


class Budget(Configuration):
    """How long a model may train, and when it stops."""

    epochs: int = Field(ge=1, description="at most so many passes over the training examples")
    patience: int = Field(ge=1, description="stop after so many epochs without a better validation metric")
    batch_size: int = Field(ge=1, description="examples a step: users, or prefixes of users (see view)")
    monitor: Metric = Field("ndcg@10", description="validation metric, history masked, ties pessimistic")


class Gradient(Configuration):
    """Training by gradient descent."""

    kind: Literal["gradient"]
    objective: Objective
    optimizer: Optimizer
    budget: Budget
    view: Literal["all_positions", "prefixes"] = Field(
        "all_positions",
        description="an example is a user with all positions as targets, or a prefix with the next item",
    )
    last: int | None = identity(None, ge=2, description="train on the last so many interactions of each user only")
    precision: Literal["fp32"] = "fp32"
    threads: int = Field(1, ge=1, description="CPU threads; part of the result, never taken from --cores")
    device: Literal["cpu", "cuda"] = identity("cpu")


class ClosedForm(Configuration):
    """Fitting by counting or by solving a linear system; the seed plays no part."""

    kind: Literal["closed_form"]
    fit_on: Literal["train", "train+validation"] = Field(
        "train", description="train+validation also sees each user's validation item before the test"
    )
    threads: int = Field(1, ge=1, description="CPU threads; part of the result, never taken from --cores")


Recipe = Annotated[Gradient | ClosedForm, Field(discriminator="kind")]

"""The Bayes-optimal predictor of generated data: no predictor ranks better, in expectation.

    score_j = -(place of j when all items are ordered by P(next = j | history), most probable first)

P is the true law of the generator (`data/synthetic/<kind>.py`), so nothing is learned. Items of equal probability are
ordered by their id: any order is as good in expectation, while a tie would count against the target.

Shapes: B rows, V items.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqrepro.config.architectures.bayes_optimal import BayesOptimalParameters
from seqrepro.data.sequences import Sequences
from seqrepro.data.synthetic.law import Seen, next_item
from seqrepro.errors import InputError


class BayesOptimal:
    """The law of a generator, as a model."""

    def __init__(self, generator: dict[str, Any]) -> None:
        self.generator = generator

    def fit(self, train: Sequences) -> None:
        """Learn nothing: the law is known."""

    def score(self, histories: Sequences) -> Tensor:
        """Scores [B, V+1], all different."""
        times = None if histories.timestamps is None else histories.timestamps.numpy()
        laws_BV = next_item(self.generator, Seen(histories.values.numpy(), histories.lengths.numpy(), times))
        best_first_BV = torch.from_numpy(np.argsort(-laws_BV, axis=1, kind="stable"))
        places = torch.arange(1.0, laws_BV.shape[1] + 1).expand(len(laws_BV), -1)
        scores = torch.zeros(len(laws_BV), laws_BV.shape[1] + 1)
        return scores.scatter_(1, best_first_BV + 1, -places)

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over nothing."""


def build(parameters: dict[str, Any], n_items: int) -> BayesOptimal:
    """The predictor of the law under `generator`, which the plan adds to the family's parameters.

    Raises:
        InputError: a law over another catalogue.
    """
    generator = parameters["generator"]
    BayesOptimalParameters.model_validate({key: value for key, value in parameters.items() if key != "generator"})
    if generator["items"] != n_items:
        raise InputError(f"model.generator.items: found {generator['items']}, expected the {n_items} of the dataset")
    return BayesOptimal(generator)

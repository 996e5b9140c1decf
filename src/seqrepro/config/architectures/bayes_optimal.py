"""Parameters of the Bayes-optimal predictor."""

from typing import Literal

from seqrepro.config.base import Configuration


class BayesOptimalParameters(Configuration):
    """Scores an item by its true probability; on generated data, whose law is known. The plan hands over the law."""

    family: Literal["bayes_optimal"]

"""Parameters of the first-order Markov chain."""

from typing import Literal

from pydantic import Field

from seqrepro.config.base import Configuration


class MarkovParameters(Configuration):
    """Scores an item by how often it directly followed the last one."""

    family: Literal["markov"]
    back_off: float = Field(1e-6, ge=0, description="weight of popularity, for items that never followed")

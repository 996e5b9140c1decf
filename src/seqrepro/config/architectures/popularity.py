"""Parameters of the popularity baseline."""

from typing import Literal

from seqrepro.config.base import Configuration


class PopularityParameters(Configuration):
    """Scores an item by how often it was chosen."""

    family: Literal["popularity"]

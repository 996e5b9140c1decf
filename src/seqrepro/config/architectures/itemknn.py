"""Parameters of the item-based nearest-neighbour model."""

from typing import Literal

from pydantic import Field

from seqrepro.config.base import Configuration, identity


class ItemKNNParameters(Configuration):
    """Cosine similarity of items over users, the nearest neighbours of each target item kept."""

    family: Literal["itemknn"]
    neighbours: int = Field(100, ge=1, description="similarities kept for each target item")
    shrink: float = Field(0.0, ge=0, description="added to the product of norms")
    position_decay: float = identity(1.0, gt=0, le=1, description="weight of an item per later item of the user")

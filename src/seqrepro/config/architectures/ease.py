"""Parameters of EASE."""

from typing import Literal

from pydantic import Field

from seqrepro.config.base import Configuration, identity


class EASEParameters(Configuration):
    """Embarrassingly shallow autoencoder: ridge regression of items on items with a zero diagonal."""

    family: Literal["ease"]
    regularisation: float = Field(250.0, gt=0, description="lambda, the ridge penalty")
    position_decay: float = identity(1.0, gt=0, le=1, description="weight of an item per later item of the user")

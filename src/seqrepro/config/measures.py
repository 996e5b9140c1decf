"""Parameters of the description of datasets: what is measured on each of them."""

from typing import Annotated

from pydantic import Field

from seqrepro.config.base import Configuration
from seqrepro.config.protocols import Temporal


class Measures(Configuration):
    """What `describe` measures, for the last `windows` items of each user and for whole sequences."""

    windows: list[Annotated[int, Field(ge=2)]] = Field(min_length=1, description="last items of each user")
    orders: list[Annotated[int, Field(ge=0, le=8)]] = Field(min_length=1, description="m of ApEn(m); 0 is Shannon's")
    lempel_ziv_tokens: int = Field(ge=1, description="the Lempel-Ziv measures read at most so many items")
    temporal: Temporal = Field(description="the global temporal split that is compared with leave-one-out")

"""Parameters of Caser."""

from typing import Literal

from pydantic import Field

from seqrepro.config.base import Configuration, identity


class CaserParameters(Configuration):
    """Convolutions over the newest items, with tied item embeddings, in RecBole's form."""

    family: Literal["caser"]
    width: int = Field(64, ge=1, description="D, the embedding width")
    vertical: int = Field(4, ge=1, description="filters over all L items, each dimension by itself")
    horizontal: int = Field(8, ge=1, description="filters over i neighbouring items, for each i from 1 to L")
    dropout: float = Field(0.4, ge=0, lt=1, description="on what the filters give")
    max_length: int = Field(50, ge=1, description="L, items that the filters see; weights grow with its square")
    users: int | None = identity(
        None, ge=1, description="rows of the user table, at least the largest user id; null: users have no embedding"
    )
    padding: Literal["right", "left"] = Field(
        "right", description="the end of short histories that is filled up; left: the newest item always comes last"
    )

"""What all architectures have in common that read timestamps."""

from typing import Literal

from seqrepro.config.base import Configuration, identity


class TimedParameters(Configuration):
    """A network that reads when its items were chosen."""

    gaps: Literal["real", "constant", "shuffled"] = identity(
        "real", description="control: the gaps between a user's items as they are, all alike, or in random order"
    )

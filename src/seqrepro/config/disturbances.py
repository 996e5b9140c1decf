"""What may be done to histories: to those that a finished model is shown, and to those that a training sees."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from seqrepro.config.base import Configuration

Share = Annotated[float, Field(gt=0, le=1)]


class DropLast(Configuration):
    """Forget the last items of each history."""

    kind: Literal["drop_last"]
    count: int = Field(ge=1)


class Shuffle(Configuration):
    """Put each history into random order."""

    kind: Literal["shuffle"]


class ConstantGaps(Configuration):
    """Make all gaps between items a day; who reads no timestamps sees no change."""

    kind: Literal["constant_gaps"]


class ShuffleGaps(Configuration):
    """Put the gaps between the items of each history into random order; who reads no timestamps sees no change."""

    kind: Literal["shuffle_gaps"]


class Disturbance(Configuration):
    """What has a strength that is a share of the history."""

    words: ClassVar[str]  # what a table calls it
    ratio: Share

    def text(self) -> str:
        """The kind and its strength in a table."""
        return f"{self.words} {percent(self.ratio)}"


class InsertRandom(Disturbance):
    """Insert random items, any but those that are held out."""

    words = "noise"
    kind: Literal["insert_random"]
    ratio: Share = Field(description="inserted items as a share of the history's length")


class Swap(Disturbance):
    """Let items trade places with a neighbour."""

    words = "swaps"
    kind: Literal["swap"]
    ratio: Share = Field(description="items that trade places as a share of the history's length")


class Delete(Disturbance):
    """Delete random items; at least one stays."""

    words = "deletions"
    kind: Literal["delete"]
    ratio: Share = Field(description="deleted items as a share of the history's length")


class Duplicate(Disturbance):
    """Let random items stand twice in a row."""

    words = "duplicates"
    kind: Literal["duplicate"]
    ratio: Share = Field(description="doubled items as a share of the history's length")


class ReplaceRandom(Disturbance):
    """Put random items, any but those that are held out, in the place of random ones; all rows keep their length."""

    words = "replacements"
    kind: Literal["replace_random"]
    ratio: Share = Field(description="replaced items as a share of the history's length")


class RepeatRecent(Configuration):
    """Repeat the most recent items of each history in the place of the older ones; all rows keep their length."""

    kind: Literal["repeat_recent"]
    share: Share = Field(description="of the history's length: what is repeated")

    def text(self) -> str:
        """The share in a table."""
        return f"the last {percent(self.share)} of each history, repeated"


class RepeatUsers(Configuration):
    """Repeat the sequences of some of the users in the place of the others'; all rows keep their length."""

    kind: Literal["repeat_users"]
    share: Share = Field(description="of the users, drawn by the run's seed; a larger share has these too")

    def text(self) -> str:
        """The share in a table."""
        return f"{percent(self.share)} of the users, repeated"


class Users(Configuration):
    """Train on some of the users."""

    kind: Literal["users"]
    share: Share = Field(description="drawn by the run's seed; a larger share has these too")

    def text(self) -> str:
        """The share in a table."""
        return f"{percent(self.share)} of the users"


class Interactions(Configuration):
    """Train on some of the interactions of each user."""

    kind: Literal["interactions"]
    share: Share = Field(
        description="of each user's training interactions, drawn by the run's seed; a larger share has these too"
    )

    def text(self) -> str:
        """The share in a table."""
        return f"{percent(self.share)} of the interactions"


Perturbation = Annotated[
    DropLast | Shuffle | InsertRandom | Swap | Delete | Duplicate | ConstantGaps | ShuffleGaps,
    Field(discriminator="kind", description="of the histories that a model is shown"),
]
TrainingData = Annotated[
    Users | Interactions | InsertRandom | Swap | Delete | Duplicate | ReplaceRandom | RepeatRecent | RepeatUsers,
    Field(discriminator="kind", description="of the rows that a model is trained on"),
]


def percent(share: float) -> str:
    """A share in words: '20 %'."""
    return f"{100 * share:g} %"

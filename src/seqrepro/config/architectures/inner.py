"""The width inside of feed-forward networks, which may follow the width of the model."""

from typing import Any

from pydantic import Field

from seqrepro.config.base import Configuration


class WithInnerWidth(Configuration):
    """A network with feed-forward parts."""

    width: int
    inner_width: int | None = Field(
        256, ge=1, description="width inside the feed-forward network; null: 4 times the width"
    )

    @property
    def inner(self) -> int:
        """The inner width as a number."""
        return self.inner_width or 4 * self.width

    def canonical(self) -> dict[str, Any]:
        """The parameters as JSON values; the inner width is a number, so that one run has one name."""
        return super().canonical() | {"inner_width": self.inner}

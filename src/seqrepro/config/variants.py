"""Variations: settings that are laid over each model of an experiment, one run beside the plain one for each.

    variations:
      rho: {training.optimizer.rho: [0.01, 0.1, 1.0]}

A setting is a path and its values (`overrides`); several paths give all their combinations. Runs of variations are no
rows of the tables of accuracy: they answer what a change does, against the same model without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from seqrepro.config.overrides import Setup, override
from seqrepro.config.parameters import Variation

OF_DATA = "training.data"  # the path of what training sees


@dataclass(frozen=True)
class Variant:
    """One point of a variation."""

    variation: str  # its name
    settings: dict[str, Any]  # path -> value
    setup: Setup  # with these settings

    @property
    def title(self) -> str:
        """The settings in words, as tables have them: '20 % of the users', 'rho 0.05'."""
        return ", ".join(_words(path, value, self.setup) for path, value in self.settings.items())


def variants_of(name: str, variation: Variation, setup: Setup) -> Iterator[Variant]:
    """A setup with each combination of settings.

    Raises:
        UnfitSetting: a path that the setup lacks, or a value that it refuses.
    """
    for values in product(*variation.values()):
        settings = dict(zip(variation, values, strict=True))
        yield Variant(name, settings, override(setup, settings))


def _words(path: str, value: Any, setup: Setup) -> str:
    """A setting says itself what it is, or has the last word of its path."""
    if (path, value) == (OF_DATA, None):
        return "all data"
    found: Any = setup
    for part in path.split("."):
        found = getattr(found, part)
    text = getattr(found, "text", None)
    return str(text()) if text else f"{path.rpartition('.')[2].replace('_', ' ')} {value}"

"""The law of the next item of generated data, given what came before; each generator states its own as `next_item`.

A history is taken for the last items of a longer one that is not known: an empty one gives the law of popularity, one
item what that item alone tells. (Where items do not recur, `look_alike` takes it for all that came before.)

Shapes: B rows, N items of all rows, V items of the catalogue.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from seqrepro.data.interactions import Int64, Interactions
from seqrepro.data.synthetic.streams import Float64, starts_of


@dataclass(frozen=True)
class Seen:
    """Histories, one behind the other, oldest item first."""

    items: Int64  # [N] from 1
    lengths: Int64  # [B]
    times: Int64 | None = None  # [N] Unix seconds; None: they are not known

    def last(self, count: int) -> Int64:
        """The newest items of each row [B, count], oldest first; 0 where a row has fewer."""
        return _last(self.items, self.lengths, count)

    def gaps(self) -> Int64 | None:
        """Seconds [B] between the last two items; where a row has fewer, a number that means nothing."""
        return None if self.times is None else np.diff(_last(self.times, self.lengths, 2), axis=1)[:, 0]


def rows(items: Int64) -> Seen:
    """Histories of equal length [B, L], times unknown."""
    return Seen(items.ravel(), np.full(len(items), items.shape[1], dtype=np.int64))


def generate(generator: dict[str, Any]) -> Interactions:
    """The interactions that a generator makes, from its canonical parameters with the `kind`."""
    made: Interactions = _module(generator).generate(**_others(generator))
    return made


def next_item(generator: dict[str, Any], seen: Seen) -> Float64:
    """The law [B, V] of the item after each history, exact; column 0 is item 1.

    Args:
        generator: the parameters of generated data, canonical, with the `kind`.
        seen: what is known.
    """
    law: Float64 = _module(generator).next_item(seen, **_others(generator))
    return law


def _module(generator: dict[str, Any]) -> ModuleType:
    return import_module(f"seqrepro.data.synthetic.{generator['kind']}")


def _others(generator: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in generator.items() if key != "kind"}


def _last(values: Int64, lengths: Int64, count: int) -> Int64:
    steps = np.arange(-count, 0)
    found = (starts_of(lengths) + lengths)[:, None] + steps
    return np.where(lengths[:, None] + steps >= 0, np.append(values, 0)[np.maximum(found, 0)], 0)

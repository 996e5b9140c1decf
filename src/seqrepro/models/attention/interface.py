"""What stands in the place of attention: one interface for all ways to mix the positions of a row.

A method gets queries, keys and values by head, and gives a mixture by head. Linear maps before and behind it, dropout,
residual sums and norms belong to the block around it (`mixer.py`). It has three forms that give the same numbers:

- `forward`: whole rows, padded anywhere, causal or in both directions.
- `start` and `step`: position after position, from a state that holds what is needed of the past; causal only.
- `packed` (packed.py): rows of different lengths one behind the other, without padding.

Nothing at padding is meaningful in what comes out, but it is finite.

Shapes: B rows, T length, H heads, d width of a head, D = H d, N positions of all rows.
"""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = dict[str, Tensor]
NORM_FLOOR = 1e-6  # the least norm that anything is divided by


class Attention(nn.Module):
    """A way to mix the positions of a row."""

    uses: ClassVar[tuple[str, ...]] = ("query", "key", "value")  # what it reads; what it does not is not computed
    causal_form: ClassVar[bool] = True

    @abstractmethod
    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """Mix whole rows.

        Args:
            query: [B, T, H, d], and so are key and value; what the method does not use is not read.
            key: as query.
            value: as query.
            real: [B, T] bool, False at padding; None: there is none, or only on the right of causal rows.
            causal: whether a position sees only itself and what came before.

        Returns:
            [B, T, H, d].
        """

    def start(self, rows: int, like: Tensor) -> State:
        """The state of rows that have no position yet.

        Args:
            rows: B.
            like: keys or values of any rows [..., H, d], for shape, type and device.
        """
        raise NotImplementedError(f"{type(self).__name__} has no form step by step")

    def step(self, query: Tensor, key: Tensor, value: Tensor, state: State) -> tuple[Tensor, State]:
        """The mixture at the next position, [B, H, d] each, and the state after it."""
        raise NotImplementedError(f"{type(self).__name__} has no form step by step")

    def draw(self, generator: torch.Generator) -> None:
        """Draw the weights and the fixed random numbers that are the method's own; most have none."""


def stepwise(attention: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The causal mixture [B, T, H, d] of rows without padding, computed position after position."""
    state, outputs = attention.start(len(value), value), []
    for at in range(value.shape[1]):
        output, state = attention.step(query[:, at], key[:, at], value[:, at], state)
        outputs.append(output)
    return torch.stack(outputs, dim=1)


@contextmanager
def wide(*inputs: Tensor) -> Iterator[list[Tensor]]:
    """The inputs in at least 32 bits, and no autocast: running sums in less lose all digits within a thousand terms."""
    with torch.autocast(inputs[0].device.type, enabled=False):
        yield [one.to(torch.promote_types(one.dtype, torch.float32)) for one in inputs]


def running(terms: Tensor, causal: bool) -> Tensor:
    """Sums over the positions so far, or over all positions: [B, T, ...] -> [B, T, ...] or [B, 1, ...]."""
    if not causal:
        return terms.sum(1, keepdim=True)
    return decayed(terms, 1.0) if terms.is_cuda else terms.cumsum(1)  # on a GPU cumsum has no deterministic form


def decayed(terms: Tensor, decay: Tensor | float) -> Tensor:
    """sum over s <= t of decay^(t-s) terms_s, [B, T, ...], real or complex.

    The sum over the newest 2 j positions is that over the newest j, and decay^j times that over the j before, so it is
    done after log2(T) rounds. Nothing is divided, so nothing can overflow.

    Args:
        terms: [B, T, ...].
        decay: of absolute value at most 1; one number, or [...] as the terms have it behind T.
    """
    reach, length, behind = 1, terms.shape[1], (0, 0) * (terms.dim() - 2)
    while reach < length:
        terms = terms + decay * F.pad(terms, (*behind, reach, 0))[:, :length]
        decay, reach = decay * decay, 2 * reach
    return terms


def masked(terms: Tensor, real: Tensor | None) -> Tensor:
    """Terms [B, T, ...] with zeros at padding."""
    return terms if real is None else terms * real[(...,) + (None,) * (terms.dim() - 2)]


def counts(terms: Tensor, real: Tensor | None, causal: bool) -> Tensor:
    """The number of real positions so far, [B or 1, T], or of all, [B or 1, 1]; at least 1."""
    ones = terms.new_ones(1, terms.shape[1]) if real is None else real.to(terms.dtype)
    return running(ones, causal).clamp(min=1)

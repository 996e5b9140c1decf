"""Early stopping: which epoch is the best so far, and when a training has gone on long enough without a better one.

With m_e the monitored metric of epoch e (larger is better), b the best epoch so far, p the patience:

- `general`: e becomes b if m_e > m_b, so that the first of equal epochs stays; over when e - b = p.
- `recbole`: as RecBole 1.2.1 does it (`recbole.utils.early_stopping`, `topk_result`). e becomes b if
  r(m_e) >= r(m_b), where r rounds to 4 decimals: the *last* of epochs that are equal after rounding wins. Over when
  e - b = p + 1: RecBole stops when its counter of bad epochs exceeds `stopping_step`.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass

DECIMALS = 1e4  # `metric_decimal_place: 4`


@dataclass(frozen=True)
class Rule:
    """A stopping rule, without a state of its own."""

    read: Callable[[float], float]  # the metric as it is compared and kept
    better: Callable[[float, float], bool]  # whether a value that was read takes the place of the best so far
    allowance: int  # bad epochs that are allowed beyond the patience

    def is_over(self, bad_epochs: int, patience: int) -> bool:
        """Whether so many epochs since the best one end a training."""
        return bad_epochs >= patience + self.allowance


def four_decimals(value: float) -> float:
    """A metric as RecBole reports it: numpy's rounding (scale, round half to even, scale back), not Python's."""
    return round(value * DECIMALS) / DECIMALS


RULES = {
    "general": Rule(read=float, better=operator.gt, allowance=0),
    "recbole": Rule(read=four_decimals, better=operator.ge, allowance=1),
}

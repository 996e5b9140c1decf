"""Early stopping on whole series: as the training loop applies a rule, and by definitions without a state."""

import math
from collections.abc import Sequence

import numpy as np

from seqrepro.training.stopping import Rule

Decision = tuple[int, int | None]  # best epoch, and the epoch after which the training stopped, counted from 1


def follow(rule: Rule, series: Sequence[float], patience: int) -> Decision:
    """What a rule decides, one epoch after the other."""
    best, best_value = 0, -math.inf
    for epoch, metric in enumerate(series, start=1):
        value = rule.read(metric)
        if rule.better(value, best_value):
            best, best_value = epoch, value
        if rule.is_over(epoch - best, patience):
            return best, epoch
    return best, None


def slow_general(series: Sequence[float], patience: int) -> Decision:
    """The first maximum of what was seen; over once it lies `patience` epochs back."""
    for seen in range(1, len(series) + 1):
        best = min(range(seen), key=lambda i: (-series[i], i)) + 1
        if seen - best == patience:
            return best, seen
    return best, None


def slow_recbole(series: Sequence[float], patience: int) -> Decision:
    """The last maximum of what was seen, at 4 decimals; over once more than `patience` epochs in a row are below it."""
    rounded = np.round(np.array(series), 4)
    for seen in range(1, len(series) + 1):
        best = int(np.flatnonzero(rounded[:seen] == rounded[:seen].max())[-1]) + 1
        if seen - best > patience:
            return best, seen
    return best, None

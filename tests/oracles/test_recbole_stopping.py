"""RecBole 1.2.1 as an oracle: its early stopping and its rounding of metrics are the rule `recbole`.

It needs an environment of its own (`make test-oracles`); elsewhere these tests are skipped.
"""

import math

import numpy as np
import pytest

from seqrepro.training.stopping import RULES, four_decimals
from stopping_series import follow

pytest.importorskip("recbole", reason="RecBole is not in this environment; `make test-oracles` has it")


def rounded(values):
    """Metrics as RecBole's evaluator returns them."""
    from recbole.evaluator.base_metric import TopkMetric

    metric = object.__new__(TopkMetric)  # its constructor wants a whole configuration; only two fields are read
    metric.topk, metric.decimal_place = range(1, len(values) + 1), 4
    return list(metric.topk_result("ndcg", np.array([values])).values())


def recbole(series, patience):
    """Best epoch and last epoch of RecBole's trainer (`Trainer.fit`), validating after every epoch."""
    from recbole.utils import early_stopping

    best, best_value, bad = 0, -math.inf, 0
    for epoch, value in enumerate(rounded(series), start=1):
        best_value, bad, stop, update = early_stopping(value, best_value, bad, max_step=patience, bigger=True)
        best = epoch if update else best
        if stop:
            return best, epoch
    return best, None


def random_series(draw):
    """A curve that rises and levels off, with noise; or few values, so that many are equal."""
    length = int(draw.integers(1, 60))
    if draw.random() < 0.3:
        return draw.choice([0.1, 0.1 + 1 / 80_000, 0.1 + 1 / 20_000, 0.10002, 0.1001], length).tolist()
    curve = 0.1 * (1 - np.exp(-np.arange(length) / 10))
    return np.abs(curve + draw.normal(0, 10 ** draw.uniform(-6, -2), length)).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_random_series(seed):
    draw = np.random.default_rng(seed)
    for _ in range(100):
        series, patience = random_series(draw), int(draw.integers(1, 12))
        assert follow(RULES["recbole"], series, patience) == recbole(series, patience)


def test_rounding():
    halves = (np.arange(20_000) / 20_000).tolist()  # every second one is a half of the fourth decimal
    assert [four_decimals(value) for value in halves] == rounded(halves)

"""Fitting models that need no gradients, and ranking with them."""

import time
from typing import Any

from torch import Tensor

from seqrepro.data.sequences import Sequences
from seqrepro.data.splits import SPLITS, Split
from seqrepro.evaluation.ranking import rank_all
from seqrepro.evaluation.ranks import rank_table
from seqrepro.models.interfaces import ClosedFormModel, build_closed_form
from seqrepro.training.outcome import Outcome, epoch_line, rank_split, watched


def fit_closed_form(config: dict[str, Any], split: Split) -> Outcome:
    """Fit the configured model and rank both splits.

    The validation ranking always comes from a fit on the train part. With `fit_on: train+validation` the test ranking,
    and the weights that are kept, come from a second fit on all that is known before the test.
    """
    started = time.monotonic()
    model = _fitted(config, split.train)
    validation = rank_all(model, *split.evaluation("validation"), likelihood=False)
    if config["training"]["fit_on"] == "train+validation":
        model = _fitted(config, split.train_and_validation)
    fitted = time.monotonic()
    ranks = {
        "validation": rank_table("validation", split.histories["validation"], validation),
        "test": rank_split(model, split, "test", likelihood=False),
    }
    line = epoch_line(0, None, watched(validation), split.train.n_items, fitted - started)
    return Outcome(
        weights=model.state(),
        n_parameters=_n_values(model.state()),
        ranks={name: ranks[name] for name in SPLITS},
        log=[line],
        best_epoch=0,
        stopped="closed_form",
        ranking_seconds=time.monotonic() - fitted,
    )


def _fitted(config: dict[str, Any], train: Sequences) -> ClosedFormModel:
    model = build_closed_form(config["model"], train.n_items)
    model.fit(train)
    return model


def _n_values(state: dict[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())

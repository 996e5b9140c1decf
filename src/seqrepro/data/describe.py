"""The `describe` step: what a prepared dataset is like, in `results/datasets/<dataset>/statistics.json`.

Counts and lengths as `prepare` found them, and in addition, for the last N items of each user (N from `measures` in
params.yaml) and for whole sequences: tokens, training targets, entropies; how many targets differ between the variants
of the split; and how many attributes the items have. It is a step of its own so that a new measure never re-runs a
training. The file names no item and no user.

Shapes: U users, V items, N interactions.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seqrepro.data.entropy import last_items, measures
from seqrepro.data.interactions import Int64
from seqrepro.data.sequences import read_sequences
from seqrepro.data.split_variants import compare_splits
from seqrepro.files import Json, read_json, write_json
from seqrepro.request import Request

HELD_OUT = 2  # interactions of a user that leave-one-out keeps from the training


def run(request: Request) -> list[Path]:
    """Describe one dataset into `request.folder`. Inputs: sequences, interactions, items, statistics."""
    wanted = request.parameters["measures"]
    sequences, interactions, items, statistics = map(Path, request.inputs)
    counts = read_json(statistics)
    exact = read_sequences(sequences, counts["n_items"])
    values, offsets = exact.values.numpy(), exact.offsets.numpy()
    windows = [*wanted["windows"], None]
    described = counts | {
        "windows": [_window(values, offsets, window, wanted) for window in windows],
        "attributes": attributes(items),
        "splits": compare_splits(interactions, exact, wanted["temporal"]),
    }
    write_json(request.output / "statistics.json", described)
    return [request.output / "statistics.json"]


def lengths_at(lengths: Int64, window: int | None) -> Json:
    """What a window of the last `window` items (None: all) leaves of sequences of the given lengths [U].

    `train_items`: items of the training parts under leave-one-out, at most `window` a user; `train_targets`: the
    next-item targets of these parts, at most `window` a user.
    """
    training = np.maximum(lengths - HELD_OUT, 0)
    targets = np.maximum(training - 1, 0)
    cut = lengths.max(initial=0) if window is None else window
    return {
        "tokens": int(np.minimum(lengths, cut).sum()),
        "users_longer": int((lengths > cut).sum()),
        "users_with_longer_training": int((training > cut).sum()),
        "train_items": int(np.minimum(training, cut).sum()),
        "train_targets": int(np.minimum(targets, cut).sum()),
    }


def attributes(path: Path) -> Json | None:
    """How many different attributes the items [V] of items.parquet have, and how many each; None without attributes."""
    if "attributes" not in pq.read_schema(path).names:
        return None
    lists = pq.read_table(path, columns=["attributes"])["attributes"]
    counts = pc.list_value_length(lists).to_numpy()
    return {
        "distinct": pc.count_distinct(pc.list_flatten(lists)).as_py(),
        "per_item": float(counts.mean()),
        "items_without": int(np.count_nonzero(counts == 0)),
    }


def _window(values: Int64, offsets: Int64, window: int | None, wanted: dict[str, Any]) -> Json:
    shown = last_items(values, offsets, window)
    entropy = measures(*shown, orders=wanted["orders"], lempel_ziv_tokens=wanted["lempel_ziv_tokens"])
    return {"last": window, **lengths_at(np.diff(offsets), window), "entropy": entropy}

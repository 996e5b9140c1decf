"""The `measure` step: the rows that a training saw, in `results/datasets/<dataset>/measured/<hash>/measures.json`.

A law of data needs to know how much a training had to learn from, and how much of that was new. So the rows are those
of the training, by the same code: of one split, with the recipe's `data` and `last`, drawn by the run's seed, cut to
the items that the model sees. Training never reads the file. It names no user and no item.

`tokens` are the items of all rows, at most `last` a row; `targets` are what `all_positions` predicts of them, the item
behind a full window included.

Shapes: U rows, N items.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqrepro.data.entropy import last_items, measures
from seqrepro.data.interactions import Int64
from seqrepro.files import Json, write_json
from seqrepro.request import Request
from seqrepro.training.rows import read_seen


def run(request: Request) -> list[Path]:
    """Measure one training set.

    Parameters of the request: dataset, seed, config, windows, orders, lempel_ziv_tokens. Inputs: as of a training.
    """
    rows = read_seen(request).train
    last = request.parameters["config"]["training"].get("last")
    rows = rows if last is None else rows.tail(last)
    asked = {key: request.parameters[key] for key in ("orders", "lempel_ziv_tokens")}
    values, offsets = rows.values.numpy(), rows.offsets.numpy()
    measured = [measured_at(values, offsets, window, **asked) for window in request.parameters["windows"]]
    path = request.output / "measures.json"
    write_json(path, {"windows": measured})
    return [path]


def measured_at(
    values: Int64, offsets: Int64, window: int | None, orders: Sequence[int], lempel_ziv_tokens: int
) -> Json:
    """The measures of rows of which a model sees the last `window` items (None: all).

    Args:
        values: [N] item ids.
        offsets: [U+1] row borders.
        window: longest history.
        orders: the m of ApEn(m).
        lempel_ziv_tokens: the Lempel-Ziv measures read at most so many items.
    """
    shown, borders = last_items(values, offsets, window)
    targets = np.minimum(np.maximum(np.diff(offsets) - 1, 0), len(values) if window is None else window)
    return {
        "last": window,
        "sequences": len(offsets) - 1,
        "tokens": len(shown),
        "targets": int(targets.sum()),
        "items": len(np.unique(shown)),
        "entropy": measures(shown, borders, orders=orders, lempel_ziv_tokens=lempel_ziv_tokens),
    }

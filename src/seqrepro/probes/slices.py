"""Slices: how accurate a run is for users with short histories, and for targets that are rare in the training.

Test users are put into bins twice:
- `history`: by the number of their training interactions,
- `popularity`: by the number of training interactions of their target; 0 is an item that was never seen.

A bin has all numbers above the end of the one before, up to its own end. The first one is 0 alone, the last one has no
end. Numbers are those of the full training rows, whatever part of them the run's training saw: so the users of a bin
are the same for all runs on a dataset. Values come from the rank file (history masked, ties pessimistic), so no model
is needed.

`slices.parquet`: slice, low, high (null: no end), users, metric, mean, standard_error (over the users, null for fewer
than two); a bin without users has no mean.

Shapes: U test users.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from seqrepro.data.splits import Split
from seqrepro.errors import InputError
from seqrepro.evaluation.metrics import NAMES, user_values
from seqrepro.evaluation.ranks import ranks_of
from seqrepro.files import write_parquet
from seqrepro.request import Request
from seqrepro.training.inputs import read_split

Bin = tuple[int, int | None]  # smallest and largest number in it
SCHEMA = pa.schema(
    [
        ("slice", pa.string()),
        ("low", pa.int64()),
        ("high", pa.int64()),
        ("users", pa.int64()),
        ("metric", pa.string()),
        ("mean", pa.float64()),
        ("standard_error", pa.float64()),
    ]
)


def run(request: Request) -> list[Path]:
    """Write the accuracy of a run's test users, bin by bin.

    Parameters of the request: config (of the run), history and popularity (upper ends, ascending). Inputs:
    sequences.parquet, statistics.json, model.safetensors (not read), ranks.parquet.

    Raises:
        InputError: the rank file has other users than the split.
    """
    split = read_split(request)
    table = pq.read_table(request.inputs[3])
    table = table.filter(pc.equal(table["split"], "test"))
    if table["user"].to_pylist() != split.histories["test"].users.tolist():
        raise InputError(f"{request.inputs[3]}: other test users than in {request.inputs[0]}, expected the same")
    ranks, n_items = ranks_of(table), split.train.n_items
    gains = {metric: user_values(metric, ranks, n_items) for metric in NAMES}
    path = request.output / "slices.parquet"
    rows = [row for name, numbers in counts(split).items() for row in _rows(name, numbers, request, gains)]
    write_parquet(path, pa.table([*map(list, zip(*rows, strict=True))], schema=SCHEMA))
    return [path]


def counts(split: Split) -> dict[str, Tensor]:
    """Of each test user the number of training interactions, and that of the target; each [U]."""
    train, users = split.train, split.histories["test"].users
    rows = torch.searchsorted(train.users, users).clamp(max=len(train) - 1)
    popularity = torch.bincount(train.values, minlength=train.n_items + 1)
    return {
        "history": torch.where(train.users[rows] == users, train.lengths[rows], 0),
        "popularity": popularity[split.targets["test"]],
    }


def bins(ends: list[int]) -> list[Bin]:
    """The bins with these upper ends, 0 before them, and what is above."""
    return [(0, 0), *zip([1, *(end + 1 for end in ends)], [*ends, None], strict=True)]


def _rows(name: str, numbers: Tensor, request: Request, gains: dict[str, Tensor]) -> Iterator[tuple[object, ...]]:
    for low, high in bins(request.parameters[name]):
        inside = (numbers >= low) & (numbers <= (math.inf if high is None else high))
        for metric, values in gains.items():
            yield name, low, high, int(inside.sum()), metric, *_mean(values[inside])


def _mean(values: Tensor) -> tuple[float | None, float | None]:
    """The mean of values [n] float64 and its standard error."""
    n = len(values)
    return float(values.mean()) if n else None, float(values.std() / n**0.5) if n > 1 else None

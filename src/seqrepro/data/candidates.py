"""The `candidates` step: for each evaluated user, negatives that its targets are ranked among.

Ranking among sampled negatives can order models otherwise than ranking among all items; it is there to match papers
that did so. The negatives are drawn once for a (dataset, split, kind, count, seed) and saved, so that all models and
seeds meet the same ones. It writes `negatives.parquet`: user int64, validation list<int32>, test list<int32>; a row a
user who is evaluated in validation or test, by user id.

The law, for each user and split alone: items are drawn one after another, without replacement, from those that the user
never chose (in the whole sequence, targets included), each time with probability proportional to its weight among the
items that are left. `uniform`: all weights are 1. `popularity`: the weight is the number of interactions with the item
in the training part, so an item that nobody chose there is never drawn.

Shapes: U users, C negatives, V items, K keys; a key is row * (V + 1) + item.
"""

from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences, index_range
from seqrepro.data.splits import SPLITS, Split, make_split, read_rows
from seqrepro.errors import InputError
from seqrepro.files import write_parquet
from seqrepro.request import Request
from seqrepro.training.randomness import generator_for

BLOCK = 4096  # users at a time
DRAWS = 2**22  # draws at a time


def run(request: Request) -> list[Path]:
    """Draw the negatives of one protocol on one dataset.

    Parameters of the request: dataset, config (split and candidates). Inputs: those of a training.

    Raises:
        InputError: a user left over with fewer items than negatives are asked for.
    """
    config = request.parameters["config"]
    wanted = config["candidates"]
    sequences = read_rows(config, *map(Path, request.inputs[:2]))
    split = make_split(config, sequences)
    rows = evaluated_rows(sequences, split)
    weights = item_weights(split, wanted["kind"])
    columns = {"user": pa.array(rows.users.numpy())}
    for name in SPLITS:
        generator = generator_for(wanted["seed"], f"candidates:{name}")
        columns[name] = _lists(draw(rows, weights, wanted["count"], generator))
    path = request.output / "negatives.parquet"
    write_parquet(path, pa.table(columns))
    return [path]


def evaluated_rows(sequences: Sequences, split: Split) -> Sequences:
    """The whole sequences of the users who have a target in validation or test."""
    users = torch.cat([split.histories[name].users for name in SPLITS])
    return sequences.select(torch.isin(sequences.users, users).nonzero().flatten())


def item_weights(split: Split, kind: str) -> Tensor:
    """The weight [V+1] int64 of each item; padding has none."""
    width = split.train.n_items + 1
    weights = torch.ones(width, dtype=torch.int64)
    if kind == "popularity":
        weights = torch.bincount(split.train.values, minlength=width)
    weights[0] = 0
    return weights


def draw(rows: Sequences, weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """C different items [U, C] for each row [U], none of them in the row, in the order in which they were drawn.

    Raises:
        InputError: a row leaves fewer than `count` items of positive weight.
    """
    _check_enough(rows, weights, count)
    blocks = torch.split(torch.arange(len(rows)), BLOCK)
    drawn = [_draw_block(rows.select(block), weights, count, generator) for block in blocks]
    return torch.cat(drawn) if drawn else torch.empty(0, count, dtype=torch.int64)


def _draw_block(rows: Sequences, weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw with replacement and drop what is taken already: that is drawing without replacement."""
    width, ladder = rows.n_items + 1, weights.cumsum(0)
    taken, drawn = rows.rows * width + rows.values, torch.empty(0, dtype=torch.int64)
    missing, tries = torch.full((len(rows),), count), count
    while missing.any():
        pending = missing.nonzero().flatten()
        tries = max(count, min(2 * tries, DRAWS // len(pending)))
        steps = torch.randint(int(ladder[-1]), (len(pending), tries), generator=generator)
        items = torch.searchsorted(ladder, steps, right=True)
        keys = _distinct((pending[:, None] * width + items).flatten())
        keys = keys[~torch.isin(keys, taken)]
        keys = keys[_place(keys // width, len(rows)) < missing[keys // width]]
        taken, drawn = torch.cat([taken, keys]), torch.cat([drawn, keys])
        missing = missing - torch.bincount(keys // width, minlength=len(rows))
    return (drawn[torch.argsort(drawn // width, stable=True)] % width).view(len(rows), count)


def _distinct(keys: Tensor) -> Tensor:
    """The keys without repetitions, in the order of first appearance."""
    order = torch.argsort(keys, stable=True)
    first = torch.cat([order.new_ones(1).bool(), keys[order].diff() != 0])
    return keys[order[first].sort().values]


def _place(owners: Tensor, n_rows: int) -> Tensor:
    """How many before each one have the same owner; the owners [K] are in ascending order."""
    counts = torch.bincount(owners, minlength=n_rows)
    return index_range(owners) - (counts.cumsum(0) - counts)[owners]


def _check_enough(rows: Sequences, weights: Tensor, count: int) -> None:
    width = rows.n_items + 1
    chosen = torch.unique(rows.rows * width + rows.values)
    chosen = chosen[weights[chosen % width] > 0]
    left = int((weights > 0).sum()) - torch.bincount(chosen // width, minlength=len(rows))
    if len(left) and left.min() < count:
        row = int(left.argmin())
        raise InputError(
            f"candidates: user {int(rows.users[row])} leaves {int(left[row])} items to draw from, "
            f"expected at least {count} (negatives.count)"
        )


def _lists(drawn: Tensor) -> pa.Array:
    flat = pa.array(drawn.flatten().int().numpy(), pa.int32())
    return pa.ListArray.from_arrays(pa.array(range(0, drawn.numel() + 1, drawn.shape[1]), pa.int32()), flat)

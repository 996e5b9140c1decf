"""The data of a run: what its training, and every probe of it, reads in the same way."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from seqrepro.data.splits import SPLITS, Split, make_split, read_rows
from seqrepro.errors import InputError
from seqrepro.request import Request

NEGATIVES = "negatives.parquet"
ITEMS = "items.parquet"


def read_split(request: Request) -> Split:
    """The split that the request's configuration names, with its saved negatives if it has any.

    Inputs of the request: the interactions or sequences of a dataset, its statistics, and anywhere `negatives.parquet`
    and `items.parquet`.
    """
    config = request.parameters["config"]
    split = make_split(config, read_rows(config, *map(Path, request.inputs[:2])))
    if items := _named(request, ITEMS):
        split = replace(split, attributes=read_attributes(items, split.train.n_items))
    if "candidates" not in config:
        return split
    path = _named(request, NEGATIVES)
    if path is None:
        raise InputError(f"{request.folder}: the request has no {NEGATIVES} among its inputs; its candidates need it")
    table = pq.read_table(path)
    return replace(split, negatives={name: _negatives(path, table, split, name) for name in SPLITS})


def read_attributes(path: Path, n_items: int) -> Tensor | None:
    """Which items have which attributes, [V+1, A+1] bool, from items.parquet; None if it has none.

    Attributes are numbered 1..A in the order of their texts; nothing has attribute 0, nor has padding any.
    """
    table = pq.read_table(path)
    if "attributes" not in table.column_names:
        return None
    lists = table["attributes"].combine_chunks()
    items = pc.take(table["item"].combine_chunks(), pc.list_parent_indices(lists)).to_numpy()
    names = pc.list_flatten(lists).to_pylist()
    numbers = {name: number for number, name in enumerate(sorted(set(names)), start=1)}
    has = torch.zeros(n_items + 1, len(numbers) + 1, dtype=torch.bool)
    has[torch.tensor(items, dtype=torch.int64), torch.tensor([numbers[name] for name in names], dtype=torch.int64)] = (
        True
    )
    return has if numbers else None


def _named(request: Request, name: str) -> Path | None:
    """The input of that file name."""
    return next((Path(path) for path in request.inputs if Path(path).name == name), None)


def _negatives(path: Path, table: pa.Table, split: Split, name: str) -> Tensor:
    """The saved items [U', C] of the users who are evaluated in a split."""
    users = torch.tensor(table["user"].to_numpy())
    wanted = split.histories[name].users
    rows = torch.searchsorted(users, wanted).clamp(max=len(users) - 1)
    if not torch.equal(users[rows], wanted):
        raise InputError(f"{path}: lacks users of the {name} split; expected the negatives of this dataset and split")
    items = torch.tensor(pc.list_flatten(table[name]).to_numpy(), dtype=torch.int64)
    return items.view(len(users), -1)[rows]

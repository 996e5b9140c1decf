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


def read_split(request: Request) -> Split:
    """The split that the request's configuration names, with its saved negatives if it has any.

    Inputs of the request: the interactions or sequences of a dataset, its statistics, and anywhere `negatives.parquet`.
    """
    config = request.parameters["config"]
    split = make_split(config, read_rows(config, *map(Path, request.inputs[:2])))
    if "candidates" not in config:
        return split
    path = next((Path(name) for name in request.inputs if Path(name).name == NEGATIVES), None)
    if path is None:
        raise InputError(f"{request.folder}: the request has no {NEGATIVES} among its inputs; its candidates need it")
    table = pq.read_table(path)
    return replace(split, negatives={name: _negatives(path, table, split, name) for name in SPLITS})


def _negatives(path: Path, table: pa.Table, split: Split, name: str) -> Tensor:
    """The saved items [U', C] of the users who are evaluated in a split."""
    users = torch.tensor(table["user"].to_numpy())
    wanted = split.histories[name].users
    rows = torch.searchsorted(users, wanted).clamp(max=len(users) - 1)
    if not torch.equal(users[rows], wanted):
        raise InputError(f"{path}: lacks users of the {name} split; expected the negatives of this dataset and split")
    items = torch.tensor(pc.list_flatten(table[name]).to_numpy(), dtype=torch.int64)
    return items.view(len(users), -1)[rows]

"""Exposure: what a model would recommend to each test user, and how much of the catalogue that is.

`topk.parquet` (user int64, items list<int32>) holds the lists, best first, without the items of the history. It says
who is offered what, so it is kept like weights: by DVC, and not committed. `exposure.json` holds the measures of
`seqrepro.evaluation.exposure` at each cutoff, and how popular the held-out test items are, which users really chose
next. Popularity is counted in the training rows.

Shapes: U users, K places.
"""

from itertools import compress
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences
from seqrepro.data.splits import Split
from seqrepro.evaluation.exposure import exposure, popularity_bias
from seqrepro.evaluation.topk import top_all
from seqrepro.files import Json, write_json, write_parquet
from seqrepro.models.interfaces import restore
from seqrepro.request import Request
from seqrepro.training import machine
from seqrepro.training.inputs import read_split

SCHEMA = pa.schema([("user", pa.int64()), ("items", pa.list_(pa.int32()))])


def run(request: Request) -> list[Path]:
    """Write the lists of a run's test users, and their measures.

    Parameters of the request: dataset, seed, config (of the run), cutoffs (ascending). Inputs: sequences.parquet,
    statistics.json, model.safetensors.

    Raises:
        CheckFailed: a score is NaN, or nobody has anything that could be recommended.
    """
    config, cutoffs = request.parameters["config"], request.parameters["cutoffs"]
    machine.prepare(config["training"] | {"device": "cpu"})
    split = read_split(request)
    histories = split.histories["test"]
    model = restore(config, histories.n_items, Path(request.inputs[2]))
    lists = top_all(model, histories, cutoffs[-1])
    paths = [request.output / name for name in ("topk.parquet", "exposure.json")]
    write_parquet(paths[0], list_table(histories, lists))
    write_json(paths[1], measure(lists, split, cutoffs))
    return paths


def list_table(histories: Sequences, lists: Tensor) -> pa.Table:
    """The lists [U, K] of the users of the histories, each as long as it is."""
    items = [list(compress(row, row)) for row in lists.tolist()]
    return pa.table([pa.array(histories.users.numpy()), pa.array(items, pa.list_(pa.int32()))], schema=SCHEMA)


def measure(lists: Tensor, split: Split, cutoffs: list[int]) -> Json:
    """What `exposure.json` says of the lists [U, K] of the test users."""
    popularity = torch.bincount(split.train.values, minlength=split.train.n_items + 1)[1:]
    return {
        "n_users": len(lists),
        "n_items": len(popularity),
        "cutoffs": {
            str(k): exposure(lists[:, :k], popularity)
            | {"users_with_shorter_lists": int((lists[:, :k].count_nonzero(dim=1) < k).sum())}
            for k in cutoffs
        },
        "test_items": popularity_bias(split.targets["test"][:, None], popularity),
    }

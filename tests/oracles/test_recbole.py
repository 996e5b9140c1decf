"""RecBole 1.2.1 as an oracle: its k-core, its order by 32-bit float timestamps, its split and its rows are ours.

It needs an environment of its own (`make test-oracles`); elsewhere these tests are skipped.
"""

import lzma
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from seqrepro.data.filters import k_core
from seqrepro.data.interactions import Interactions, codes, number
from seqrepro.data.prepare import interactions_table
from seqrepro.data.splits import leave_one_out, read_float32_order
from seqrepro.files import write_parquet
from seqrepro.training.views import prefixes_view

pytest.importorskip("recbole", reason="RecBole is not in this environment; `make test-oracles` has it")

LENGTH = 10


def near_in_time() -> np.ndarray:
    """Made-up rows (user, item, timestamp) in no order, many of a user within the 64 s that 32-bit floats blur."""
    draw = np.random.default_rng(7)
    users, items = draw.integers(1, 80, 4000), draw.integers(1, 60, 4000)
    times = 960_000_000 + 3_000 * users + draw.integers(0, 2_000, 4000)
    return np.column_stack([users, items, times])


def movielens_100k() -> np.ndarray:
    if not (mirror := os.environ.get("SEQREPRO_MIRROR")):
        pytest.skip("SEQREPRO_MIRROR is not set")
    with lzma.open(Path(mirror) / "ml-100k/u.data.xz") as stream:
        return np.loadtxt(stream, dtype=np.int64)[:, [0, 1, 3]]


DATA = [
    pytest.param(near_in_time, id="near in time"),
    pytest.param(movielens_100k, id="ml-100k", marks=pytest.mark.real_data),
]


def recbole_rows(rows: np.ndarray, folder: Path) -> list[dict[tuple[int, int], tuple[list[int], int]]]:
    """RecBole's training, validation and test rows: (user, place of the target) -> (history shown, target)."""
    from recbole.config import Config
    from recbole.data import create_dataset

    (folder / "made").mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows.tolist())]
    (folder / "made/made.inter").write_text("\n".join(lines) + "\n")
    settings = {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "user_inter_num_interval": "[5,inf)",
        "item_inter_num_interval": "[5,inf)",
        "MAX_ITEM_LIST_LENGTH": LENGTH,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "train_neg_sample_args": None,
        "use_gpu": False,
        "state": "ERROR",
    }
    dataset = create_dataset(Config(model="SASRec", dataset="made", config_dict=settings))
    return [_told(part) for part in dataset.build()]


def _told(part) -> dict[tuple[int, int], tuple[list[int], int]]:
    def names(field: str, ids) -> list[int]:
        return [int(token) for token in part.id2token(field, ids)]

    columns = part.inter_feat
    users = names("user_id", columns["user_id"].numpy())
    targets = names("item_id", columns["item_id"].numpy())
    lengths = columns["item_length"].tolist()
    told, seen = {}, Counter()
    for row, (user, target, length) in enumerate(zip(users, targets, lengths, strict=True)):
        history = names("item_id", columns["item_id_list"][row, :length].numpy())
        told[user, seen[user]] = (history, target)
        seen[user] += 1
    return told


def our_rows(rows: np.ndarray, folder: Path) -> list[dict[tuple[int, int], tuple[list[int], int]]]:
    users, items = pa.array(rows[:, 0]), pa.array(rows[:, 1])
    source = Interactions(users, items, rows[:, 2].copy())
    kept = source.select(k_core(codes(users)[0], codes(items)[0], 5))
    numbered = number(kept)
    write_parquet(folder / "interactions.parquet", interactions_table(numbered))
    split = leave_one_out(read_float32_order(folder / "interactions.parquet", len(numbered.item_ids)))
    user_ids, item_ids = (np.array(ids.to_pylist()) for ids in (numbered.user_ids, numbered.item_ids))
    view = prefixes_view(split.train)
    training = view.batch(torch.arange(len(view))).rows
    parts = [(training.head(training.lengths - 1), training.values[training.offsets[1:] - 1])]
    parts += [(split.histories[name], split.targets[name]) for name in ("validation", "test")]
    return [_ours(*part, user_ids, item_ids) for part in parts]


def _ours(histories, targets, user_ids, item_ids) -> dict[tuple[int, int], tuple[list[int], int]]:
    shown, told, seen = histories.tail(LENGTH), {}, Counter()
    values, offsets = shown.values.tolist(), shown.offsets.tolist()
    for row, (user, target) in enumerate(zip(shown.users.tolist(), targets.tolist(), strict=True)):
        name = int(user_ids[user - 1])
        history = [int(item_ids[item - 1]) for item in values[offsets[row] : offsets[row + 1]]]
        told[name, seen[name]] = (history, int(item_ids[target - 1]))
        seen[name] += 1
    return told


@pytest.mark.parametrize("make", DATA)
def test_every_row_of_recbole_is_ours(make, tmp_path):
    rows = make()
    theirs, ours = recbole_rows(rows, tmp_path), our_rows(rows, tmp_path)
    for name, their_part, our_part in zip(("training", "validation", "test"), theirs, ours, strict=True):
        assert len(their_part) == len(our_part) > 0, name
        assert their_part == our_part, name


def test_the_order_matters_here(tmp_path):
    """The made-up rows do show the difference: in exact order other items are the last ones."""
    rows = near_in_time()
    exact = rows[np.lexsort((rows[:, 2], rows[:, 0]))]
    last = {int(user): int(item) for user, item, _ in exact}
    test = our_rows(rows, tmp_path)[2]
    assert sum(last[user] != target for (user, _), (_, target) in test.items()) > 5

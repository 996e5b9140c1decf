from itertools import permutations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from made_data import CLOSED_FORM, random_rows, sequences_of, train_request, write_prepared
from seqrepro.data import candidates
from seqrepro.data.candidates import draw, item_weights
from seqrepro.data.splits import leave_one_out
from seqrepro.errors import InputError
from seqrepro.files import sha256_file, write_parquet
from seqrepro.request import Request
from seqrepro.training.inputs import read_split

N_ITEMS = 40
ROWS = [*random_rows(60, N_ITEMS), [1, 2]]


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def uniform(n_items):
    return torch.tensor([0, *[1] * n_items])


def request(inputs, kind="uniform", count=5, seed=7, folder="data/candidates/toy/00000000", **split):
    config = {"split": "leave_one_out", **split, "candidates": {"kind": kind, "count": count, "seed": seed}}
    wanted = {"dataset": "toy", "config": config}
    return Request("candidates", "seqrepro.data.candidates", folder, inputs, wanted, [], "code")


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_prepared(Path("data/prepared/toy"), ROWS, N_ITEMS)


@pytest.mark.parametrize("kind", ["uniform", "popularity"])
def test_negatives_are_different_items_that_the_user_never_chose(inputs, kind):
    (path,) = candidates.run(request(inputs, kind))
    table = pq.read_table(path)
    assert table.schema.types == [pa.int64(), pa.list_(pa.int32()), pa.list_(pa.int32())]
    assert table["user"].to_pylist() == [*range(1, 61)]  # user 61 has no target
    for row in table.to_pylist():
        for part in ("validation", "test"):
            assert len(row[part]) == len(set(row[part])) == 5
            assert set(row[part]) <= set(range(1, N_ITEMS + 1)) - set(ROWS[row["user"] - 1])
    assert table["validation"] != table["test"]


def test_the_same_request_gives_the_same_bytes_and_another_seed_others(inputs):
    digests = [
        sha256_file(candidates.run(request(inputs, seed=seed, folder=f"data/{number}"))[0])
        for number, seed in enumerate((7, 7, 8))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_temporal_split_has_negatives_for_users_of_either_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [[1, 2], [3, 4], [5, 6], [1, 2, 3], [4, 5]]
    stamps = [[1, 6], [2, 7], [3, 10], [4, 6, 9], [1, 2]]
    inputs = write_prepared(Path("data"), rows, 9, stamps)
    temporal = {"validation_share": 0.25, "test_share": 0.15, "target": "first"}
    asked = request(inputs, count=3, split="global_temporal", temporal=temporal)
    assert pq.read_table(candidates.run(asked)[0])["user"].to_pylist() == [1, 2, 3, 4]
    config = {"model": {}, "training": CLOSED_FORM, **asked.parameters["config"]}
    train = Request("train", "m", "f", [*inputs, f"{asked.folder}/negatives.parquet"], {"config": config}, [], "c")
    split = read_split(train)
    assert {name: split.histories[name].users.tolist() for name in split.histories} == {
        "validation": [1, 2, 4],
        "test": [3, 4],
    }
    assert {name: split.negatives[name].shape for name in split.negatives} == {"validation": (3, 3), "test": (2, 3)}


def test_blocks_of_users_and_many_rounds_draw_for_everybody(monkeypatch):
    monkeypatch.setattr(candidates, "BLOCK", 7)
    monkeypatch.setattr(candidates, "DRAWS", 1)
    drawn = draw(sequences_of(ROWS, N_ITEMS), uniform(N_ITEMS), 20, generator())
    for row, items in zip(ROWS, drawn.tolist(), strict=True):
        assert len(set(items)) == 20 and set(items).isdisjoint(row)


def test_a_catalogue_that_is_just_large_enough():
    rows = [list(range(1, 300)), list(range(6, 304)), [1, 300]]
    drawn = draw(sequences_of(rows, 304), uniform(304), 5, generator())
    assert sorted(drawn[0].tolist()) == [300, 301, 302, 303, 304]
    assert set(drawn[1].tolist()) <= {1, 2, 3, 4, 5, 304}


@pytest.mark.parametrize(
    ("weights", "count", "left"), [([0, 1, 1, 1, 1], 3, 2), ([0, 5, 5, 5, 0], 2, 1)], ids=["uniform", "popularity"]
)
def test_too_few_items_are_one_line(weights, count, left):
    message = rf"candidates: user 2 leaves {left} items to draw from, expected at least {count} \(negatives.count\)"
    with pytest.raises(InputError, match=message):
        draw(sequences_of([[4], [1, 2, 1]], 4), torch.tensor(weights), count, generator())


def sequential(weights, items):
    """The probability of drawing these items one after another without replacement."""
    left, product = sum(weights.values()), 1.0
    for item in items:
        product *= weights[item] / left
        left -= weights[item]
    return product


def test_the_law_is_drawing_one_after_another_by_training_popularity():
    """All ordered draws of 2 from the items that a user left, against their exact probabilities."""
    popularity = {1: 8, 2: 4, 3: 2, 4: 1, 5: 1}
    users = 40_000
    drawn = draw(sequences_of([[5, 6]] * users, 6), torch.tensor([0, 8, 4, 2, 1, 1, 9]), 2, generator())
    del popularity[5]
    keys, counts = torch.unique(drawn[:, 0] * 10 + drawn[:, 1], return_counts=True)
    found = dict(zip(keys.tolist(), (counts / users).tolist(), strict=True))
    expected = {10 * a + b: sequential(popularity, (a, b)) for a, b in permutations(popularity, 2)}
    assert sum(expected.values()) == pytest.approx(1)
    assert found.keys() == expected.keys()
    for key, share in expected.items():  # four standard errors
        assert found[key] == pytest.approx(share, abs=4 * (share * (1 - share) / users) ** 0.5)


def test_popularity_counts_the_training_part_alone():
    split = leave_one_out(sequences_of([[1, 1, 2, 3, 4], [2, 5]], 6))
    assert item_weights(split, "popularity").tolist() == [0, 2, 2, 0, 0, 1, 0]
    assert item_weights(split, "uniform").tolist() == [0, 1, 1, 1, 1, 1, 1]


def test_a_run_without_its_negatives_is_one_line(inputs):
    asked = train_request(inputs, {"family": "popularity"}, CLOSED_FORM)
    asked.parameters["config"]["candidates"] = {"kind": "uniform", "count": 5, "seed": 7}
    with pytest.raises(InputError, match=r"the request has no negatives\.parquet among its inputs"):
        read_split(asked)


def test_negatives_of_other_users_are_one_line(inputs):
    negatives = Path("data/negatives.parquet")
    write_parquet(negatives, pa.table({"user": [1, 2], "validation": [[1], [2]], "test": [[1], [2]]}))
    asked = train_request([*inputs, str(negatives)], {"family": "popularity"}, CLOSED_FORM)
    asked.parameters["config"]["candidates"] = {"kind": "uniform", "count": 1, "seed": 7}
    with pytest.raises(InputError, match=r"negatives\.parquet: lacks users of the validation split"):
        read_split(asked)

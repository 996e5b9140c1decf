"""The describe step: what it measures on a small prepared dataset."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from seqrepro.data.describe import attributes, lengths_at, run
from seqrepro.data.prepare import run as prepare
from seqrepro.files import read_json, write_parquet
from seqrepro.request import Request

GENERATOR = {"kind": "markov", "users": 30, "items": 12, "mean_length": 9.0, "concentration": 0.3, "seed": 5}
MEASURES = {
    "windows": [4, 8],
    "orders": [1, 2],
    "lempel_ziv_tokens": 1000,
    "temporal": {"validation_share": 0.2, "test_share": 0.2, "target": "last"},
}
READ = [f"data/prepared/made/{name}" for name in ("sequences", "interactions", "items")]


@pytest.fixture
def described(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = {"dataset": "made", "source": "generated", "generator": GENERATOR}
    prepare(Request("prepare", "m", "data/prepared/made", [], made, [], ""))
    inputs = [*(f"{name}.parquet" for name in READ), "data/prepared/made/statistics.json"]
    [path] = run(Request("describe", "m", "results/datasets/made", inputs, {"measures": MEASURES}, [], ""))
    return read_json(path)


def test_it_holds_what_prepare_found_and_more(described):
    found = read_json(Path("data/prepared/made/statistics.json"))
    assert found.items() <= described.items()
    assert [window["last"] for window in described["windows"]] == [4, 8, None]
    assert [row["compared_with_leave_one_out"] for row in described["splits"]] == [
        "source_order",
        "leave_one_out_recbole",
        "global_temporal",
    ]
    assert described["attributes"] is None


def test_whole_sequences_are_the_last_window(described):
    short, _, whole = described["windows"]
    assert whole["tokens"] == whole["entropy"]["tokens"] == described["n_interactions"]
    assert short["tokens"] == short["entropy"]["tokens"] < whole["tokens"]
    assert set(whole["entropy"]["approximate_entropy"]) == {"1", "2"}


@pytest.mark.parametrize("window", [1, 2, 5, 50, None])
def test_lengths_are_counted_user_by_user(window):
    lengths = np.array([1, 2, 3, 4, 9, 60])
    cut = window or 1000
    trained = [max(length - 2, 0) for length in lengths]
    assert lengths_at(lengths, window) == {
        "tokens": sum(min(length, cut) for length in lengths),
        "users_longer": sum(length > cut for length in lengths),
        "users_with_longer_training": sum(length > cut for length in trained),
        "train_items": sum(min(length, cut) for length in trained),
        "train_targets": sum(min(max(length - 1, 0), cut) for length in trained),
    }


def test_attributes(tmp_path):
    lists = pa.array([["a", "b"], [], ["b"]], pa.list_(pa.string()))
    write_parquet(tmp_path / "items.parquet", pa.table({"item": [1, 2, 3], "attributes": lists}))
    assert attributes(tmp_path / "items.parquet") == {"distinct": 2, "per_item": 1.0, "items_without": 1}

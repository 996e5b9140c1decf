"""The real datasets have the published counts. Needs SEQREPRO_MIRROR, a folder with the files."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from seqrepro.data import prepare, retrieve
from seqrepro.data.registry import load_registry
from seqrepro.request import Request

REGISTRY = Path(__file__).parents[2] / "registry" / "datasets.yaml"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif("SEQREPRO_MIRROR" not in os.environ, reason="SEQREPRO_MIRROR is not set"),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Prepare an entry: (entry, k_core) -> folder."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("real"))
    yield _prepared
    os.chdir(before)


def _prepared(name: str, k_core: int | None) -> Path:
    entry = load_registry(REGISTRY)[name]
    folder = f"data/prepared/{name}-{k_core}"
    parameters = {"dataset": name, "mirror": None, **entry.retrieval()}
    retrieve.run(Request("retrieve", "seqrepro.data.retrieve", f"data/raw/{name}", [], parameters, [], ""))
    parameters = {"dataset": name, **entry.preparation(k_core)}
    prepare.run(Request("prepare", "seqrepro.data.prepare", folder, entry.raw_paths(), parameters, [], ""))
    return Path(folder)


def counts(folder: Path) -> tuple[int, int, int]:
    statistics = json.loads((folder / "statistics.json").read_text())
    assert statistics["verified"] is True
    return statistics["n_users"], statistics["n_items"], statistics["n_interactions"]


def test_ml_100k(prepared):
    assert counts(prepared("ml-100k", None)) == (943, 1682, 100_000)


def test_ml_100k_5_core(prepared):
    folder = prepared("ml-100k", 5)
    assert counts(folder) == (943, 1349, 99_287)
    items = pq.read_table(folder / "items.parquet").to_pylist()
    assert items[0] == {"item": 1, "source_id": "242", "attributes": ["Comedy"]}
    assert (
        sum(pq.read_table(folder / "sequences.parquet")["items"].combine_chunks().value_lengths().to_pylist()) == 99_287
    )


def test_beauty_is_its_own_5_core(prepared):
    assert counts(prepared("amazon-2014-beauty-s3rec", None)) == (22_363, 12_101, 198_502)
    assert counts(prepared("amazon-2014-beauty-s3rec", 5)) == (22_363, 12_101, 198_502)


def test_the_two_beauty_variants_hold_the_same_sequences(prepared):
    timed, plain = (
        pq.read_table(prepared(name, None) / "sequences.parquet")
        for name in ("amazon-2014-beauty-s3rec", "amazon-2014-beauty-s3rec-sequences")
    )
    assert timed["user"].equals(plain["user"])
    assert timed["items"].equals(plain["items"])
    assert timed["timestamps"].null_count == 0
    assert plain["timestamps"].null_count == len(plain)

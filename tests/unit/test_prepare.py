"""The prepare step on small files: numbering, order, what is written, and what is refused."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqrepro.data.prepare import run
from seqrepro.errors import CheckFailed, InputError
from seqrepro.request import Request

HEADER = "user\titem\ttimestamp\n"
ROWS = "b\ty\t20\nb\tx\t10\na\tx\t5\nb\tx\t20\na\tz\t5\n"
GENERATOR = {"kind": "markov", "users": 20, "items": 50, "mean_length": 4.0, "concentration": 0.1, "seed": 7}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def prepare(text: str, name: str = "toy.tsv", **parameters) -> list[Path]:
    raw = Path("data/raw/toy")
    raw.mkdir(parents=True, exist_ok=True)
    (raw / name).write_text(text)
    fields = {
        "dataset": "toy",
        "source": "registry",
        "entry": "toy",
        "format": "user_item_timestamp_tsv" if name.endswith(".tsv") else "s3rec_sequences",
        "files": [name],
        "order_source": "timestamp" if name.endswith(".tsv") else "source",
        "expected": None,
        "filter": {},
    }
    return run(request(fields | parameters, [f"data/raw/toy/{name}"]))


def request(parameters: dict, inputs: list[str]) -> Request:
    return Request("prepare", "seqrepro.data.prepare", "data/prepared/toy", inputs, parameters, [], "")


def rows(name: str) -> list[dict]:
    return pq.read_table(f"data/prepared/toy/{name}.parquet").to_pylist()


def statistics() -> dict:
    return json.loads(Path("data/prepared/toy/statistics.json").read_text())


def test_ids_go_by_first_appearance_and_order_by_time_then_row():
    written = prepare(HEADER + ROWS)
    assert [path.name for path in written] == [
        "interactions.parquet",
        "sequences.parquet",
        "items.parquet",
        "users.parquet",
        "statistics.json",
    ]
    assert rows("users") == [{"user": 1, "source_id": "b"}, {"user": 2, "source_id": "a"}]
    assert [row["source_id"] for row in rows("items")] == ["y", "x", "z"]
    assert [(row["user"], row["item"], row["timestamp"]) for row in rows("interactions")] == [
        (1, 1, 20),
        (1, 2, 10),
        (2, 2, 5),
        (1, 2, 20),
        (2, 3, 5),
    ]
    assert rows("sequences") == [
        {"user": 1, "items": [2, 1, 2], "timestamps": [10, 20, 20]},
        {"user": 2, "items": [2, 3], "timestamps": [5, 5]},
    ]


def test_the_column_types():
    prepare(HEADER + ROWS)
    schema = pq.read_schema("data/prepared/toy/sequences.parquet")
    assert [schema.field(name).type for name in ("user", "items", "timestamps")] == [
        pa.int64(),
        pa.list_(pa.int32()),
        pa.list_(pa.int64()),
    ]
    schema = pq.read_schema("data/prepared/toy/interactions.parquet")
    assert schema.types == [pa.int64(), pa.int32(), pa.int64()]
    assert pq.read_schema("data/prepared/toy/items.parquet").names == ["item", "source_id"]


def test_statistics():
    prepare(HEADER + ROWS)
    found = statistics()
    assert (found["n_users"], found["n_items"], found["n_interactions"]) == (2, 3, 5)
    assert found["density"] == 5 / 6
    assert found["length"] == {"min": 2, "median": 2.5, "mean": 2.5, "max": 3}
    assert found["repeated_interactions"] == 1
    assert found["timestamps"] == {"first": 5, "last": 20, "ties": 4, "reversals": 0}
    assert found["order_source"] == "timestamp"


def test_the_source_order_keeps_the_rows_and_counts_steps_back_in_time():
    prepare(HEADER + ROWS, order_source="source")
    assert rows("sequences")[0] == {"user": 1, "items": [1, 2, 2], "timestamps": [20, 10, 20]}
    assert statistics()["timestamps"]["reversals"] == 1


def test_ids_that_are_1_to_n_already_are_kept():
    prepare("2 3 1\n1 2 3\n", "toy.txt")
    assert rows("sequences") == [
        {"user": 1, "items": [2, 3], "timestamps": None},
        {"user": 2, "items": [3, 1], "timestamps": None},
    ]
    assert not Path("data/prepared/toy/users.parquet").exists()
    assert rows("interactions")[0] == {"user": 2, "item": 3, "timestamp": None}
    assert pq.read_schema("data/prepared/toy/sequences.parquet").field("timestamps").type == pa.list_(pa.int64())
    assert statistics()["timestamps"] is None


def test_ids_are_numbered_after_the_filter():
    prepare("1 1 2 3\n2 3 2\n3 3 2\n", "toy.txt", filter={"k_core": 2})
    assert [row["source_id"] for row in rows("items")] == ["2", "3"]
    assert rows("sequences")[0]["items"] == [1, 2]


def test_ratings_stand_beside_the_interactions_where_the_source_has_them(tmp_path):
    (tmp_path / "toy.csv").write_text("u,i,r\nb,x,4.5\na,x,2\n")
    columns = {"user": "u", "item": "i", "rating": "r"}
    parameters = {"source": "file", "format": "user_file", "options": {"columns": columns, "format": "csv"}}
    run(request(parameters, ["toy.csv"]))
    assert pq.read_schema("data/prepared/toy/interactions.parquet").field("rating").type == pa.float32()
    assert [row["rating"] for row in rows("interactions")] == [4.5, 2.0]
    assert pq.read_schema("data/prepared/toy/sequences.parquet").names == ["user", "items", "timestamps"]


def test_steps_of_a_filter_are_told_if_it_is_more_than_a_k_core():
    prepare(HEADER + ROWS, filter={"k_core": 2})
    assert "filter_steps" not in statistics()
    prepare(HEADER + ROWS, filter={"duplicates": "keep_first", "minimum": {"user": 2, "item": 1}})
    assert statistics()["filter_steps"] == [{"step": "duplicates", "removed": 1}, {"step": "minimum", "removed": 0}]
    assert rows("sequences")[0] == {"user": 1, "items": [2, 1], "timestamps": [10, 20]}


def test_the_names_of_users_of_an_earlier_variant_go_away():
    prepare(HEADER + ROWS)
    assert Path("data/prepared/toy/users.parquet").is_file()
    prepare(HEADER + "1\t1\t5\n")
    assert not Path("data/prepared/toy/users.parquet").exists()


def test_attributes_stand_beside_the_items():
    Path("data/raw/toy").mkdir(parents=True)
    Path("data/raw/toy/attributes.json").write_text('{"1": [7, 8], "9": [1]}')
    prepare("1 1 2\n", "toy.txt")
    parameters = {"source": "registry", "format": "s3rec_sequences", "order_source": "source"}
    run(request(parameters, ["data/raw/toy/toy.txt", "data/raw/toy/attributes.json"]))
    assert [row["attributes"] for row in rows("items")] == [["7", "8"], []]


def test_the_content_hash_follows_the_sequences_and_not_the_rows():
    prepare(HEADER + "1\t1\t10\n2\t2\t10\n1\t2\t20\n")
    first = statistics()["content_sha256"]
    prepare(HEADER + "1\t1\t10\n1\t2\t20\n2\t2\t10\n")
    assert statistics()["content_sha256"] == first
    prepare(HEADER + "1\t1\t10\n1\t2\t21\n2\t2\t10\n")
    assert statistics()["content_sha256"] != first
    prepare("1 1 2\n2 2\n", "toy.txt")
    assert statistics()["content_sha256"] != first


def test_the_same_input_gives_the_same_bytes():
    before = {path: path.read_bytes() for path in prepare(HEADER + ROWS)}
    assert before == {path: path.read_bytes() for path in prepare(HEADER + ROWS)}


def test_a_file_cited_by_its_git_blob_is_verified_by_it():
    blob = hashlib.sha1(b"blob 6\0" + b"1 1 2\n").hexdigest()
    prepare("1 1 2\n", "toy.txt", checksums={"toy.txt": None}, git_blobs={"toy.txt": blob})
    assert statistics()["verified"]
    with pytest.raises(InputError, match=f"found the git blob .*, expected {blob}"):
        prepare("1 1 3\n", "toy.txt", checksums={"toy.txt": None}, git_blobs={"toy.txt": blob})


def test_checksums_are_checked_recorded_and_unknown_ones_reported():
    digest = hashlib.sha256(b"1 1 2\n").hexdigest()
    prepare("1 1 2\n", "toy.txt", checksums={"toy.txt": digest}, provenance="primary")
    assert statistics()["verified"] is True
    assert statistics()["provenance"] == "primary"
    prepare("1 1 2\n", "toy.txt", checksums={"toy.txt": None})
    assert statistics()["verified"] is False
    assert statistics()["files"] == {"toy.txt": {"sha256": digest, "verified": False}}
    with pytest.raises(InputError, match=f"data/raw/toy/toy.txt: found sha256 .*, expected {digest}"):
        prepare("1 1 3\n", "toy.txt", checksums={"toy.txt": digest})


def test_other_counts_than_expected():
    with pytest.raises(CheckFailed) as caught:
        prepare(HEADER + ROWS, expected={"users": 2, "items": 3, "interactions": 1005})
    assert str(caught.value) == (
        "data/prepared/toy: found 2 users / 3 items / 5 interactions, expected 2 users / 3 items / 1,005 interactions"
    )
    assert not Path("data/prepared/toy").exists()


def test_what_is_refused():
    with pytest.raises(InputError, match=r"data/raw/toy/none\.tsv: no such file"):
        run(request({"source": "registry", "format": "s3rec_sequences"}, ["data/raw/toy/none.tsv"]))
    with pytest.raises(InputError, match="found 'timestamp', expected 'source'"):
        prepare("1 1 2\n", "toy.txt", order_source="timestamp")
    with pytest.raises(InputError, match="format: found 'excel'"):
        prepare("1 1 2\n", "toy.txt", format="excel")
    with pytest.raises(InputError, match="leaves none"):
        prepare(HEADER)


def test_generated_data_keep_the_ids_of_the_truth():
    run(request({"dataset": "toy", "source": "generated", "generator": GENERATOR}, []))
    found = statistics()
    assert (found["n_users"], found["n_items"]) == (20, 50)
    assert found["provenance"] == "generated"
    chosen = {item for row in rows("sequences") for item in row["items"]}
    assert len(chosen) < 50
    assert [row["source_id"] for row in rows("items")] == [str(item) for item in range(1, 51)]
    before = Path("data/prepared/toy/sequences.parquet").read_bytes()
    run(request({"dataset": "toy", "source": "generated", "generator": GENERATOR}, []))
    assert Path("data/prepared/toy/sequences.parquet").read_bytes() == before

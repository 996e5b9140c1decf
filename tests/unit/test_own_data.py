"""Your own file: formats, ids, times, what the plan makes of it, and that nothing tells where it lies."""

import bz2
import datetime as dt
import gzip
import json
import lzma
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from seqrepro.config import dataset_plan
from seqrepro.config.datasets import FileDataset
from seqrepro.config.load import load_parameters, parse_parameters
from seqrepro.config.requests import plan_requests
from seqrepro.data import prepare
from seqrepro.data.formats import user_file
from seqrepro.data.interactions import Interactions
from seqrepro.data.own import adopt, local_files
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError
from seqrepro.files import sha256_file
from seqrepro.request import Request

COLUMNS = {"user": "who", "item": "what", "timestamp": "when", "rating": "stars"}
CSV = 'who,note,what,when,stars\n007,,"a ""b"",\n c",1700000000,5\n 8,x,é,1600000000,2.5\n'
PAGE = Path(__file__).parents[2] / "docs/how-to/own-data.md"


def read(path: Path, content: str | bytes, format: str = "csv", columns=COLUMNS, **options) -> Interactions:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return user_file.read({path.name: path}, columns, format, **options)


def timed(path: Path, *times: object, **options) -> Interactions:
    """A file with these timestamps, all of one user with one item."""
    columns = {"user": "u", "item": "i", "timestamp": "t"}
    return read(path, "u,i,t\n" + "".join(f"a,b,{time}\n" for time in times), "csv", columns, **options)


def test_text_ids_stay_as_they_are_written(tmp_path):
    found = read(tmp_path / "a.csv", CSV)
    assert found.users.to_pylist() == ["007", " 8"]
    assert found.items.to_pylist() == ['a "b",\n c', "é"]
    assert found.timestamps.tolist() == [1_700_000_000, 1_600_000_000]
    assert found.ratings.tolist() == [5.0, 2.5] and found.ratings.dtype == np.float32
    assert found.fractions is None and not found.dropped


def test_plain_whole_numbers_are_numbers_in_every_format(tmp_path):
    columns = {"user": "u", "item": "i"}
    pq.write_table(pa.table({"u": pa.array([2, 1], pa.uint8()), "i": ["1", "3"]}), tmp_path / "a.parquet")
    for found in (
        read(tmp_path / "a.csv", "u,i\n2,1\n1,3\n", "csv", columns),
        read(tmp_path / "a.jsonl", '{"u": 2, "i": "1"}\n{"u": 1, "i": "3"}', "jsonl", columns),
        user_file.read({"a.parquet": tmp_path / "a.parquet"}, columns, "parquet"),
    ):
        assert found.users.equals(pa.array([2, 1])) and found.items.equals(pa.array([1, 3]))
        assert found.timestamps is None


@pytest.mark.parametrize("ids", [["01", "2"], ["1", "-2"], ["1", "x"], ["1", "9" * 19]])
def test_one_id_that_is_no_plain_number_makes_all_text(tmp_path, ids):
    found = read(
        tmp_path / "a.csv", "u,i\n" + "".join(f"{name},1\n" for name in ids), "csv", {"user": "u", "item": "i"}
    )
    assert found.users.to_pylist() == ids


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress,
        lzma.compress,
        bz2.compress,
        lambda content: pa.compress(content, "zstd", asbytes=True),
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content + b"\n\n",
        lambda content: content.rstrip(b"\n"),
    ],
    ids=["gz", "xz", "bz2", "zst", "byte order mark", "CRLF", "empty lines at the end", "no line end at the end"],
)
def test_the_same_rows_in_other_bytes(tmp_path, packed):
    plain = CSV.replace(",\n c", "")
    expected, found = read(tmp_path / "a.csv", plain), read(tmp_path / "b.csv", packed(plain.encode()))
    assert found.users.equals(expected.users) and found.items.equals(expected.items)
    assert found.timestamps.tolist() == expected.timestamps.tolist()


def test_tabs_semicolons_and_json_lines(tmp_path):
    columns = {"user": "u", "item": "i", "timestamp": "t"}
    expected = [["x y", "é"], ["7", "08"], [5, 6]]
    for found in (
        read(tmp_path / "a.tsv", "u\ti\tt\nx y\t7\t5\né\t08\t6\n", "tsv", columns),
        read(tmp_path / "a.csv", "u;i;t\nx y;7;5\né;08;6\n", "csv", columns, separator=";"),
        read(tmp_path / "a.jsonl", '{"u":"x y","i":"7","t":5,"z":[]}\n\n{"t":6,"i":"08","u":"é"}', "jsonl", columns),
    ):
        assert [found.users.to_pylist(), found.items.to_pylist(), found.timestamps.tolist()] == expected


def test_iso_times_with_and_without_a_zone(tmp_path):
    found = timed(tmp_path / "a.csv", "2021-03-04", "2021-03-04T05:06:07.125Z", "2021-03-04 05:06+01:30")
    expected = ["2021-03-04T00:00:00+00:00", "2021-03-04T05:06:07+00:00", "2021-03-04T03:36:00+00:00"]
    assert found.timestamps.tolist() == [int(dt.datetime.fromisoformat(text).timestamp()) for text in expected]
    assert found.fractions.tolist() == [0, 125_000, 0]
    assert found.notes["timestamps"] == "ISO 8601 (UTC where no zone is given)"


def test_the_values_decide_between_seconds_and_milliseconds(tmp_path):
    assert timed(tmp_path / "a.csv", 0, 1_700_000_000).timestamps.tolist() == [0, 1_700_000_000]
    found = timed(tmp_path / "a.csv", 1_700_000_000_001, 100_000_000_000)
    assert (found.timestamps.tolist(), found.fractions.tolist()) == ([1_700_000_000, 100_000_000], [1, 0])
    assert found.notes["timestamps"] == "whole milliseconds since 1970, decided by the values"
    assert timed(tmp_path / "a.csv", 5_000, 1_700_000_000_000, timestamps="ms").timestamps.tolist() == [
        5,
        1_700_000_000,
    ]


def test_times_of_a_parquet_file(tmp_path):
    moment = dt.datetime(2021, 3, 4, 5, 6, 7, 125_000)
    expected = int(moment.replace(tzinfo=dt.UTC).timestamp())
    for column, fraction in (
        (pa.array([moment], pa.timestamp("us")), 125_000),
        (pa.array([moment], pa.timestamp("ms", "UTC")), 125),
        (pa.array([moment], pa.timestamp("ns", "Europe/Berlin")), 125_000_000),
    ):
        pq.write_table(pa.table({"u": ["a"], "i": ["b"], "t": column}), tmp_path / "a.parquet")
        columns = {"user": "u", "item": "i", "timestamp": "t"}
        found = user_file.read({"a.parquet": tmp_path / "a.parquet"}, columns, "parquet")
        assert (found.timestamps.tolist(), found.fractions.tolist()) == ([expected], [fraction])


SHOP = """\
  shop:
    source: file
    path: {path}
    columns: {{user: who, item: what, timestamp: when}}
"""
ROWS = "who,what,when\n" + "".join(
    f"c{user},p{(user + step) % 6},2024-01-{step + 1:02d}T00:00:00.{9 - step}00\n"
    for user in range(8)
    for step in range(5)
)


@pytest.fixture
def shop(repository, change) -> Path:
    """A repository whose suite `small` trains on a file that lies elsewhere."""
    path = repository.parent / f"{repository.name}-home-of-alice" / "orders.csv"
    path.parent.mkdir()
    path.write_text(ROWS)
    change("datasets:\n  toy:", "datasets:\n" + SHOP.format(path=path) + "  toy:")
    change("baselines: {datasets: [toy], seeds: [1, 2]}\n  both", "baselines: {datasets: [shop], seeds: [1]}\n  both")
    return path


def planned() -> dict[Path, Request]:
    local_files._listed.cache_clear()
    return plan_requests(load_parameters(), "small", load_registry()).requests


def test_the_plan_of_a_file(shop):
    requests = planned()
    retrieve = requests[Path("results/plan/retrieve/own-shop.json")]
    prepared = requests[Path("results/plan/prepare/shop.json")]
    assert retrieve.parameters == {"dataset": "shop", "file": "orders.csv", "sha256": sha256_file(shop)}
    assert prepared.inputs == ["data/raw/own-shop/orders.csv"]
    assert prepared.parameters["options"] == {
        "columns": {"user": "who", "item": "what", "timestamp": "when"},
        "format": "csv",
    }
    text = json.dumps([request.as_json() for request in requests.values()])
    assert "home-of-alice" not in text


def test_the_steps_give_sequences_and_sidecars_without_the_path(shop):
    from seqrepro.config.requests import write_requests
    from seqrepro.harness import execute

    write_requests(plan_requests(load_parameters(), "small", load_registry()))
    execute("retrieve", Path("results/plan/retrieve/own-shop.json"))
    execute("prepare", Path("results/plan/prepare/shop.json"))
    statistics = json.loads(Path("data/prepared/shop/statistics.json").read_text())
    assert (statistics["n_users"], statistics["n_items"], statistics["n_interactions"]) == (8, 6, 40)
    assert statistics["read"] == {"format": "csv", "timestamps": "ISO 8601 (UTC where no zone is given)"}
    assert "dropped" not in statistics and "filter_steps" not in statistics
    files = [path for path in Path("data").rglob("*") if path.is_file()]
    assert [path for path in files if b"home-of-alice" in path.read_bytes()] == []


def test_identity_follows_content_and_reading_but_not_place_and_title(shop):
    def identity(**changed) -> str:
        local_files._listed.cache_clear()
        fields = {"source": "file", "path": str(shop), "columns": {"user": "who", "item": "what"}} | changed
        return json.dumps(dataset_plan.identity(FileDataset.model_validate(fields), {}))

    first = identity()
    moved = shop.with_name("moved.csv")
    moved.write_bytes(shop.read_bytes())
    assert identity(path=str(moved), title="My shop", format="csv") == first
    others = [
        identity(columns={"user": "what", "item": "who"}),
        identity(columns={"user": "who", "item": "what", "timestamp": "when"}),
        identity(separator=";"),
        identity(timestamps="iso"),
        identity(bad_rows="drop"),
        identity(filter={"k_core": 2}),
    ]
    moved.write_text(ROWS + "c1,p1,2024-02-01\n")
    others.append(identity(path=str(moved)))
    assert len({first, *others}) == len(others) + 1


def test_a_file_is_hashed_again_only_if_size_or_time_changed(shop, monkeypatch):
    planned()
    listed = json.loads(local_files.LIST.read_text())
    assert listed[str(shop)]["sha256"] == sha256_file(shop)
    with monkeypatch.context() as patch:
        patch.setattr(local_files, "sha256_file", lambda path: pytest.fail(f"{path} was hashed again"))
        planned()
    os.utime(shop, ns=(1, 1))
    planned()
    assert json.loads(local_files.LIST.read_text())[str(shop)]["mtime_ns"] == 1


def test_a_damaged_list_only_costs_time(shop):
    before = planned()
    local_files.LIST.write_text("{")
    assert planned() == before


def test_a_file_that_is_not_there_is_one_line_that_names_the_key(shop):
    shop.unlink()
    with pytest.raises(InputError) as caught:
        planned()
    assert str(caught.value) == f"params.yaml: datasets: path: {shop}: no such file; expected your file there"
    shop.mkdir()
    with pytest.raises(InputError, match="found no regular file"):
        planned()


def asked(shop: Path) -> Request:
    local_files._listed.cache_clear()
    wanted = {"dataset": "shop", "file": shop.name, "sha256": local_files.content_sha256(shop)}
    return Request("retrieve", "seqrepro.data.own.adopt", "data/raw/own-shop", [], wanted, [], "")


def test_adopting_copies_what_was_planned_with_and_nothing_else(shop):
    Path("data/raw/own-shop").mkdir(parents=True)
    Path("data/raw/own-shop/older.csv").write_text("x")
    request = asked(shop)
    copied, sums = adopt.run(request)
    assert copied.read_bytes() == shop.read_bytes()
    assert sums.read_text() == f"{sha256_file(shop)}  orders.csv\n"
    assert sorted(path.name for path in copied.parent.iterdir()) == ["SHA256SUMS", "orders.csv"]
    shop.unlink()
    assert adopt.run(request) == [copied, sums]  # it is there already
    copied.unlink()
    with pytest.raises(InputError, match=r"orders\.csv: No such file or directory; it was there when"):
        adopt.run(request)
    shop.write_text("something else")
    with pytest.raises(InputError, match="it has changed; run again"):
        adopt.run(request)
    assert [path.name for path in copied.parent.iterdir()] == ["SHA256SUMS"]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"path": "orders.dat"}, r"found path 'orders\.dat', expected a name that ends in \.csv, \.tsv"),
        ({"columns": {"user": "a", "item": "a"}}, r"found the columns \['a', 'a'\], expected another name for each"),
        ({"path": "orders.tsv", "separator": ";"}, "found a separator, expected it with format csv only"),
    ],
)
def test_what_params_refuse(fields, problem):
    told = {"source": "file", "path": "orders.csv.gz", "columns": {"user": "u", "item": "i"}}
    FileDataset.model_validate(told)
    with pytest.raises(ValueError, match=problem):
        FileDataset.model_validate(told | fields)


def test_order_uses_parts_of_the_second_although_timestamps_are_whole_seconds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "a.csv"
    raw.write_text("u,i,t\nx,late,1700000000900\nx,early,1700000000100\n")
    wanted = {"source": "file", "format": "user_file", "order_source": "timestamp", "filter": {}}
    wanted["options"] = {"columns": {"user": "u", "item": "i", "timestamp": "t"}, "format": "csv"}
    prepare.run(Request("prepare", "seqrepro.data.prepare", "out", [str(raw)], wanted, [], ""))
    assert pq.read_table("out/items.parquet")["source_id"].to_pylist() == ["late", "early"]
    assert pq.read_table("out/sequences.parquet").to_pylist() == [
        {"user": 1, "items": [2, 1], "timestamps": [1_700_000_000, 1_700_000_000]}
    ]


def test_the_yaml_of_the_page_is_valid(repository):
    text = Path("params.yaml").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        declared = yaml.safe_load(block)["datasets"]
        whole = yaml.safe_load(text)
        whole["datasets"] |= declared
        parsed = parse_parameters(yaml.safe_dump(whole), "page").datasets
        assert all(isinstance(parsed[name], FileDataset) for name in declared)

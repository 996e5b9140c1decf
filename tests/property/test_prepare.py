"""Any interactions, written as a CSV file, prepared, and read back as sequences: nothing lost, nothing mixed up."""

import csv
import io
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrepro.data.prepare import run
from seqrepro.data.sequences import read_sequences
from seqrepro.request import Request

COLUMNS = {"user": "who", "item": "what", "timestamp": "when"}
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6).filter(
    lambda text: text.strip() and text not in ("nan", "NaN", "NAN") and not text.lstrip("-")[:1].isdigit()
)
numbers = st.integers(0, 30).map(lambda number: f"{number:02d}")
ids = st.one_of(names, numbers)
rows = st.lists(st.tuples(ids, ids, st.integers(10**11, 10**11 + 5000)), min_size=1, max_size=40)


def prepared(data: list[tuple[str, str, int]]) -> tuple[list[tuple[str, list[str], list[int]]], dict[str, list]]:
    """Each user's source id with item source ids and seconds, in order; and the tables of ids."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([COLUMNS.values(), *data])
    raw = Path("data/raw/own-toy/toy.csv")
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_bytes(text.getvalue().encode())
    wanted = {"source": "file", "format": "user_file", "order_source": "timestamp", "filter": {}}
    wanted["options"] = {"columns": COLUMNS, "format": "csv"}
    folder = Path("data/prepared/toy")
    run(Request("prepare", "seqrepro.data.prepare", str(folder), [str(raw)], wanted, [], ""))
    tables = {
        name: pq.read_table(path) for name in ("users", "items") if (path := folder / f"{name}.parquet").is_file()
    }
    sources = {name: table["source_id"].to_pylist() for name, table in tables.items()}
    found = read_sequences(folder / "sequences.parquet", len(sources["items"]))
    users = sources.get("users", [str(user) for user in found.users.tolist()])
    lists = [(values.tolist(), times.tolist()) for values, times in zip(*_split(found), strict=True)]
    return [
        (users[user - 1], [sources["items"][item - 1] for item in items], times)
        for user, (items, times) in zip(found.users.tolist(), lists, strict=True)
    ], sources | {"users": users}


def _split(found):
    lengths = found.lengths.tolist()
    return found.values.split(lengths), found.timestamps.split(lengths)


@given(rows)
@settings(max_examples=50)
def test_sequences_are_the_sorted_rows(data):
    with TemporaryDirectory() as folder, chdir(folder):
        sequences, _ = prepared(data)
    expected: dict[str, list] = {}
    for who, what, when in sorted(data, key=lambda row: row[2]):  # stable: ties stay in the order of rows
        items, times = expected.setdefault(who, [[], []])
        items.append(what)
        times.append(when // 1000)
    assert {user: [items, times] for user, items, times in sequences} == expected


@given(rows)
@settings(max_examples=50)
def test_ids_are_numbered_one_to_one_from_1(data):
    with TemporaryDirectory() as folder, chdir(folder):
        _, sources = prepared(data)
    for column, name in enumerate(("users", "items")):
        assert len(set(sources[name])) == len(sources[name])
        assert set(sources[name]) == {row[column] for row in data}

"""Readers of files that others made: MovieLens-1M put together from parts, sequences with times, pairs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrepro.data.formats import item_time_sequences, movielens_assembled, s3rec_sequences, user_item_pairs
from seqrepro.data.interactions import number, order
from seqrepro.errors import InputError

HEADER = "user_id\tmovie_id\trating\ttimestamp\tts_lo\tts_hi\tchrono\thow\n"
ROWS = "1\t10\t5\t100\t\t\t1\to\n1\t20\t3\t\t100\t105\t2\tb\n1\t30\t4\t90\t\t\t0\to\n2\t10\t1\t7\t\t\t0\ti\n"


def assembled(folder: Path, rows: str) -> dict[str, Path]:
    (folder / "ratings.tsv").write_text(HEADER + rows)
    (folder / "movies.dat").write_text("10::A::Drama\n20::B::Action|War\n", encoding="latin-1")
    return {name: folder / name for name in ("ratings.tsv", "movies.dat")}


def pair(folder: Path, items: str, times: str) -> dict[str, Path]:
    (folder / "A_item.txt").write_bytes(items.encode())
    (folder / "A_time.txt").write_bytes(times.encode())
    return {name: folder / name for name in ("A_item.txt", "A_time.txt")}


@pytest.mark.parametrize(("imputation", "unknown"), [("low", 100), ("mid", 102), ("high", 105)])
def test_assembled(tmp_path, imputation, unknown):
    read = movielens_assembled.read(assembled(tmp_path, ROWS), imputation)
    assert read.users.to_pylist() == [1, 1, 1, 2]
    assert read.items.to_pylist() == [10, 20, 30, 10]
    assert read.ratings.tolist() == [5, 3, 4, 1]
    assert read.timestamps.tolist() == [100, unknown, 90, 7]
    assert read.ranks.tolist() == [1, 2, 0, 0]
    assert read.attributes == {"10": ("Drama",), "20": ("Action", "War")}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("3\t1\t5\t4\t4\t\t0\to\n", "row 6: found other timestamps, expected either timestamp or ts_lo, and not both"),
        ("3\t1\t5\t\t4\t\t0\tb\n", "row 6: found other timestamps, expected either timestamp or ts_hi, and not both"),
        ("3\t1\t5\t\t5\t4\t0\tb\n", "row 6: found other timestamps, expected ts_lo at most ts_hi"),
        ("3\t1\t5\t4x\t\t\t0\to\n", "row 6: found timestamp '4x', expected an integer or nothing"),
        ("3\t1\t\t4\t\t\t0\to\n", "row 6: found rating '', expected an integer"),
        ("1\t1\t5\t99\t\t\t3\to\n", "row 6: found timestamp 99, expected no step back along chrono"),
        ("3\t1\t5\t4\t\n", "row 6: found 5 columns, expected 8"),
    ],
)
def test_assembled_bad_rows(tmp_path, row, problem):
    paths = assembled(tmp_path, ROWS + row)
    with pytest.raises(InputError) as caught:
        movielens_assembled.read(paths, "low")
    assert str(caught.value).startswith(f"{paths['ratings.tsv']}: {problem}")


def test_another_imputation(tmp_path):
    with pytest.raises(InputError, match=r"options\.imputation: found 'mean', expected one of low, mid, high"):
        movielens_assembled.read(assembled(tmp_path, ROWS), "mean")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_no_imputation_changes_the_order_of_time(tmp_path_factory, steps, random):
    """Bounds that neighbours give both rise along chrono; then so do the lower, middle and upper timestamps."""
    known = sorted(time for time, _, exact in steps if exact) or [0]
    rows = []
    moments = sorted((time, exact) for time, _, exact in steps)
    for chrono, (time, exact) in enumerate(moments):
        low = max((t for t in known if t <= time), default=min(known[0], time))
        high = min((t for t in known if t >= time), default=max(known[-1], time))
        told = f"{time}\t\t" if exact else f"\t{low}\t{high}"
        rows.append(f"1\t{chrono + 1}\t3\t{told}\t{chrono}\t{'o' if exact else 'b'}\n")
    random.shuffle(rows)
    paths = assembled(tmp_path_factory.mktemp("assembled"), "".join(rows))
    for imputation in ("low", "mid", "high"):
        ordered = order(number(movielens_assembled.read(paths, imputation), "rank"))
        assert sorted(ordered.timestamps.tolist()) == ordered.timestamps.tolist()
        assert ordered.items.tolist() == list(range(1, len(moments) + 1))


def test_item_time_sequences(tmp_path):
    read = item_time_sequences.read(pair(tmp_path, "\ufeff5 1 2\r\n3 2\r\n", "5 10 10\n3 7\n"))
    assert read.users.to_pylist() == [5, 5, 3]
    assert read.items.to_pylist() == [1, 2, 2]
    assert read.timestamps.tolist() == [10, 10, 7]


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ("5 10 11\n4 7\n", "row 2: found other users than in the file of items"),
        ("5 10 11\n", "row 2: found other users than in the file of items"),
        ("5 10\n3 7\n", "row 1: found 1 times, expected 2"),
        ("5 10 1.5\n3 7\n", "row 1: found '1.5', expected an integer id"),
    ],
)
def test_item_time_sequences_that_do_not_match(tmp_path, times, problem):
    with pytest.raises(InputError) as caught:
        item_time_sequences.read(pair(tmp_path, "5 1 2\n3 2\n", times))
    assert str(caught.value).startswith(f"{tmp_path / 'A_time.txt'}: {problem}")


def test_pairs(tmp_path):
    path = tmp_path / "ml-1m.txt"
    path.write_bytes(b"1 6393\r\n1 13504\r\n2 7\r\n")
    read = user_item_pairs.read({"ml-1m.txt": path})
    assert read.users.to_pylist() == [1, 1, 2]
    assert read.items.to_pylist() == [6393, 13504, 7]
    assert read.timestamps is None


@pytest.mark.parametrize("row", ["1\n", "1 2 3\n", "1 x\n", "\n"])
def test_pairs_bad_rows(tmp_path, row):
    path = tmp_path / "a.txt"
    path.write_text(f"1 2\n{row}1 3\n")
    with pytest.raises(InputError, match=r"a\.txt: row 2: found"):
        user_item_pairs.read({"a.txt": path})


def test_sequences_skip_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf1 5\r\n2 6")
    assert s3rec_sequences.read({"a.txt": path}).items.to_pylist() == [5, 6]

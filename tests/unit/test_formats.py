"""The formats: what they read, and the one line with file and row when a row is bad."""

from pathlib import Path

import pytest

from seqrepro.data.formats import movielens_u_data, s3rec_sequences, user_item_timestamp_tsv
from seqrepro.errors import InputError

HEADER = "user\titem\ttimestamp\n"


def write(folder: Path, **texts: str | bytes) -> dict[str, Path]:
    paths = {}
    for key, text in texts.items():
        name = key.replace("__", ".")
        paths[name] = folder / name
        paths[name].write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


def test_movielens(tmp_path):
    paths = write(tmp_path, u__data="196\t242\t3\t881250949\n186\t302\t3\t891717742\n196\t302\t1\t881250949\n")
    read = movielens_u_data.read(paths)
    assert read.users.to_pylist() == [196, 186, 196]
    assert read.items.to_pylist() == [242, 302, 302]
    assert read.timestamps.tolist() == [881250949, 891717742, 881250949]
    assert read.timestamps.dtype == "int64"
    assert read.attributes is None


def test_movielens_genres(tmp_path):
    texts = {
        "u__data": "1\t2\t3\t4\n",
        "u__genre": "unknown|0\nAction|1\nDrama|2\n\n",
        "u__item": "1|Café|01-Jan-1995||http://x|0|1|1\n2|Bar|||x|0|0|0\n".encode("latin-1"),
    }
    assert movielens_u_data.read(write(tmp_path, **texts)).attributes == {"1": ("Action", "Drama"), "2": ()}
    with pytest.raises(InputError, match=r"u\.item: row 1: found 7 fields, expected 8"):
        movielens_u_data.read(write(tmp_path, **texts | {"u__item": "1|a|b|c|d|0|1\n"}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1\t2\t3\t4\n1\t2\t3\n", "row 2: found 3 columns, expected 4 (user, item, rating, timestamp)"),
        ("1\t2\t3\t4\n1\t2\t3\t4.5\n", "row 2: found timestamp '4.5', expected an integer"),
        ("1\t2\t3\t4\n1\t2\t3\t\n", "row 2: found timestamp '', expected an integer"),
        ("1\t2\t3\t4\n\n1\t2\t3\t4\n", "row 2: found 1 columns"),
        ("x\t2\t3\t4\n", "row 1: found user 'x', expected an integer"),
        ("1\t2\t3\t99999999999999999999\n", "99999999999999999999"),
        ("", "Empty CSV file"),
    ],
)
def test_movielens_bad_rows(tmp_path, text, problem):
    paths = write(tmp_path, u__data=text)
    with pytest.raises(InputError) as caught:
        movielens_u_data.read(paths)
    assert str(caught.value).startswith(f"{paths['u.data']}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_row_far_down_is_found(tmp_path):
    rows = ["1\t2\t3\t4\n"] * 300_000
    rows[299_000] = "1\t2\tthree\t4\n"
    with pytest.raises(InputError, match="row 299001: found rating 'three'"):
        movielens_u_data.read(write(tmp_path, u__data="".join(rows)))


def test_tsv_with_integer_ids_and_with_others(tmp_path):
    read = user_item_timestamp_tsv.read(write(tmp_path, a__tsv=HEADER + "7\t5\t10\n7\t6\t-3\n"))
    assert read.users.to_pylist() == [7, 7]
    assert read.items.to_pylist() == [5, 6]
    assert read.timestamps.tolist() == [10, -3]
    read = user_item_timestamp_tsv.read(write(tmp_path, a__tsv=HEADER + '7\t007\t10\r\n7\t"B00\t11\r\n'))
    assert read.users.to_pylist() == [7, 7]
    assert read.items.to_pylist() == ["007", '"B00']


def test_tsv_with_attributes(tmp_path):
    paths = write(tmp_path, a__tsv=HEADER + "7\t5\t10\n", b__json='{"5": [1, 2], "6": []}')
    assert user_item_timestamp_tsv.read(paths).attributes == {"5": ("1", "2"), "6": ()}
    with pytest.raises(InputError, match=r"item 5: found 3, expected a list"):
        user_item_timestamp_tsv.read(write(tmp_path, a__tsv=HEADER + "7\t5\t10\n", b__json='{"5": 3}'))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1\t2\t3\n", "row 1: found the header ['1', '2', '3'], expected ['user', 'item', 'timestamp']"),
        (HEADER + "1\t2\t3\n1\t2\tnoon\n", "row 3: found timestamp 'noon', expected an integer"),
        (HEADER + "1\t2\n", "row 2: found 2 columns, expected 3"),
    ],
)
def test_tsv_bad_rows(tmp_path, text, problem):
    with pytest.raises(InputError) as caught:
        user_item_timestamp_tsv.read(write(tmp_path, a__tsv=text))
    assert problem in str(caught.value)


def test_tsv_needs_one_file(tmp_path):
    with pytest.raises(InputError, match=r"found 0 that end in \.tsv"):
        user_item_timestamp_tsv.read(write(tmp_path, a__txt=""))


def test_s3rec_sequences(tmp_path):
    read = s3rec_sequences.read(write(tmp_path, a__txt="2 5 3 5\n1 4\n"))
    assert read.users.to_pylist() == [2, 2, 2, 1]
    assert read.items.to_pylist() == [5, 3, 5, 4]
    assert read.timestamps is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1 2\n2 x\n", "row 2: found 'x', expected an integer id"),
        ("1 2\n2\n", "row 2: found 1 ids, expected a user and at least one item"),
        ("1 2\n\n2 3\n", "row 2: found 0 ids"),
        ("1 2\n1 3\n", "row 2: found user 1 again, expected one line a user"),
    ],
)
def test_s3rec_bad_rows(tmp_path, text, problem):
    paths = write(tmp_path, a__txt=text)
    with pytest.raises(InputError) as caught:
        s3rec_sequences.read(paths)
    assert str(caught.value).startswith(f"{paths['a.txt']}: {problem}")

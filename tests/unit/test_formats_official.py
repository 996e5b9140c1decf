"""Readers of official files, on small files of the same format: what they read, and how they name a bad row."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from seqrepro.data.formats import (
    amazon_ratings_csv,
    amazon_reviews_json,
    hetrec_tags,
    kuairand,
    movielens_csv,
    movielens_dat,
    movielens_u_data,
    steam_reviews,
)
from seqrepro.errors import InputError

KUAIRAND = "user_id,video_id,date,hourmin,time_ms,is_click,tab\n"
TAGS = "userID\tartistID\ttagID\tday\tmonth\tyear\n"
ML_20M = "userId,movieId,rating,timestamp\n"


def write(folder: Path, texts: dict[str, str | bytes]) -> dict[str, Path]:
    for name, text in texts.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return {name: folder / name for name in texts}


def message(read, paths: dict[str, Path]) -> str:
    """The error of a reader: one line that begins with the file, from its row on."""
    with pytest.raises(InputError) as caught:
        read(paths)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{next(iter(paths.values()))}: ")
    return text.split(": ", 1)[1]


def test_movielens_100k_has_ratings(tmp_path):
    read = movielens_u_data.read(write(tmp_path, {"u.data": "1\t2\t3\t4\n1\t3\t5\t4\n"}))
    assert read.ratings.tolist() == [3, 5]
    assert read.ratings.dtype == np.float32


def test_movielens_1m(tmp_path):
    texts = {
        "ratings.dat": "1::1193::5::978300760\r\n1::661::3::978302109\r\n2::1193::4::978298413",
        "movies.dat": "1193::Café (1975)::Drama\n661::A: B::Animation|Children's|Musical\n".encode("latin-1"),
    }
    read = movielens_dat.read(write(tmp_path, texts))
    assert read.users.to_pylist() == [1, 1, 2]
    assert read.items.to_pylist() == [1193, 661, 1193]
    assert read.ratings.tolist() == [5, 3, 4]
    assert read.timestamps.tolist() == [978300760, 978302109, 978298413]
    assert read.attributes == {"1193": ("Drama",), "661": ("Animation", "Children's", "Musical")}
    assert movielens_dat.read(write(tmp_path, {"ratings.dat": texts["ratings.dat"]})).attributes is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1::2::3::4\n1::2::3\n", "row 2: found 3 columns, expected 4 (user, item, rating, timestamp)"),
        ("1::2::3::4\n1:2::2::3::4\n", "row 2: found user '1:2', expected an integer"),
        ("1::2::3::4\n1\t2::2::3::4\n", "row 2: found user '1\\t2', expected an integer"),
        ("1::2::3::4\n1::2::four::4\n", "row 2: found rating 'four', expected an integer"),
    ],
)
def test_movielens_1m_bad_rows(tmp_path, text, problem):
    assert message(movielens_dat.read, write(tmp_path, {"ratings.dat": text})) == problem


def test_movielens_1m_bad_movies(tmp_path):
    paths = write(tmp_path, {"ratings.dat": "1::2::3::4\n", "movies.dat": "1::a::b\n2::Drama\n"})
    with pytest.raises(InputError, match=r"movies\.dat: row 2: found 2 fields, expected 3"):
        movielens_dat.read(paths)


def test_movielens_20m(tmp_path):
    texts = {
        "ratings.csv": "\ufeff" + ML_20M + "1,2,3.5,1112486027\n1,29,0.5,1112484676\n",
        "movies.csv": 'movieId,title,genres\n2,"Président, The ""X"" (1995)",Adventure|Drama\n9,A,(no genres listed)\n',
    }
    read = movielens_csv.read(write(tmp_path, texts))
    assert read.items.to_pylist() == [2, 29]
    assert read.ratings.tolist() == [3.5, 0.5]
    assert read.timestamps.tolist() == [1112486027, 1112484676]
    assert read.attributes == {"2": ("Adventure", "Drama"), "9": ()}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("userId,movieId,rating\n1,2,3\n", "row 1: found the header ['userId', 'movieId', 'rating'], expected ["),
        (ML_20M + "1,2,3.5,4\n1,2,good,4\n", "row 3: found rating 'good', expected a number"),
        (ML_20M + "1,2,nan,4\n1,2,3.5\n", "row 2: found rating 'nan', expected a number"),
        (ML_20M + "1,2,3.5,4\n1,2,3.", "row 3: found 3 columns, expected 4"),
    ],
)
def test_movielens_20m_bad_rows(tmp_path, text, problem):
    assert message(movielens_csv.read, write(tmp_path, {"ratings.csv": text})).startswith(problem)


def test_amazon_ratings_keep_ids_as_text(tmp_path):
    text = "A39HTATAQ9V7YF,0205616461,5.0,1369699200\nÜser,0558925278,3.0,1355443200\n"
    read = amazon_ratings_csv.read(write(tmp_path, {"ratings_Beauty.csv": text}))
    assert read.users.to_pylist() == ["A39HTATAQ9V7YF", "Üser"]
    assert read.items.to_pylist() == ["0205616461", "0558925278"]
    assert read.ratings.tolist() == [5, 3]
    assert read.timestamps.tolist() == [1369699200, 1355443200]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"A,B,5.0,1\nA,B,5.0,noon\n", "row 2: found timestamp 'noon', expected an integer"),
        (b"A,B,5.0,1\nA,B,5.0\n", "row 2: found 3 columns, expected 4 (user, item, rating, timestamp)"),
        (b"A,B,5.0,1\nA\xff,B,5.0,1\n", "row 2: found user 'A\ufffd', expected UTF-8"),
    ],
)
def test_amazon_ratings_bad_rows(tmp_path, text, problem):
    assert message(amazon_ratings_csv.read, write(tmp_path, {"ratings.csv": text})) == problem


def review(**changes) -> str:
    fields = {
        "reviewerID": "A1",
        "asin": "7806397051",
        "helpful": [3, 4],
        "reviewText": 'Un "mélange"\n',
        "overall": 4.0,
    }
    return json.dumps(fields | {"unixReviewTime": 1391040000, "reviewTime": "01 30, 2014"} | changes) + "\n"


@pytest.mark.parametrize("ending", ["json", "json.gz"])
def test_amazon_reviews(tmp_path, ending):
    text = (review() + review(reviewerID="Ä2", overall=1.0, unixReviewTime=0)).encode()
    name = f"reviews_Beauty_5.{ending}"
    read = amazon_reviews_json.read(write(tmp_path, {name: gzip.compress(text) if ending.endswith("gz") else text}))
    assert read.users.to_pylist() == ["A1", "Ä2"]
    assert read.items.to_pylist() == ["7806397051", "7806397051"]
    assert read.ratings.tolist() == [4, 1]
    assert read.timestamps.tolist() == [1391040000, 0]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{'asin': 3}\n", "row 2: found no JSON ("),
        ("[1]\n", "row 2: found list, expected a JSON object"),
        (review(asin=7), "row 2: found asin 7, expected str"),
        (review(overall=None), "row 2: found overall None, expected float"),
        (review(unixReviewTime=1.5), "row 2: found unixReviewTime 1.5, expected int"),
        (review().replace("asin", "isbn"), "row 2: found asin None, expected str"),
        (review()[:40], "row 2: found no JSON ("),
    ],
)
def test_amazon_reviews_bad_lines(tmp_path, line, problem):
    paths = write(tmp_path, {"reviews.json": review() + line})
    assert message(amazon_reviews_json.read, paths).startswith(problem)


def test_amazon_reviews_of_a_broken_download(tmp_path):
    paths = write(tmp_path, {"reviews.json.gz": gzip.compress((review() * 500).encode())[:-20]})
    assert message(amazon_reviews_json.read, paths)


STEAM = (
    "{u'username': u'Chaos Syren', u'hours': 0.1, u'product_id': u'725280', u'date': u'2017-12-17', u'text': u'This'}\n"
    "{u'username': u\"\\u2665 Sym'\", u'product_id': u'328100', u'date': u'1970-01-02', u'text': u\"'date': u'no'\"}\n"
)


@pytest.mark.parametrize("name", ["steam_reviews.json", "steam_reviews.json.gz"])
def test_steam(tmp_path, name):
    text = gzip.compress(STEAM.encode()) if name.endswith("gz") else STEAM
    read = steam_reviews.read(write(tmp_path, {name: text}))
    assert read.users.to_pylist() == ["Chaos Syren", "♥ Sym'"]
    assert read.items.to_pylist() == [725280, 328100]
    assert read.timestamps.tolist() == [1513468800, 86400]
    assert read.ratings is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{u'username': u'a'}\n", "row 3: found no 'product_id', expected username, product_id, date"),
        ("{u'username': open('x')}\n", "row 3: found no dictionary ("),
        ("{u'username': u'a',\n", "row 3: found no dictionary ("),
        ("[1]\n", "row 3: found no dictionary ("),
        ("{u'username': u'a', u'product_id': u'1', u'date': u'last May'}\n", "row 3: found date 'last May', expected"),
    ],
)
def test_steam_bad_lines(tmp_path, line, problem):
    assert message(steam_reviews.read, write(tmp_path, {"steam.json": STEAM + line})).startswith(problem)


def test_kuairand_keeps_milliseconds(tmp_path):
    first = KUAIRAND + "0,7,20220408,1500,1649400000999,0,1\n0,8,20220408,1500,1649400000001,1,1\n"
    second = KUAIRAND + "3,7,20220422,900,1650585600000,1,4\n"
    read = kuairand.read(write(tmp_path, {"a.csv": first, "b.csv": second}))
    assert read.users.to_pylist() == [0, 0, 3]
    assert read.items.to_pylist() == [7, 8, 7]
    assert read.timestamps.tolist() == [1649400000, 1649400000, 1650585600]
    assert read.fractions.tolist() == [999, 1, 0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "user_id,video_id,date\n1,2,3\n",
            "row 1: found the header ['user_id', 'video_id', 'date'], expected a column 't",
        ),
        (KUAIRAND + "0,7,1,1,5,0,1\n0,x,1,1,5,0,1\n", "row 3: found video_id 'x', expected an integer"),
        (KUAIRAND + "0,7,1,1,5,0,1\n0,7,1,1,", "row 3: found 5 columns, expected 7"),
    ],
)
def test_kuairand_bad_rows(tmp_path, text, problem):
    assert message(kuairand.read, write(tmp_path, {"log.csv": text})).startswith(problem)


def test_hetrec_tags_once_a_user_and_artist(tmp_path):
    text = TAGS + "2\t52\t13\t1\t4\t2009\n2\t52\t15\t1\t3\t2009\n2\t53\t13\t31\t12\t1969\n3\t52\t13\t29\t2\t2008\n"
    read = hetrec_tags.read(write(tmp_path, {"user_taggedartists.dat": text}))
    assert read.users.to_pylist() == [2, 2, 3]
    assert read.items.to_pylist() == [52, 53, 52]
    assert read.timestamps.tolist() == [1238544000, -86400, 1204243200]
    assert read.dropped == {"further tags of the same user and artist": 1}


@pytest.mark.parametrize("date", ["30\t2\t2009", "0\t1\t2009", "1\t13\t2009", "1\t0\t2009"])
def test_hetrec_dates_that_do_not_exist(tmp_path, date):
    paths = write(tmp_path, {"tags.dat": TAGS + "1\t1\t1\t1\t1\t2001\n" + f"2\t52\t13\t{date}\n"})
    assert message(hetrec_tags.read, paths) == f"row 3: found {date.replace(chr(9), '.')}, expected a date"

"""Published numbers: reading them, and refusing to compare what is not comparable."""

import pytest

from seqrepro.errors import InputError
from seqrepro.ledger.published import (
    COLUMNS,
    Protocol,
    matches,
    obstacles,
    published_row,
    read_protocol,
    read_published,
    within_level,
)
from seqrepro.ledger.statistics import Estimate, Part

OURS = read_protocol("leave-one-out, full ranking, history masked, ties pessimistic")
DATASET = {"family": "beauty", "variant": "5-core", "published_variants": ["22363"], "comparable": True}
FULL = "leave-one-out, full ranking, seen masked"


def write(path, **changes):
    row = dict.fromkeys(COLUMNS, "") | {"dataset": "beauty", "variant": "5-core 22363 users", "model": "SASRec"}
    row |= {"metric": "ndcg@10", "value": "0.05", "protocol": FULL} | changes
    path.write_text(",".join(COLUMNS) + "\n" + ",".join(f'"{value}"' for value in row.values()) + "\n")
    return path


def published(tmp_path, **changes):
    return read_published([write(tmp_path / "published.csv", **changes)])[0]


def estimate(low, high, covers_seeds=True):
    return Estimate((low + high) / 2, low, high, 0.01, 10, 0.1, covers_seeds, Part(1e-4, 10), Part(0.0, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("leave-one-out, full ranking, history masked, ties pessimistic", Protocol(True, True, True)),
        ("leave-one-out, full ranking, seen unmasked", Protocol(True, True, False)),
        ("leave-one-out, full ranking", Protocol(True, True, None)),
        ("full ranking", Protocol(None, True, None)),
        ("leave-one-out, 100 uniformly sampled negatives", Protocol(True, False, None, "100 uniform")),
        ("leave-one-out, 100 popularity-sampled negatives", Protocol(True, False, None, "100 popularity")),
        ("leave-one-out, 99 sampled negatives", Protocol(True, False, None, None)),
        ("unknown", Protocol(None, None, None)),
    ],
)
def test_a_protocol_says_what_it_says_and_no_more(text, expected):
    assert read_protocol(text) == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"protocol": "leave-one-out, full ranking, seen unmasked"}, None),
        ({"protocol": "full ranking, seen masked"}, "split not stated"),
        ({"protocol": "leave-one-out, full ranking"}, "history masking not stated"),
        ({"protocol": "leave-one-out, 99 sampled negatives, masked"}, "sampled candidates"),
        ({"variant": "12101 items"}, "variant not known to agree (theirs: 12101 items; ours: 5-core)"),
        ({"variant": ""}, "variant not known to agree (theirs: not stated; ours: 5-core)"),
    ],
)
def test_only_the_same_protocol_and_variant_are_comparable(tmp_path, changes, reason):
    assert obstacles(published(tmp_path, **changes), OURS, DATASET) == ([reason] if reason else [])


def test_a_dataset_whose_levels_are_not_comparable_says_why(tmp_path):
    ours = DATASET | {"comparable": False, "caveat": "a quarter of the timestamps is imputed"}
    assert obstacles(published(tmp_path), OURS, ours) == ["our data: a quarter of the timestamps is imputed"]


def test_a_dataset_that_names_no_published_variant_is_comparable_with_none(tmp_path):
    found = obstacles(published(tmp_path), OURS, {"family": "beauty", "variant": "5-core", "comparable": True})
    assert found and found[0].startswith("variant not known to agree")


def test_unmasked_numbers_stand_beside_our_unmasked_ones(tmp_path):
    ours = ("masked", "unmasked")
    assert published(tmp_path).ranking(ours) == "masked"
    assert published(tmp_path, protocol="leave-one-out, full ranking, seen unmasked").ranking(ours) == "unmasked"


def test_numbers_among_negatives_stand_beside_our_sampled_ones_where_there_are_any(tmp_path):
    theirs = published(tmp_path, protocol="leave-one-out, 100 uniformly sampled negatives")
    assert theirs.ranking(("masked", "unmasked")) == "masked"
    assert theirs.ranking(("masked", "unmasked", "sampled")) == "sampled"


@pytest.mark.parametrize(
    ("theirs", "ours", "reason"),
    [
        ("leave-one-out, 100 uniformly sampled negatives", "100 uniform negatives", None),
        ("leave-one-out, 100 popularity-sampled negatives", "100 popularity negatives", None),
        (
            "leave-one-out, 100 popularity-sampled negatives",
            "100 uniform negatives",
            "other candidates (theirs: 100 popularity; ours: 100 uniform)",
        ),
        (
            "leave-one-out, 99 sampled negatives, masked",
            "99 uniform negatives",
            "other candidates (theirs: not stated; ours: 99 uniform)",
        ),
    ],
)
def test_sampled_numbers_are_comparable_only_among_the_same_kind_and_number(tmp_path, theirs, ours, reason):
    protocol = read_protocol(f"leave-one-out, ranked among {ours}, ties pessimistic")
    assert obstacles(published(tmp_path, protocol=theirs), protocol, DATASET) == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("theirs", "reason"), [(FULL, "other split"), ("full ranking, seen masked", "split not stated")]
)
def test_a_temporal_split_is_comparable_with_no_published_number(tmp_path, theirs, reason):
    shares = "validation 0.1, test 0.1, first target"
    ours = read_protocol(f"global temporal split ({shares}), full ranking, history masked, ties pessimistic")
    assert ours.leave_one_out is False
    assert obstacles(published(tmp_path, protocol=theirs), ours, DATASET) == [reason]


def test_recall_is_hit_rate_when_there_is_one_target(tmp_path):
    assert published(tmp_path, metric="Recall@10").metric == "hit_rate@10"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (estimate(0.98, 1.02), "yes"),
        (estimate(0.90, 0.94), "no"),
        (estimate(1.06, 1.20), "no"),
        (estimate(0.90, 1.10), "undecided"),
        (estimate(0.98, 1.02, covers_seeds=False), "undecided (one seed)"),
    ],
)
def test_a_level_is_reproduced_when_the_whole_interval_is_within_five_percent(found, expected):
    assert within_level(found, 1.0) == expected


def test_model_names_match_whatever_their_case(tmp_path):
    number = published(tmp_path, model="sasrec")
    assert matches(number, {"published_as": ["SASRec"]}, DATASET)
    assert not matches(number, {"published_as": ["SASRec+"]}, DATASET)
    assert not matches(number, {"published_as": ["SASRec"]}, DATASET | {"family": "ml-1m"})
    assert not matches(number, {"published_as": None}, DATASET)


def test_a_row_without_our_run_keeps_the_published_number(tmp_path):
    row = published_row(published(tmp_path), None, [])
    assert (row["published"], row["ours"], row["difference"], row["comparable"]) == (0.05, None, None, "yes")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"value": "n/a"}, "line 2: value 'n/a'"), ({"value": "5.2"}, "line 2: ndcg@10 is 5.2, expected a fraction")],
)
def test_wrong_values_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        published(tmp_path, **changes)


def test_wrong_columns_are_refused(tmp_path):
    (tmp_path / "published.csv").write_text("paper,value\nx,1\n")
    with pytest.raises(InputError, match="columns paper,value, expected paper,table"):
        read_published([tmp_path / "published.csv"])


def test_a_short_line_is_refused(tmp_path):
    (tmp_path / "published.csv").write_text(",".join(COLUMNS) + "\nx,1\n")
    with pytest.raises(InputError, match="line 2: expected 12 fields"):
        read_published([tmp_path / "published.csv"])

"""The survey: descriptions of datasets in the words of published statistics."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from seqrepro.ledger.datasets import ENTROPY, LENGTH_ALONE, PUBLISHED, SPLITS, STATISTICS, WINDOWS, facts, run
from seqrepro.request import Request


def window(last, tokens, users_longer, users_with_longer_training, lempel_ziv, user_mean):
    both = {"signed": user_mean, "absolute": user_mean and -user_mean}
    alone = {"without_repeats": {"signed": -0.25, "absolute": 0.25}}
    approximate = {"user_mean": both, "pooled": both, "concat": both, "authors": 0.0} | alone
    ziv = {"entropy": lempel_ziv, "reciprocal": 1 / lempel_ziv}
    return {
        "last": last,
        "tokens": tokens,
        "users_longer": users_longer,
        "users_with_longer_training": users_with_longer_training,
        "train_items": 6880,
        "train_targets": 5880,
        "entropy": {
            "approximate_entropy": {"2": approximate | {"undefined_users": 7, "users_without_repeats": 9}},
            "repeats": {"users": 9, "share": 0.125},
            "shannon_bits": {"pooled": 3.0},
            "zlib_ratio": {"chunk_mean": None},
            "lempel_ziv": {"tokens": tokens, "authors": ziv, "kontoyiannis": ziv},
        },
    }


DESCRIBED = {
    "n_users": 1000,
    "n_items": 40,
    "n_interactions": 8880,
    "density": 0.222,
    "length": {"min": 5, "median": 6.0, "mean": 8.88, "max": 60},
    "repeated_interactions": 0,
    "timestamps": {"first": 0, "last": 9, "ties": 4, "reversals": 0},
    "order_source": "timestamp",
    "attributes": {"distinct": 637, "per_item": 3.72, "items_without": 1},
    "verified": True,
    "windows": [
        window(50, tokens=8800, users_longer=12, users_with_longer_training=10, lempel_ziv=4.0, user_mean=None),
        window(None, tokens=8880, users_longer=0, users_with_longer_training=0, lempel_ziv=5.0, user_mean=-0.5),
    ],
    "splits": [{"compared_with_leave_one_out": "leave_one_out_recbole", "users": 1000, "test_targets_differ": 30}],
}
DATASET = {"title": "Shop", "family": "shop", "variant": "as told", "class": "third-party", "caveat": None}
COLUMNS = "paper,table,dataset,variant,model,metric,value,reported_by,source,source_class,protocol,note"


def published(*rows: tuple[str, ...]) -> str:
    return "\n".join([COLUMNS, *(_line(*row) for row in rows)]) + "\n"


def _line(variant, metric, value, dataset="shop", model="(data set)"):
    return f'p,t,{dataset},"{variant}",{model},{metric},{value},them,there,primary,not applicable,'


@pytest.fixture
def survey(tmp_path, monkeypatch):
    """Run the survey on the description and on published rows (variant, metric, value): its tables by name."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results/datasets/shop")
    folder.mkdir(parents=True)
    (folder / "statistics.json").write_text(json.dumps(DESCRIBED))

    def surveyed(*rows):
        Path("published.csv").write_text(published(*rows))
        wanted = {"datasets": {"shop": DATASET, "absent": DATASET}}
        written = run(Request("survey", "m", "results/s/datasets", ["published.csv"], wanted, [], ""))
        return {path.stem: pq.read_table(path).to_pylist() for path in written if path.suffix == ".parquet"}

    return surveyed


def test_facts_speak_the_language_of_published_statistics():
    found = facts(DESCRIBED)
    assert found["users", None] == 1000
    assert found["interactions_per_item", None] == 222
    assert found["sparsity_percent", None] == pytest.approx(77.8)
    assert found["steps_per_epoch_at_batch_256", None] == 4
    assert found["users_longer_than_50", None] == 12
    assert found["users_with_at_most_50_training_items_percent", None] == 99.0
    assert found["train_targets_at_l50", None] == 5880
    assert found["pretraining_prefixes", None] == 6880
    assert (found["attributes", None], found["attributes_per_item", None]) == (637, 3.72)
    assert found["tokens", 50] == 8800
    assert found["s'_real", 50] == 0.25
    assert ("tokens", None) not in found


@pytest.mark.parametrize(
    ("printed", "agrees"),
    [("8.88", "yes"), ("8.9", "yes"), ("9", "yes"), ("8.8", "no"), ("8.880", "yes"), ("8.881", "no"), ("0.9e1", "yes")],
)
def test_agreement_is_at_the_printed_digits(survey, printed, agrees):
    [row] = survey(("v", "average_length", printed))["published"]
    assert row["agrees"] == agrees
    assert row["relative_difference"] == pytest.approx(8.88 / float(printed) - 1)


def test_a_window_is_read_from_the_variant_and_what_we_did_not_measure_is_left_out(survey):
    rows = survey(("v, S_max 50", "tokens", "8800"), ("v, S_max 25", "tokens", "7000"), ("v", "1/d", "1"))["published"]
    assert [(row["window"], row["ours"], row["agrees"]) for row in rows] == [(50, 8800, "yes")]


def test_of_other_variants_the_counts_alone_are_shown(survey):
    rows = survey(("b", "users", "1000"), ("b", "items", "41"), ("b", "max_length", "60"))["published"]
    assert [row["measure"] for row in rows] == ["users", "items"]


def test_same_counts_look_at_the_users_and_items_of_the_same_source(survey):
    rows = survey(
        ("a", "users", "1000"),
        ("a", "items", "40"),
        ("a, S_max 50", "tokens", "1"),
        ("b", "users", "1000"),
        ("b", "items", "41"),
        ("c", "interactions", "8880"),
    )["published"]
    assert [row["same_counts"] for row in rows] == ["yes", "yes", "yes", "no", "no", "not stated"]


def test_other_families_and_accuracies_stay_out(survey):
    rows = survey(("v", "users", "1"), ("v", "items", "2", "other"), ("v", "ndcg@10", "0.1", "shop", "SASRec"))[
        "published"
    ]
    assert [row["measure"] for row in rows] == ["users"]


def test_each_number_says_its_class_and_what_is_absent_is_left_out(survey):
    tables = survey(("v", "users", "1000"))
    assert tables.pop("windows") == []
    assert all({row["dataset"] for row in rows} == {"shop"} for rows in tables.values())
    assert {row["class"] for rows in tables.values() for row in rows} == {"third-party"}
    assert tables["splits"][0]["test_percent"] == 3.0


def test_the_tables_have_their_schemas(survey):
    tables = survey(("v", "users", "1000"), ("v, S_max 50", "tokens", "1"))
    for name, schema in {
        "statistics": STATISTICS,
        "published": PUBLISHED,
        "splits": SPLITS,
        "entropy": ENTROPY,
        "length_alone": LENGTH_ALONE,
        "windows": WINDOWS,
    }.items():
        assert list(tables[name][0]) == schema.names


def test_undefined_entropies_are_null(survey):
    short, whole = survey()["entropy"]
    assert (short["window"], whole["window"]) == (50, None)
    assert (short["user_mean"], whole["user_mean"]) == (None, -0.5)
    assert short["zlib_ratio"] is None
    assert (whole["apen_order"], whole["undefined_users"], whole["users_without_repeats"]) == (2, 7, 9)
    assert (whole["lempel_ziv_authors"], whole["lempel_ziv_tokens"]) == (5.0, 8880)


def test_entropy_beside_what_length_alone_makes_of_it(survey):
    short, whole = survey()["length_alone"]
    assert (short["user_mean_absolute"], short["length_alone"], short["difference"]) == (None, 0.25, None)
    assert (whole["user_mean_absolute"], whole["length_alone"], whole["difference"]) == (0.5, 0.25, 0.25)
    assert (whole["users"], whole["users_with_repeats"], whole["repeats_percent"]) == (1000, 9, 12.5)


def test_a_published_window_stands_beside_ours_of_the_same_counts(survey):
    counts = [("a", "users", "1000"), ("a", "items", "40"), ("b", "users", "1000"), ("b", "items", "41")]
    rows = survey(*counts, *((f"{v}, S_max 50", "tokens", "8801") for v in "ab"), ("a, S_max 50", "s'_real", "0.26"))
    same, other = rows["windows"]
    assert (same["dataset"], same["tokens_published"], same["tokens_ours"]) == ("shop", 8801, 8800)
    assert (same["s'_real_published"], same["s'_real_ours"], same["same_tokens_in"]) == (0.26, 0.25, None)
    assert (other["dataset"], other["tokens_ours"], other["s'_real_published"]) == (None, None, None)


def test_exchanged_cells_are_found_by_their_tokens(survey):
    """What is printed for another dataset, at another window, is what ours has to the last digit."""
    [row] = survey(("S_max 25", "tokens", "8800", "elsewhere"))["windows"]
    assert (row["dataset_theirs"], row["window"], row["dataset"]) == ("elsewhere", 25, None)
    assert row["same_tokens_in"] == "shop (last 50)"

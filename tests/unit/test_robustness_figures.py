"""Figures of robustness: dots for one strength, curves for several, slices; each beside its rows."""

from math import isclose

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from seqrepro.files import write_parquet
from seqrepro.probes import slices
from seqrepro.probes.robustness import SCHEMA
from seqrepro.report import robustness

SHARES = {"none": 1.0, "shuffle": 0.8, "drop_last-1": 0.6, "swap-0.1": 0.95, "swap-0.2": 0.9, "delete-0.1": 0.7}
NOISE = {"none": 1.0, "insert_random-0.2": 0.9, "insert_random-0.05": 0.97}
BINS = [(0, 0, 0), (1, 5, 40), (6, None, 10)]


@pytest.fixture
def runs(tmp_path):
    """A model with two seeds, a closed form, and a model without probes."""
    found = []
    for name, value, seeds in (("one", 0.2, [1, 2]), ("closed", 0.1, [0]), ("none", 0.0, [])):
        folder = tmp_path / name
        found.append({"title": name.title(), "folder": str(folder), "seeds": seeds or [1]})
        for seed in seeds:
            write(folder / f"seed-{seed}/probes", value, seed)
    return found


def write(folder, value, seed):
    for probe, shares in (("noise", NOISE), ("robustness", SHARES)):
        rows = [
            (name, metric, value * share * (1 if name == "none" else 1 - seed / 100), share - 1)
            for name, share in shares.items()
            for metric in ("ndcg@10", "mrr@5")
        ]
        write_parquet(folder / probe / "robustness.parquet", table(rows, SCHEMA))
    rows = [
        (name, low, high, users, metric, value + seed / 100 if users else None, 0.01 if users else None)
        for name in ("history", "popularity")
        for low, high, users in BINS
        for metric in ("ndcg@10", "mrr@5")
    ]
    write_parquet(folder / "slices/slices.parquet", table(rows, slices.SCHEMA))


def table(rows, schema):
    return pa.table([*map(list, zip(*rows, strict=True))], schema=schema)


def test_all_probes_of_a_run_are_read(runs):
    rows = robustness.read_robustness(runs)
    assert len(rows) == 3 * (len(SHARES) + len(NOISE) - 2)
    assert {row["metric"] for row in rows} == {"ndcg@10"} and "none" not in {row["perturbation"] for row in rows}
    shuffled = [row for row in rows if row["perturbation"] == "shuffle"]
    assert [(row["title"], row["seed"]) for row in shuffled] == [("One", 1), ("One", 2), ("Closed", 0)]
    assert [row["perturbed"] / row["original"] for row in shuffled] == pytest.approx([0.792, 0.784, 0.8])
    assert len(robustness.read_slices(runs)) == 3 * 2 * 3


def test_several_strengths_make_a_curve_and_one_a_dot(runs, tmp_path):
    drawn = robustness.robustness(tmp_path / "figures", "toys", "Toys", robustness.read_robustness(runs))
    assert [one.name for one in drawn] == ["robustness-toys", "robustness-toys-by-strength"]
    shown = [set(pq.read_table(one.files[2])["perturbation"].to_pylist()) for one in drawn]
    assert shown == [
        {"shuffle", "drop_last-1", "delete-0.1"},
        {"swap-0.1", "swap-0.2", "insert_random-0.2", "insert_random-0.05"},
    ]
    assert [">Random items inserted<" in one.svg for one in drawn] == [False, True]
    assert [">Random items deleted<" in one.svg for one in drawn] == [False, False]
    for one in drawn:
        assert [path.suffix for path in one.files] == [".svg", ".png", ".parquet", ".csv"]
        assert "Toys" in one.alt and ">Closed<" in one.svg
    assert robustness.robustness(tmp_path / "figures", "toys", "Toys", []) == []


def test_slices_have_a_panel_each_and_no_empty_bins(runs, tmp_path):
    (drawn,) = robustness.slices(tmp_path / "figures", "toys", "Toys", robustness.read_slices(runs))
    assert drawn.name == "slices-toys" and len(pq.read_table(drawn.files[2])) == 18
    assert ">Users by length of history<" in drawn.svg and ">Users by popularity of the target<" in drawn.svg
    assert drawn.svg.count(">above 5<") == 2 and ">0<" not in drawn.svg
    assert robustness.slices(tmp_path / "figures", "toys", "Toys", []) == []


def test_the_same_rows_give_the_same_bytes(runs, tmp_path):
    rows = robustness.read_slices(runs)
    before = [path.read_bytes() for path in robustness.slices(tmp_path / "a", "toys", "Toys", rows)[0].files]
    assert [path.read_bytes() for path in robustness.slices(tmp_path / "a", "toys", "Toys", rows)[0].files] == before


def seed(mean, error, users=50):
    return {"mean": mean, "standard_error": error, "users": users}


def test_the_interval_of_a_bin_covers_users_and_seeds():
    users = stats.t.ppf(0.975, 49) * 0.01
    assert robustness.bin_reach([seed(0.2, 0.01)]) == pytest.approx(users)
    assert robustness.bin_reach([seed(0.2, 0.01)] * 3) == pytest.approx(users)
    apart = [seed(0.1, 1e-9), seed(0.2, 1e-9), seed(0.3, 1e-9)]
    low, high = stats.t.interval(0.95, 2, loc=0.2, scale=0.1 / 3**0.5)
    assert isclose(robustness.bin_reach(apart), (high - low) / 2, rel_tol=1e-6)
    assert robustness.bin_reach([seed(0.1, 0.01), seed(0.2, 0.01), seed(0.3, 0.01)]) > users
    assert robustness.bin_reach([seed(0.2, None, users=1)]) == 0

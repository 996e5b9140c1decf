"""Our own runs as points of the Performance Law: what is read, which panels are complete, the tables made from it."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from made_points import DEPTHS, WIDTHS, entry, grid, write_all, write_measures, write_run
from seqrepro.errors import InputError
from seqrepro.files import write_json
from seqrepro.laws.forms import forms
from seqrepro.laws.frameworks import framework_rows
from seqrepro.laws.interventions import agreement_rows, intervention_rows
from seqrepro.laws.losses import fit_loss, loss_rows
from seqrepro.laws.measures import AMOUNTS, amount, read_measures
from seqrepro.laws.own import own_optima, read_own, write_own
from seqrepro.laws.points import own_grids, read_points
from seqrepro.laws.shapes import Shape

SHAPE = Shape(-0.03, -0.05, -0.4, -0.18)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def on_the_law(one):
    """A metric that the law describes, a little higher with each seed."""
    return float(SHAPE.predict(np.array(one["n_blocks"]), np.array(one["d_emb"]))) + 0.2 + 0.001 * one["seed"]


def read(entries):
    rows = read_points(entries)
    return rows, list(own_grids(entries, rows))


def test_a_point_says_what_ran_and_what_came_out():
    one = entry("sasrec", "ml-100k", 2, 16)
    write_run(one, 0.25, loss=3.0)
    write_measures(one, 1234.0)
    (row,) = read_points([one, entry("sasrec", "ml-100k", 4, 16)])
    assert (row["n_blocks"], row["d_emb"], row["data"], row["masking"]) == (2, 16, "all", "masked")
    assert (row["hit_rate@10"], row["ndcg@50"], row["test_nll"], row["validation_nll"]) == (0.25, 0.25, 3.0, 1.0)
    assert (row["validation_ndcg@10"], row["validation_hit_rate@10"]) == (0.35, 0.35)
    assert (row["train_loss"], row["train_loss_last"]) == (3.0, 2.5)
    assert (row["tokens"], row["apen"], row["s_real"], row["zlib"]) == (1234.0, 0.02, 2.0, 0.2)


def test_generated_data_are_ranked_without_masking():
    one = entry("sasrec", "made", 2, 16, data_class="generated")
    write_run(one, 0.25)
    assert [(row["masking"], row["hit_rate@10"]) for row in read_points([one])] == [("unmasked", 0.9)]


def test_a_run_without_measures_is_a_point_without_amounts():
    one = entry("sasrec", "ml-100k", 2, 16)
    write_run(one, 0.25)
    (row,) = read_points([one])
    assert row["tokens"] is None
    assert [amount(name, row) for name in AMOUNTS] == [None] * len(AMOUNTS)


def test_amounts_of_data():
    one = entry("sasrec", "ml-100k", 2, 16)
    write_measures(one, 1000.0)
    row = read_measures(one["measures"], 50)
    found = {name: amount(name, row) for name in AMOUNTS}
    assert found["tokens"] == 1000 and found["tokens / s_real"] == 500 and found["tokens * s_real"] == 2000
    assert found["tokens / apen"] == pytest.approx(50000) and found["tokens * zlib"] == pytest.approx(200)
    assert amount("tokens / apen", row | {"apen": 0.0}) is None
    assert amount("tokens * apen", row | {"apen": 0.0}) is None


def test_measures_of_another_window_are_refused():
    one = entry("sasrec", "ml-100k", 2, 16)
    write_measures(one, 1000.0)
    with pytest.raises(InputError, match="found none of the last 20 items"):
        read_measures(one["measures"], 20)
    write_json(Path(one["measures"]), {"windows": [{"last": 50, "tokens": 1}]})
    with pytest.raises(InputError, match="no 'sequences', expected as step measure writes it"):
        read_measures(one["measures"], 50)


def test_only_seeds_that_ran_everywhere_count():
    entries = grid(seeds=(1, 2, 3))
    write_all(entries, on_the_law)
    (Path(entries[-1]["folder"]) / "metrics.json").unlink()  # of seed 3
    rows, (found,) = read(entries)
    assert len(rows) == 47 and found.words["seeds"] == 2
    panel = found.panel("ndcg@10")
    assert panel.by_seed.shape == (2, 16) and panel.name["points"] == "own"
    np.testing.assert_allclose(panel.values, [on_the_law(one | {"seed": 1.5}) for one in entries[:16]])


def test_a_panel_needs_a_whole_seed_and_three_levels():
    entries = grid(seeds=(1,))
    write_all(entries[:-1], on_the_law)
    assert read(entries)[1] == []
    small = [one for one in entries if one["n_blocks"] < 4]
    write_all(small, on_the_law)
    assert read(small)[1] == []


def test_points_beside_a_grid_that_are_in_it_change_nothing_and_others_leave_it_open():
    entries = grid()
    inside, outside = entry("sasrec", "ml-100k", 2, 64, seed=7), entry("sasrec", "ml-100k", 3, 64)
    write_all([*entries, inside, outside], on_the_law)
    (found,) = read([*entries, inside])[1]
    assert found.words["seeds"] == 2
    assert read([*entries, outside])[1] == []


def test_different_data_are_different_panels():
    entries = grid() + grid(data="50 % of the users")
    write_all(entries, on_the_law)
    found = read(entries)[1]
    assert [one.first["data"] for one in found] == ["all", "50 % of the users"]
    assert found[0].log_amount("tokens") == pytest.approx(math.log(10000))


def test_the_tables_of_own_points():
    entries = grid()
    write_all(entries, on_the_law)
    rows, grids = read_own(entries)
    every = forms([1, 2, 4])
    write_own(Path("laws"), rows, grids, every)
    own = pq.read_table("laws/own.parquet").to_pylist()
    assert [(row["model"], row["metric"], row["points"], row["seeds"]) for row in own] == [
        ("sasrec", "hit_rate@10", "own", 2),
        ("sasrec", "ndcg@10", "own", 2),
    ]
    assert all(row["r2"] == pytest.approx(1, abs=1e-7) and row["log_linear_r2"] < row["r2"] for row in own)
    optima = list(own_optima(grids, [1, 2, 4], 20, 1))
    assert optima[0]["n_star"] == pytest.approx(0.5 ** (1 / SHAPE.w3), rel=0.01)
    assert optima[0]["points"] == "own" and optima[0]["data_class"] == "primary"


def test_without_runs_the_tables_are_empty_and_have_their_columns():
    entries = grid()
    rows, grids = read_own(entries)
    names = {path.stem for path in write_own(Path("laws"), rows, grids, forms([2]))}
    assert names == {"points", "own", "replicates", "losses", "frameworks", "interventions", "agreement"}
    for name in names:
        assert pq.read_table(f"laws/{name}.parquet").num_rows == 0
        head = Path(f"laws/{name}.csv").read_text().splitlines()
        assert len(head) == 1 and "dataset" in head[0]


def test_a_metric_that_is_the_same_everywhere_is_not_fitted():
    entries = grid()
    write_all(entries, lambda _: 0.5)
    rows, grids = read_own(entries)
    write_own(Path("laws"), rows, grids, forms([2]))
    assert pq.read_table("laws/own.parquet").num_rows == 0 and len(rows) == 32


def test_losses_by_depth():
    entries = grid(seeds=(1, 2, 3))

    def loss(one):
        return 2 * one["n_blocks"] ** -0.7 + 0.5 + 0.01 * one["seed"] * one["n_blocks"]

    write_all(entries, lambda one: -abs(one["n_blocks"] - 4), loss)
    rows = list(loss_rows(read(entries)[1]))
    assert [row["d_emb"] for row in rows] == list(WIDTHS)
    first = rows[0]
    assert (first["deepest"], first["best_depth"], first["seeds"]) == (8, 4, 3)
    changes = [loss({"n_blocks": 8, "seed": seed}) - loss({"n_blocks": 4, "seed": seed}) for seed in (1, 2, 3)]
    assert first["loss_last_change"] == pytest.approx(np.mean(changes))
    assert first["loss_last_change_low"] < np.mean(changes) < first["loss_last_change_high"] < 0


def test_the_loss_curve_is_recovered():
    depths = np.array([1.0, 2, 4, 8, 16])
    r2, exponent, offset = fit_loss(depths, 3 * depths**-0.4 + 0.7)
    assert (
        r2 == pytest.approx(1) and exponent == pytest.approx(0.4, rel=1e-3) and offset == pytest.approx(0.7, abs=1e-3)
    )
    rising = fit_loss(depths, np.log(depths))
    assert rising[0] == pytest.approx(0, abs=1e-6)  # nothing of it falls


def test_frameworks_in_the_claimed_order():
    def metric(one):
        strong = {"llama": 2.0, "hstu": 1.0}[one["model"]]
        noise = 1e-4 * math.sin(37 * one["n_blocks"] + one["d_emb"] + one["seed"])
        return 0.2 + strong * (on_the_law(one) - 0.2) + noise

    entries = grid("hstu", seeds=(1, 2)) + grid("llama", seeds=(1, 2))
    write_all(entries, metric)
    rows = [row for row in framework_rows(read(entries)[1]) if row["metric"] == "ndcg@10"]
    assert {(row["better"], row["worse"]) for row in rows} == {("llama", "hstu")}
    depth = next(row for row in rows if row["weight"] == "depth")
    assert depth["value_of_worse"] == pytest.approx(-SHAPE.w1, rel=0.2)
    assert depth["difference_low"] < 0.03 < depth["difference_high"]
    assert len(rows) == 4


def test_architectures_on_different_grids_are_not_compared():
    entries = grid("hstu") + [one for one in grid("llama") if one["d_emb"] > 16]
    write_all(entries, on_the_law)
    assert list(framework_rows(read(entries)[1])) == []


def interventions(entropy, metric, tokens=1000.0):
    """The rows of a pair of training sets: all data, and another with some entropy and metric a seed."""
    entries = [entry("sasrec", "ml-100k", 2, 64, data, seed) for data in ("all", "other") for seed in (1, 2, 3)]
    for one in entries:
        other = one["data"] == "other"
        write_run(one, metric(one) if other else 0.2 + 0.01 * one["seed"])
        write_measures(one, tokens if other else 1000.0, entropy if other else 2.0)
    return list(intervention_rows(read_points(entries)))


def test_accuracy_that_falls_with_the_measure_agrees_with_it():
    rows = interventions(1.0, lambda one: 0.1 + 0.0101 * one["seed"])
    found = {row["measure"]: row for row in rows if row["metric"] == "ndcg@10"}
    assert set(found) == {
        *("tokens / s_real", "tokens * s_real", "tokens * lempel-ziv", "tokens * shannon", "tokens * zlib")
    }
    times, over = found["tokens * s_real"], found["tokens / s_real"]
    assert (times["change_of_data"], over["change_of_data"]) == pytest.approx((-math.log(2), math.log(2)))
    assert times["change"] == over["change"] == pytest.approx(-0.0998)
    assert times["agreement_low"] > 0 > over["agreement_high"]
    assert times["agreement"] == -over["agreement"] and times["seeds"] == 3


def test_pairs_are_counted_by_measure():
    falling = interventions(1.0, lambda one: 0.1 + 0.0101 * one["seed"])
    unclear = interventions(1.0, lambda one: 0.2 + 0.02 * (one["seed"] - 1.5))
    found = {row["measure"]: row for row in agreement_rows(falling + unclear) if row["metric"] == "ndcg@10"}
    counts = [[found[name][key] for key in ("pairs", "agreeing", "opposed", "open")] for name in sorted(found)[-2:]]
    assert sorted(found)[-2:] == ["tokens * zlib", "tokens / s_real"]
    assert counts == [[2, 1, 0, 1], [2, 0, 1, 1]]


def test_a_pair_of_one_seed_is_not_counted():
    (row, *_) = interventions(1.0, lambda one: 0.1 + 0.0101 * one["seed"])
    alone = row | {"agreement_low": None, "agreement_high": None}
    assert list(agreement_rows([alone])) == []


def test_other_tokens_or_the_same_measure_make_no_pair():
    assert interventions(1.0, lambda _: 0.1, tokens=1020.0) == []
    assert interventions(2.001, lambda _: 0.1) == []


def test_the_levels_of_the_made_grid():
    assert len(grid(seeds=(1,))) == len(DEPTHS) * len(WIDTHS)

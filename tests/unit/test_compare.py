"""The compare step on a small suite: what it writes, and that it reads rank files alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from seqrepro.errors import InputError
from seqrepro.files import sha256_file, write_parquet
from seqrepro.ledger import compare
from seqrepro.ledger.evidence import collect


def rows(name):
    return pq.read_table(f"results/standard/tables/{name}.parquet").to_pylist()


def of(table, **wanted):
    return [row for row in table if all(row[key] == value for key, value in wanted.items())]


@pytest.fixture
def written(compared_suite, monkeypatch):
    root, files = compared_suite
    monkeypatch.chdir(root)
    return files


def test_it_writes_what_it_returns_and_the_same_bytes_again(compared_suite, compare_request):
    written = compared_suite[1]
    names = {path.name for path in written}
    assert names >= {"metrics.json", "metrics.parquet", "metrics.csv", "metrics.md", "metrics.tex", "runs.parquet"}
    assert names >= {"published.parquet", "published.csv", "published.md", "comparisons.parquet", "comparisons.md"}
    before = {path: sha256_file(path) for path in written}
    assert {path: sha256_file(path) for path in compare.run(compare_request)} == before


def test_means_are_those_of_the_rank_files(written):
    row = of(rows("metrics"), dataset="beauty", model="sasrec", metric="ndcg@10", masking="masked")[0]
    gains = []
    for seed in (1, 2, 3):
        table = pq.read_table(f"results/runs/beauty/sasrec-0000cccc/seed-{seed}/ranks.parquet")
        rank = table.filter(pc.field("split") == "test")["rank_masked_worst"].to_numpy()
        gains.append(np.where(rank <= 10, 1 / np.log2(rank + 1), 0).mean())
    assert row["mean"] == pytest.approx(np.mean(gains), abs=1e-12)
    assert row["sd_seeds"] == pytest.approx(np.std(gains, ddof=1), abs=1e-12)
    assert row["low"] < row["mean"] < row["high"]
    assert row["optimistic"] >= row["mean"]
    assert (row["seeds"], row["users"], row["targets_in_history"], row["missing_seeds"]) == (3, 60, 2, "")


def test_intervals_say_what_they_cover(written):
    metrics = of(rows("metrics"), dataset="beauty", metric="ndcg@10", masking="masked")
    assert {row["model"]: row["interval_covers"] for row in metrics} == {
        "popularity": "users (closed form)",
        "ease": "users (closed form)",
        "sasrec": "users and seeds",
        "tim4rec": "users",
        "hydrarec": None,
    }


def test_rows_say_the_precision_of_their_run(written):
    for table in ("metrics", "runs"):
        found = {(row["model"], row["precision"]) for row in of(rows(table), dataset="beauty")}
        closed = {("popularity", "fp64/fp32"), ("ease", "fp64/fp32")}
        assert found == closed | {(model, "fp32") for model in ("sasrec", "tim4rec", "hydrarec")}


def test_what_did_not_run_is_there_without_a_number(written):
    row = of(rows("metrics"), dataset="beauty", model="hydrarec", metric="ndcg@10", masking="masked")[0]
    assert (row["mean"], row["seeds"], row["missing_seeds"]) == (None, 0, "1")
    assert of(rows("runs"), dataset="beauty", model="hydrarec")[0]["state"] == "not run"
    assert of(rows("metrics"), dataset="beauty", model="tim4rec", metric="mrr@5")[0]["missing_seeds"] == "2"


def test_runs_carry_the_hash_of_their_rank_file(written):
    row = of(rows("runs"), dataset="beauty", model="sasrec", seed=2)[0]
    assert row["ranks_sha256"] == sha256_file(Path(row["folder"]) / "seed-2/ranks.parquet")
    assert (row["n_users"], row["epochs"], row["stopped"]) == (60, 6, "patience")


def test_the_baseline_is_chosen_on_validation_and_one_seed_gets_no_verdict(written):
    compared = {(row["model"], row["metric"]): row for row in of(rows("comparisons"), dataset="beauty")}
    assert {row["baseline"] for row in compared.values()} == {"EASE"}
    assert compared["sasrec", "ndcg@10"]["verdict"] == "better"
    assert compared["sasrec", "ndcg@10"]["p_holm"] >= compared["sasrec", "ndcg@10"]["p"]
    one_seed = compared["tim4rec", "ndcg@10"]
    assert (one_seed["note"], one_seed["verdict"], one_seed["p"], one_seed["p_holm"]) == ("one seed", None, None, None)
    assert compared["hydrarec", "ndcg@10"]["note"] == "not run"
    assert compared["popularity", "ndcg@10"]["verdict"] == "worse"


def test_relative_gains_have_an_interval_or_say_that_there_is_none(written):
    compared = {row["model"]: row for row in of(rows("comparisons"), dataset="beauty", metric="ndcg@10")}
    metrics = of(rows("metrics"), dataset="beauty", metric="ndcg@10", masking="masked")
    means = {row["model"]: row["mean"] for row in metrics}
    gain = compared["sasrec"]
    assert gain["relative"] == pytest.approx(means["sasrec"] / means["ease"] - 1)
    assert 0 < gain["relative_low"] < gain["relative"] < gain["relative_high"]
    assert compared["hydrarec"]["relative"] is None
    line = f"| {100 * gain['relative']:+.1f} % [{100 * gain['relative_low']:+.1f} %, "
    assert line in Path("results/standard/tables/comparisons.md").read_text()


def test_without_a_gain_there_is_no_ratio(compare_request):
    path = Path("results/runs/beauty/popularity-0000aaaa/seed-0/ranks.parquet")
    table = pq.read_table(path)
    for name in ("rank_masked_best", "rank_masked_worst"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array([100] * len(table), pa.int32()))
    write_parquet(path, table)
    compare.run(compare_request)
    row = of(rows("comparisons"), dataset="beauty", model="popularity", metric="ndcg@10")[0]
    assert (row["relative"], row["relative_low"], row["verdict"]) == (None, None, "worse")
    assert "| no ratio |" in Path("results/standard/tables/comparisons.md").read_text()


def test_the_test_split_has_no_part_in_choosing_the_baseline(compare_request, suite):
    evidence = [one for one in collect(suite["runs"]) if one.run["dataset"] == "beauty"]
    chosen = compare.best_baseline(evidence)
    for one in evidence:
        one.ranks[:] = [table.filter(pc.field("split") == "validation") for table in one.ranks]
    assert compare.best_baseline(evidence) is chosen


def test_published_numbers_stand_beside_ours(written):
    published = of(rows("published"), dataset="beauty")
    assert len(published) == 4  # not the parameter count, not the other dataset family
    masked, unmasked, sampled = of(published, model="sasrec")
    ours = of(rows("metrics"), dataset="beauty", model="sasrec", metric="ndcg@10")
    assert masked["ours"] == of(ours, masking="masked")[0]["mean"]
    assert unmasked["ours"] == of(ours, masking="unmasked")[0]["mean"]
    assert masked["difference"] == pytest.approx(masked["ours"] - 0.45)
    ours_in_units = [masked[name] / 0.45 - 1 for name in ("ours", "low", "high")]
    relative = [masked[f"relative_{name}"] for name in ("difference", "low", "high")]
    assert relative == pytest.approx(ours_in_units)
    assert (masked["comparable"], unmasked["comparable"], sampled["comparable"]) == ("yes", "yes", "no")
    assert sampled["why_not"].startswith("sampled candidates; history masking not stated; variant")
    assert "history unmasked" in unmasked["protocol_ours"]
    assert of(rows("published"), dataset="generated") == []


def test_headline_is_the_masked_pessimistic_mean(written):
    found = json.loads(Path("results/standard/tables/metrics.json").read_text())
    row = of(rows("metrics"), dataset="beauty", model="ease", metric="hit_rate@10", masking="masked")[0]
    assert found["beauty"]["ease"]["hit_rate@10"] == pytest.approx(row["mean"], abs=1e-6)
    assert "hydrarec" not in found["beauty"]


def test_metrics_agree_with_those_that_the_runs_wrote_themselves(written):
    own = json.loads(Path("results/runs/beauty/ease-0000bbbb/seed-0/metrics.json").read_text())["metrics"]["test"]
    for row in of(rows("metrics"), dataset="beauty", model="ease"):
        assert row["mean"] == pytest.approx(own[row["masking"]]["pessimistic"][row["metric"]], abs=1e-12)
        assert row["optimistic"] == pytest.approx(own[row["masking"]]["optimistic"][row["metric"]], abs=1e-12)


def test_a_dataset_without_simple_baseline_has_no_comparison(compare_request):
    runs = [run for run in compare_request.parameters["runs"] if run["model"] == "sasrec"]
    compare_request.parameters["runs"] = runs
    compare.run(compare_request)
    assert rows("comparisons") == []


TEMPORAL = "global temporal split (validation 0.1, test 0.1, first target), full ranking, history masked"
SAMPLED = "leave-one-out, ranked among 100 uniform negatives (seed 1), ties pessimistic"


@pytest.fixture
def mixed(compare_request):
    """The models on Beauty once more: under another protocol, for other users, and among negatives."""
    for run in [run for run in compare_request.parameters["runs"] if run["dataset"] == "beauty"]:
        folder = run["folder"].replace("/beauty/", "/beauty/temporal-")
        rankings = {name: TEMPORAL.replace("masked", name) for name in ("masked", "unmasked")} | {"sampled": SAMPLED}
        if Path(run["folder"]).exists():
            shutil.copytree(run["folder"], folder)
        for path in Path(folder).glob("seed-*/ranks.parquet"):
            table = pq.read_table(path).slice(2)
            for name in ("best", "worst"):
                place = pc.min_element_wise(table[f"rank_masked_{name}"], 5)
                table = table.append_column(f"rank_sampled_{name}", place.cast("int32"))
            write_parquet(path, table)
        again = run | {"folder": folder, "protocol_name": "later", "protocol": TEMPORAL, "rankings": rankings}
        compare_request.parameters["runs"].append(again)
    compare.run(compare_request)
    return compare_request


def test_protocols_on_one_dataset_are_compared_each_in_itself(mixed):
    compared = of(rows("comparisons"), dataset="beauty", metric="ndcg@10")
    assert {row["protocol"] for row in compared} == {mixed.parameters["runs"][0]["protocol"], TEMPORAL}
    assert len(compared) == 8
    for row in compared:
        assert (
            ("temporal-" in row["folder"]) == ("temporal-" in row["baseline_folder"]) == (row["protocol"] == TEMPORAL)
        )
    text = Path("results/standard/tables/comparisons.md").read_text()
    assert "## Amazon Beauty, protocol later: against EASE" in text
    assert "## generated: against EASE" in text  # one protocol: it need not be named


def test_sampled_ranks_have_rows_and_a_table_of_their_own(mixed):
    metrics = of(rows("metrics"), dataset="beauty", model="ease", metric="hit_rate@5")
    assert [row["protocol"] for row in of(metrics, masking="sampled")] == [SAMPLED]
    assert of(metrics, masking="sampled")[0]["mean"] == 1.0  # the fifth place at worst
    tables = Path("results/standard/tables/metrics.md").read_text().split("\n## ")
    beauty = [table for table in tables if table.startswith("Amazon Beauty")]
    assert len(beauty) == 3
    for table, protocol in zip(beauty, (mixed.parameters["runs"][0]["protocol"], TEMPORAL, SAMPLED), strict=True):
        assert f"Protocol: {protocol}." in table


def test_published_numbers_look_at_the_protocol_of_each_run(mixed):
    found = of(rows("published"), dataset="beauty", model="sasrec", protocol_ours=TEMPORAL)
    assert {row["comparable"] for row in found} == {"no"}
    assert all(row["why_not"].startswith("other split") for row in found)
    (sampled,) = of(rows("published"), dataset="beauty", model="sasrec", masking="sampled")
    assert (sampled["protocol_ours"], sampled["metric"]) == (SAMPLED, "hit_rate@10")
    assert sampled["why_not"].startswith("variant not known to agree")  # the candidates agree


def test_runs_that_rank_for_other_users_are_refused(compare_request):
    path = Path("results/runs/beauty/sasrec-0000cccc/seed-2/ranks.parquet")
    write_parquet(path, pq.read_table(path).slice(1))
    with pytest.raises(InputError, match=r"seed-2/ranks\.parquet: users and positions differ"):
        compare.run(compare_request)


def test_a_rank_file_without_a_column_is_refused(compare_request):
    path = Path("results/runs/beauty/sasrec-0000cccc/seed-2/ranks.parquet")
    write_parquet(path, pq.read_table(path).drop_columns(["rank_masked_best"]))
    with pytest.raises(InputError, match=r"seed-2/ranks\.parquet: no column 'rank_masked_best'"):
        compare.run(compare_request)

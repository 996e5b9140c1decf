"""Coverage and popularity bias: the measures by hand, the probe, and its table."""

import csv
import re
import subprocess
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from made_data import CLOSED_FORM, GRADIENT, SASREC, random_rows, rows_of, sequences_of, train_request, write_prepared
from seqrepro.cli import main
from seqrepro.config.load import load_parameters
from seqrepro.data.splits import leave_one_out
from seqrepro.errors import CheckFailed, InputError
from seqrepro.evaluation.exposure import MEASURES, POPULARITY, popularity_percentile, tail_membership
from seqrepro.evaluation.exposure import exposure as exposure_of
from seqrepro.evaluation.topk import top_items
from seqrepro.files import read_json, sha256_file, write_text
from seqrepro.ledger import compare
from seqrepro.ledger.exposure import exposure_rows
from seqrepro.probes import exposure
from seqrepro.provenance.manifest import ROOT as MANIFEST
from seqrepro.provenance.manifest import write_manifest
from seqrepro.provenance.sidecar import write_sidecar
from seqrepro.request import Request
from seqrepro.training import train
from seqrepro.workflow import load_workflow

N_ITEMS = 20
ROWS = random_rows(50, N_ITEMS, seed=3)


def test_the_measures_by_hand():
    lists = torch.tensor([[1, 2], [1, 3], [1, 0], [0, 0]])  # items 1 to 5 are shown 3, 1, 1, 0, 0 times
    values = exposure_of(lists, torch.tensor([8, 4, 4, 2, 0]))
    assert values["coverage"] == 3 / 5
    assert values["gini"] == pytest.approx((0 * 1 + 2 * 1 + 4 * 3) / (5 * 5))  # weights -4, -2, 0, 2, 4
    assert values["shannon_entropy"] == pytest.approx(-0.6 * torch.tensor(0.6).log2().item() + 0.4 * 2.321928, abs=1e-6)
    assert values["average_popularity"] == pytest.approx((6 + 6 + 8) / 3)
    assert values["popularity_percentile"] == pytest.approx((0.75 + 0.75 + 0.9) / 3, abs=1e-15)
    assert values["tail_share"] == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_ties_at_the_border_of_the_tail_are_shared():
    popularity = torch.tensor([9, 5, 5, 5, 1, 1, 1, 1, 1, 1])  # the head has two places: one is left for three items
    assert tail_membership(popularity).tolist() == pytest.approx([0, *[2 / 3] * 3, *[1] * 6])
    assert popularity_percentile(popularity).tolist() == pytest.approx([0.95, *[0.75] * 3, *[0.3] * 6])


def test_equal_scores_stand_by_id_and_the_history_is_left_out():
    scores = torch.tensor([[9.0, 1, 2, 2, 2, 0], [9.0, 1, 1, 1, 1, 1]])
    found = top_items(scores, sequences_of([[3], [1, 1, 4]], 5), 2)
    assert found.tolist() == [[2, 4], [2, 3]]
    assert scores[0].tolist() == [9, 1, 2, 2, 2, 0]  # they stay as they were


def test_a_user_with_fewer_candidates_gets_all_of_them():
    scores = torch.tensor([[0.0, 3, 1, 2, 4], [0.0, 3, 1, 2, 4], [0.0, 3, -torch.inf, -torch.inf, 4]])
    masked = sequences_of([[1, 4], [1, 2, 3, 4], [2]], 4)
    assert top_items(scores, masked, 3).tolist() == [[3, 2, 0], [0, 0, 0], [4, 1, 0]]
    assert top_items(scores, masked, 9).tolist() == [[3, 2, 0, 0], [0, 0, 0, 0], [4, 1, 0, 0]]


def test_a_score_that_is_no_number_is_an_error():
    scores = torch.tensor([[0.0, 1, 2, 3], [0.0, 1, torch.nan, 3]])
    with pytest.raises(CheckFailed, match="a score of user 2 is NaN"):
        top_items(scores, sequences_of([[1], [1]], 3), 1)
    assert top_items(scores, sequences_of([[1], [2]], 3), 1).tolist() == [[3], [3]]  # it was no candidate


def test_nobody_with_a_list_is_an_error():
    with pytest.raises(CheckFailed, match="no user has a list"):
        exposure_of(torch.zeros(3, 2, dtype=torch.int64), torch.tensor([1, 1]))


def probed(kind, cutoffs):
    """The probe's paths after a run of a model in the working directory, and its request."""
    inputs = write_prepared(Path("data"), ROWS, N_ITEMS)
    model = (SASREC, GRADIENT) if kind == "gradient" else ({"family": "popularity"}, CLOSED_FORM)
    run = train_request(inputs, *model)
    train.run(run)
    files = [*inputs, f"{run.folder}/model.safetensors", f"{run.folder}/ranks.parquet"]
    wanted = {**run.parameters, "cutoffs": cutoffs}
    request = Request("probe", "seqrepro.probes.exposure", f"{run.folder}/probes/exposure", files, wanted, [], "code")
    return exposure.run(request), request


@pytest.mark.parametrize("kind", ["gradient", "closed_form"])
def test_the_probe_writes_lists_and_their_measures(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    paths, request = probed(kind, [2, 5, N_ITEMS])
    assert [path.name for path in paths] == ["topk.parquet", "exposure.json"]
    table, told, split = pq.read_table(paths[0]), read_json(paths[1]), leave_one_out(sequences_of(ROWS, N_ITEMS))
    histories = split.histories["test"]
    assert table.schema == exposure.SCHEMA
    assert table["user"].to_pylist() == histories.users.tolist()
    for items, history in zip(table["items"].to_pylist(), rows_of(histories), strict=True):
        assert sorted(items) == sorted(set(range(1, N_ITEMS + 1)) - set(history))

    popularity = torch.bincount(split.train.values, minlength=N_ITEMS + 1)[1:]
    whole = told["cutoffs"]
    assert (told["n_users"], told["n_items"], list(whole)) == (len(histories), N_ITEMS, ["2", "20", "5"])
    assert [whole[k]["users_with_shorter_lists"] for k in ("2", "5", "20")] == [0, 0, len(histories)]
    held_out = popularity[split.targets["test"] - 1]
    assert told["test_items"]["average_popularity"] == pytest.approx(float(held_out.double().mean()))
    assert set(told["test_items"]) == set(POPULARITY)
    best = torch.tensor([items[:5] for items in table["items"].to_pylist()])
    assert {name: whole["5"][name] for name in MEASURES} == exposure_of(best, popularity)
    if kind == "closed_form":
        for items in table["items"].to_pylist():
            counts = [(-int(popularity[item - 1]), item) for item in items]
            assert all(one < other for one, other in pairwise(counts))

    before = [sha256_file(path) for path in paths]
    assert [sha256_file(path) for path in exposure.run(request)] == before


def test_the_lists_lead_to_the_same_ranks(tmp_path, monkeypatch):
    """Where a target is in the list, its place there lies between its best and its worst masked rank."""
    monkeypatch.chdir(tmp_path)
    paths, _ = probed("gradient", [N_ITEMS])
    ranks = pq.read_table(paths[0].parents[2] / "ranks.parquet", filters=[("split", "=", "test")]).to_pylist()
    targets = leave_one_out(sequences_of(ROWS, N_ITEMS)).targets["test"].tolist()
    lists = pq.read_table(paths[0])["items"].to_pylist()
    found = 0
    for row, items, target in zip(ranks, lists, targets, strict=True):
        assert (target in items) != row["target_in_history"]
        if target in items:
            found += 1
            assert row["rank_masked_best"] <= items.index(target) + 1 <= row["rank_masked_worst"]
    assert found > 10


# --- the plan


EXPOSURE = "probes:\n  shown: {kind: exposure, cutoffs: [10, 20]}\n  robustness:"


@pytest.fixture
def asks(change):
    """params.yaml with an exposure probe."""
    change("probes:\n  robustness:", EXPOSURE)
    change("probes: [robustness]", "probes: [robustness, shown]")


def test_all_models_are_probed_and_robustness_stays_with_the_trained_ones(make_plan, asks):
    probes = {request.folder: request for request in make_plan().of("probe").values()}
    assert sorted(folder.rsplit("/", 1)[1] for folder in probes) == ["robustness"] * 2 + ["shown"] * 4
    for folder, request in probes.items():
        own = {"cutoffs"} if folder.endswith("shown") else {"perturbations"}
        assert set(request.parameters) == {"dataset", "seed", "config"} | own


def test_which_models_are_probed_changes_no_request(make_plan, asks, change):
    before = make_plan().of("probe")
    change("cutoffs: [10, 20]", "cutoffs: [10, 20], models: trained")
    after = make_plan().of("probe")
    assert len(after) == 4
    assert after == {path: before[path] for path in after}


def test_compare_reads_the_exposure_of_runs_that_have_the_probe(make_plan, asks):
    (request,) = make_plan("both").of("compare").values()
    read = [name for name in request.inputs if "/probes/" in name]
    assert len(read) == 4 and all(name.endswith("/probes/shown/exposure.json") for name in read)
    assert request.parameters["exposure"] == {name: [10, 20] for name in read}


def test_no_exposure_is_read_where_no_probe_asks_for_it(make_plan):
    (request,) = make_plan().of("compare").values()
    assert not [name for name in request.inputs if "/probes/" in name]
    assert request.parameters["exposure"] == {}


@pytest.mark.parametrize("cutoffs", ["[20, 10]", "[10, 10]", "[0, 10]", "[]"])
def test_cutoffs_ascend_from_one(repository, asks, change, cutoffs):
    change("[10, 20]", cutoffs)
    with pytest.raises(InputError, match=r"params.yaml:\d+: probes.shown.cutoffs.*expected|at least 1"):
        load_parameters()


def test_each_kind_of_probe_has_its_result_and_its_names(repository, asks):
    workflow = load_workflow({})
    assert workflow.probes("exposure") == "shown"
    assert workflow.probes("robustness") == "robustness"
    results = sorted({name.split("/probes/")[1] for name in workflow.probe_files()})
    assert results == ["robustness/robustness.parquet", "shown/exposure.json"]


def test_a_kind_without_probes_matches_no_name(repository):
    assert load_workflow({}).probes("exposure") == "(?!)"


# --- lists are kept like weights


@pytest.fixture
def exposed(make_plan, asks, finish):
    """The folder of one exposure probe of a suite that is done and listed in the manifest."""
    plan = make_plan()
    for request in plan.requests.values():
        finish(request)
    request = next(request for request in plan.of("probe").values() if request.module == "seqrepro.probes.exposure")
    paths = [request.output / name for name in ("topk.parquet", "exposure.json")]
    for path in paths:
        write_text(path, "made")
    write_sidecar(request, paths, datetime.now(UTC))
    write_manifest(plan, MANIFEST)
    return request.output


def test_lists_may_be_elsewhere_and_measures_may_not(exposed, capsys):
    (exposed / "topk.parquet").unlink()
    assert main(["audit"]) == 0
    assert re.search(r"artifact +absent +1\n", capsys.readouterr().out)
    (exposed / "exposure.json").unlink()
    assert main(["audit"]) == 1


def test_lists_that_are_there_are_checked(exposed, capsys):
    (exposed / "topk.parquet").write_text("others")
    assert main(["audit"]) == 1
    assert "topk.parquet" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "ignored"), [("topk.parquet", True), ("exposure.json", False)])
def test_git_ignores_the_lists_alone(name, ignored):
    path = f"results/runs/beauty/sasrec-cross_entropy-00000000/seed-1/probes/exposure/{name}"
    command = ["git", "check-ignore", "--quiet", "--no-index", path]
    assert (subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode == 0) == ignored


# --- the table


def table_rows():
    return pq.read_table("results/standard/tables/exposure.parquet").to_pylist()


@pytest.fixture
def written(compared_suite, monkeypatch):
    root, files = compared_suite
    monkeypatch.chdir(root)
    return files


def row_of(model, cutoff, measure):
    wanted = {"dataset": "beauty", "model": model, "cutoff": cutoff, "measure": measure}
    (row,) = (row for row in table_rows() if wanted.items() <= row.items())
    return row


def test_a_row_a_model_cutoff_and_measure(written):
    assert {path.name for path in written} >= {"exposure.parquet", "exposure.csv", "exposure.md"}
    assert len(table_rows()) == 2 * 5 * 2 * len(MEASURES)  # datasets, models, cutoffs
    row = row_of("sasrec", 10, "coverage")
    assert (row["mean"], row["sd_seeds"]) == (pytest.approx(0.52), pytest.approx(0.01))
    assert (row["seeds"], row["missing_seeds"], row["reference"], row["bias"]) == (3, "", None, None)
    assert row["protocol"] == "leave-one-out, full ranking, history masked, ties pessimistic"
    assert row_of("sasrec", 20, "coverage")["mean"] == pytest.approx(0.75)


def test_bias_is_the_difference_to_the_held_out_items(written):
    row = row_of("popularity", 10, "average_popularity")
    assert (row["mean"], row["sd_seeds"], row["reference"], row["bias"]) == (50, None, 40, 10)
    assert row_of("popularity", 10, "tail_share")["bias"] == -0.125


def test_what_did_not_run_has_no_value(written):
    assert (row_of("ease", 10, "gini")["mean"], row_of("ease", 10, "gini")["seeds"]) == (None, 0)
    assert row_of("tim4rec", 10, "gini")["missing_seeds"] == "2"
    text = Path("results/standard/tables/exposure.md").read_text()
    assert text.count("## ") == 4 and "best 20 items" in text
    line = next(line for line in text.splitlines() if line.startswith("| EASE"))
    assert line.count("not run") == len(MEASURES)
    assert "| SASRec | 0.520 ± 0.010 | 0.500 ± 0.000 | 6.00 ± 0.00 | 50.0 ± 0.0 |" in text
    assert "| (held-out test items) |  |  |  | 40.0 | 0.750 | 0.250 |" in text
    assert "1 (1 not run)" in text


def test_results_at_other_cutoffs_are_not_taken_for_these(suite):
    run = next(run for run in suite["runs"] if run["model"] == "sasrec")
    files = [f"{run['folder']}/seed-{seed}/probes/exposure/exposure.json" for seed in (1, 2)]
    rows = exposure_rows(run, {path: [10, 50] for path in files})
    assert {row["cutoff"]: (row["seeds"], row["missing_seeds"]) for row in rows} == {10: (2, ""), 50: (0, "1 2")}
    assert exposure_rows(run, {}) == []


def test_a_suite_without_the_probe_has_an_empty_table(compare_request):
    compare_request.parameters["exposure"] = {}
    compare.run(compare_request)
    assert table_rows() == []
    with Path("results/standard/tables/exposure.csv").open(newline="") as stream:
        assert len(list(csv.reader(stream))) == 1
    assert "No run" in Path("results/standard/tables/exposure.md").read_text()


def test_the_report_shows_it_with_the_reference(reported_suite, monkeypatch):
    monkeypatch.chdir(reported_suite[0])
    text = Path("results/standard/report/results.html").read_text()
    assert text.count("<h3>Coverage and popularity</h3>") == 2
    section = text[text.index("<h3>Coverage and popularity</h3>") :]
    section = section[: section.index("<h3>", 1)]
    for shown in (
        "Model, best 10",
        "The same for the best 20 items",
        "held-out test items",
        "0.520",
        "± 0.010",
        "not run",
    ):
        assert shown in section
    assert '<a href="runs.html#run-beauty-sasrec-0000cccc">' in section

"""Variations: the same models with each setting, which runs they are, and what the tables say of them."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats

from seqrepro.config.load import load_parameters, parse_parameters
from seqrepro.config.plan import plan_suite
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError
from seqrepro.files import write_json, write_parquet
from seqrepro.ledger.variations import (
    correlation_rows,
    robustness_rows,
    variation_rows,
    write,
)
from seqrepro.probes.measurements import SCHEMA
from seqrepro.report import varied
from seqrepro.report.varied import variations

ROOT = Path(__file__).parents[2]
VARIED = """\
variations:
  rates: {training.optimizer.learning_rate: [1e-4, 1e-3, 1e-2]}
  both:
    architecture.dropout: [0, 0.1]
    architecture.layers: [1, 2]

experiments:
  varied:
    purpose: what a setting does
    papers: [samrec]
    protocol: leave-one-out
    models: [sasrec]
    variations: [rates]
    shows: [robustness]
"""
SUITES = """\
suites:
  varying:
    title: Varying
    description: settings
    experiments:
      varied: {datasets: [toy], seeds: [1, 2]}
"""


@pytest.fixture
def varying(repository):
    add(VARIED)
    return repository


def add(experiments):
    path = Path("params.yaml")
    text = path.read_text().replace("experiments:\n", experiments, 1).replace("suites:\n", SUITES, 1)
    path.write_text(text)


def replace(old, new):
    text = Path("params.yaml").read_text()
    assert text.count(old) == 1
    Path("params.yaml").write_text(text.replace(old, new))


def planned():
    return plan_suite(load_parameters(), "varying", load_registry())


def told(runs):
    return [
        (run.config["training"]["optimizer"]["learning_rate"], run.seed, bool(run.final), len(run.needs))
        for run in runs
    ]


def test_each_setting_is_a_run_beside_the_plain_one(varying):
    assert told(planned()) == [
        (1e-3, 1, True, 2),  # a setting that changes nothing is the plain run itself
        (1e-3, 2, True, 2),
        (1e-4, 1, False, 1),
        (1e-4, 2, False, 1),
        (1e-2, 1, False, 1),
        (1e-2, 2, False, 1),
    ]


def test_several_paths_give_all_combinations(varying):
    replace("variations: [rates]", "variations: [both]")
    found = {need.variant.title for run in planned() for need in run.needs if need.variant}
    assert found == {f"dropout {dropout}, layers {layers}" for dropout in (0, 0.1) for layers in (1, 2)}


def test_variants_are_no_rows_of_accuracy_and_have_entries_of_their_own(varying, make_plan):
    plan = make_plan("varying")
    (compare,) = plan.of("compare").values()
    (run,) = compare.parameters["runs"]
    entries = compare.parameters["varied"]
    assert [entry["setting"] for entry in entries] == [f"learning rate {rate}" for rate in (0.001, 0.0001, 0.01)]
    assert {entry["plain"] for entry in entries} == {run["folder"]}
    assert entries[0]["folder"] == run["folder"] != entries[1]["folder"]
    assert all(entry["seeds"] == [1, 2] and entry["group"] == "learning rate" for entry in entries)
    assert f"{entries[1]['folder']}/seed-2/metrics.json" in compare.inputs
    assert len(plan.of("train")) == 6
    (judge,) = plan.of("judge").values()
    assert "results/varying/tables/robustness.csv" in judge.inputs


def test_a_closed_form_stands_beside_its_only_run(varying, make_plan):
    replace("training.optimizer.learning_rate: [1e-4, 1e-3, 1e-2]", "training.data: [{kind: users, share: 0.2}]")
    replace("    models: [sasrec]\n    variations", "    models: [sasrec, ease]\n    variations")
    (compare,) = make_plan("varying").of("compare").values()
    found = {entry["model"]: (entry["seeds"], entry["plain_seeds"]) for entry in compare.parameters["varied"]}
    assert found == {"sasrec": ([1, 2], [1, 2]), "ease": ([1, 2], [0, 0])}
    assert {entry["setting"] for entry in compare.parameters["varied"]} == {"20 % of the users"}
    assert {(entry["group"], entry["at"]) for entry in compare.parameters["varied"]} == {("users, share", 0.2)}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "learning_rate: [1e-4, 1e-3, 1e-2]",
            "lerning_rate: [1e-4]",
            "variations.rates.training.optimizer.lerning_rate",
        ),
        ("[1e-4, 1e-3, 1e-2]", "[1e-4, 0]", "model sasrec of experiment varied"),
        ("variations: [rates]", "variations: [rate]", "unknown variation 'rate'"),
        ("variations: [rates]", "selected_by: nothing", "unknown experiment 'nothing'"),
        ("variations: [rates]", "selected_by: baselines", "expected an experiment with a search"),
        ("{training.optimizer.learning_rate: [1e-4, 1e-3, 1e-2]}", "{}", "variations.rates"),
    ],
)
def test_faults_are_one_line(varying, old, new, told):
    replace(old, new)
    with pytest.raises(InputError) as caught:
        parse_parameters(Path("params.yaml").read_text(), "params.yaml")
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def entry_of(folder, **changes):
    base = {
        **dict.fromkeys(("dataset", "data_class", "protocol_name", "experiment", "title"), "x"),
        "model": "m",
        "variation": "rates",
        "of_data": False,
        "setting": "rate 1",
        "group": "rate",
        "at": 1.0,
        "folder": f"{folder}/varied",
        "plain": f"{folder}/plain",
        "measurements": ["probes/s/measurements.parquet"],
        "seeds": [1, 2, 3],
        "plain_seeds": [1, 2, 3],
    }
    return base | changes


def finish(folder, value):
    accuracy = {"ndcg@10": value, "hit_rate@10": 2 * value}
    write_json(folder / "metrics.json", {"metrics": {"test": {"masked": {"pessimistic": accuracy}}}})


def test_rows_hold_the_varied_and_the_plain_value_of_each_finished_seed(tmp_path):
    for seed, value in ((1, 0.2), (2, 0.4)):
        finish(tmp_path / f"plain/seed-{seed}", value)
        finish(tmp_path / f"varied/seed-{seed}", value / 2)
    measured = [["lambda_max", "lambda_max over epoch", "residual"], [None, 1.0, None], [3.0, 9.0, 0.1]]
    file = tmp_path / "varied/seed-1/probes/s/measurements.parquet"
    write_parquet(file, pa.table(measured, schema=SCHEMA))
    found = {(row["seed"], row["measure"]): (row["value"], row["plain"]) for row in variation_rows(entry_of(tmp_path))}
    assert found == {
        (1, "ndcg@10"): (0.1, 0.2),
        (1, "hit_rate@10"): (0.2, 0.4),
        (1, "lambda_max"): (3.0, None),
        (2, "ndcg@10"): (0.2, 0.4),
        (2, "hit_rate@10"): (0.4, 0.8),
    }


def test_steps_are_timed_and_generated_data_have_both_ways_to_rank(tmp_path):
    ways = {way: {"pessimistic": {"ndcg@10": value}} for way, value in (("masked", 0.0), ("unmasked", 0.4))}
    write_json(tmp_path / "varied/seed-1/metrics.json", {"metrics": {"test": ways}})
    measured = [["seconds_per_step", "seconds_per_step over block", "ratio"], [None, 1.0, None], [0.5, 0.6, 1.0]]
    write_parquet(tmp_path / "varied/seed-1/probes/s/measurements.parquet", pa.table(measured, schema=SCHEMA))
    values = {
        data_class: {row["measure"]: row["value"] for row in variation_rows(entry_of(tmp_path, data_class=data_class))}
        for data_class in ("real", "generated")
    }
    assert values["real"] == {"ndcg@10": 0.0, "seconds_per_step": 0.5}
    assert values["generated"] == values["real"] | {"ndcg@10, unmasked": 0.4}


def test_an_experiment_that_times_steps_has_them_in_its_entries(varying, make_plan):
    replace("    variations: [rates]", "    variations: [rates]\n    probes: [steps]")
    replace("\nprobes:\n", "\nprobes:\n  steps: {kind: cost, against: sasrec, rounds: 1, steps: 1, warm_up: 0}\n")
    plan = make_plan("varying")
    (compare,) = plan.of("compare").values()
    file = f"{compare.parameters['varied'][1]['folder']}/seed-2/probes/steps/measurements.parquet"
    assert file in compare.inputs
    assert len(plan.of("probe")) == 6


def rows_of(model, changes, plain=0.5, setting="20 % of the users"):
    place = {"dataset": "d", "data_class": "real", "experiment": "e", "variation": "v", "setting": setting}
    return [
        {**place, "model": model, "seed": seed, "measure": "ndcg@10", "value": plain * (1 + change), "plain": plain}
        for seed, change in changes.items()
    ]


def test_the_advantage_is_paired_by_seed():
    mine, theirs = {1: -0.1, 2: -0.2, 3: -0.3}, {1: -0.2, 2: -0.3, 3: -0.45, 4: -0.9}
    found = {row["model"]: row for row in robustness_rows([*rows_of("m", mine), *rows_of("a", theirs, plain=0.1)])}
    differences = [0.1, 0.1, 0.15]
    reach = stats.t.interval(0.95, 2, np.mean(differences), stats.sem(differences))
    row = found["m"]
    assert row["advantage"] == pytest.approx(np.mean(differences))
    assert [row["advantage_low"], row["advantage_high"]] == pytest.approx(list(reach))
    assert (row["seeds"], row["training"], row["against"]) == (3, "20 % of the users", "a")
    assert found["a"]["advantage"] == pytest.approx(-row["advantage"])


def test_one_seed_has_no_interval():
    row = next(robustness_rows([*rows_of("m", {1: -0.1}), *rows_of("a", {1: -0.2})]))
    assert (row["advantage"], row["advantage_low"]) == (pytest.approx(0.1), None)


def correlated(pairs):
    place = {"dataset": "d", "data_class": "real", "experiment": "e", "variation": "rho", "model": "m"}
    return [
        {**place, "setting": f"rho {i}", "seed": 1, "measure": measure, "value": value}
        for i, pair in enumerate(pairs)
        for measure, value in zip(("lambda_max", "ndcg@10"), pair, strict=True)
    ]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=4, max_size=30))
def test_correlations_are_scipys_and_lie_in_their_intervals(pairs):
    (row,) = correlation_rows(correlated(pairs))
    first, second = zip(*pairs, strict=True)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert "correlation" not in row
        return
    assert row["correlation"] == pytest.approx(stats.spearmanr(first, second).statistic)
    if "correlation_low" in row:
        assert -1 <= row["correlation_low"] < row["correlation"] < row["correlation_high"] <= 1


def test_the_interval_of_a_correlation_has_its_coverage():
    generator, rho, n, hits, times = np.random.default_rng(1), 0.6, 25, 0, 600
    true = 6 / math.pi * math.asin(rho / 2)  # Spearman's, of a bivariate normal distribution
    for _ in range(times):
        pairs = generator.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n)
        (row,) = correlation_rows(correlated(pairs.tolist()))
        hits += row["correlation_low"] < true < row["correlation_high"]
    assert hits / times == pytest.approx(0.95, abs=0.03)


def test_tables_are_written_without_any_variation(tmp_path):
    files = write(tmp_path, {"varied": []})
    assert {path.name for path in files} >= {"variations.parquet", "robustness.csv", "correlations.csv"}
    assert "nothing" not in (tmp_path / "robustness.md").read_text()
    assert "varies anything" in (tmp_path / "robustness.md").read_text()


def test_a_figure_a_setting_and_measure(tmp_path):
    rows = [
        {**row, "protocol_name": "p", "title": row["model"], "group": "users, share", "at": share, "folder": "f"}
        for share in (0.2, 0.4)
        for model in ("m", "a")
        for row in rows_of(model, {1: -share, 2: -0.5 * share})
    ]
    (drawn,) = variations(tmp_path, "toy", "Toy", rows)
    assert drawn.name == "varied-toy-e-users-share-ndcg-at-10"
    assert all(path.is_file() for path in drawn.files)
    assert "ndcg@10 on the test split by users, share on Toy" in drawn.svg


def of_lengths(model, slope, measure, data_class="real"):
    place = {"dataset": "d", "data_class": data_class, "protocol_name": "p", "experiment": "e", "variation": "lengths"}
    place |= {"model": model, "title": model, "group": "max length", "folder": "f", "measure": measure, "plain": None}
    return [
        {**place, "setting": f"max length {at}", "at": float(at), "seed": seed, "value": (1 + seed / 100) * at**slope}
        for at in (20, 50, 100, 200)
        for seed in (1, 2, 3)
    ]


def test_lengths_are_drawn_on_a_logarithmic_axis_with_an_interval_for_each(tmp_path):
    rows = [*of_lengths("m", 0.1, "ndcg@10"), *of_lengths("a", 0.2, "ndcg@10")]
    axes = Figure().add_subplot()
    varied._paint(rows, "max length", "ndcg@10", axes)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["20", "50", "100", "200"]
    first, second = axes.containers
    means = [1.02 * at**0.1 for at in (20, 50, 100, 200)]
    assert first.lines[0].get_ydata() == pytest.approx(means)
    reach = stats.t.ppf(0.975, 2) * stats.sem([1.01, 1.02, 1.03])
    low, high = second.lines[2][0].get_segments()[3]
    assert (low[1], high[1]) == pytest.approx((200**0.2 * (1.02 - reach), 200**0.2 * (1.02 + reach)))
    (drawn,) = variations(tmp_path, "toy", "Toy", rows)
    assert {path.suffix for path in drawn.files} == {".svg", ".png", ".csv", ".parquet"}


def test_seconds_are_logarithmic_and_generated_items_are_ranked_with_the_history(tmp_path):
    axes = Figure().add_subplot()
    varied._paint(of_lengths("m", 1.0, "seconds_per_step"), "max length", "Seconds", axes)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    both = [row for name in ("ndcg@10", "ndcg@10, unmasked") for row in of_lengths("m", 0.1, name, "generated")]
    (drawn,) = variations(tmp_path, "toy", "Toy", both)
    assert drawn.name == "varied-toy-e-max-length-ndcg-at-10-unmasked"

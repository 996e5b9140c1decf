"""Tables as files: the same rows in Parquet and CSV, and what people read."""

import csv

import pyarrow.parquet as pq
import pytest

from seqrepro.ledger import tables

DATASETS = {"d": {"title": "Data & more", "family": "d", "variant": "5-core"}}
RUNS = [{"dataset": "d", "folder": name, "protocol": "p", "protocol_name": "loo"} for name in "ab"]


def row(model, mean, optimistic=None, **more):
    base = {"dataset": "d", "model": model, "title": f"{model}_1", "masking": "masked", "seeds": 3, "users": 9}
    base |= {"missing_seeds": "", "interval_covers": "users and seeds", "folder": model, "metric": "ndcg@10"}
    base |= {"protocol": "leave-one-out, full", "data_class": "primary", "precision": "fp32"}
    bounds = {"mean": mean, "low": mean and mean - 0.01, "high": mean and mean + 0.01}
    return base | bounds | {"optimistic": mean if optimistic is None else optimistic} | more


def table_rows(*models):
    return [one | {"metric": metric} for metric in tables.PAPER_METRICS for one in models]


def test_parquet_and_csv_hold_the_same_rows(tmp_path):
    written = tables.write_table(tmp_path / "metrics", [row("a", 0.5), row("b", None)], tables.METRICS)
    parquet, text = written
    with text.open(newline="") as stream:
        read = list(csv.DictReader(stream))
    assert list(read[0]) == tables.METRICS.names
    for expected, found in zip(pq.read_table(parquet).to_pylist(), read, strict=True):
        assert {name: "" if value is None else str(value) for name, value in expected.items()} == found


def test_markdown_prints_protocol_seeds_users_and_the_best_in_bold():
    text = tables.metrics_markdown(table_rows(row("a", 0.5), row("b", 0.6)), DATASETS, RUNS, "test")
    assert "Protocol: leave-one-out, full." in text
    assert "| a_1 | 0.5000 [0.4900, 0.5100] |" in text
    assert "| b_1 | **0.6000** [0.5900, 0.6100] |" in text
    assert "| 3 | 9 | primary | fp32 |" in text


def test_every_row_says_its_precision():
    rows = table_rows(row("a", 0.5, precision="bf16"), row("b", 0.6, precision="tf32"))
    text = tables.metrics_markdown(rows, DATASETS, RUNS, "test")
    assert [line.split(" | ")[-1] for line in text.splitlines() if "_1" in line] == ["bf16 |", "tf32 |"]
    assert "all ranks are from fp32 scores" in text
    latex = tables.metrics_latex(rows, DATASETS, RUNS, "test")
    assert all(f"& primary & {name} \\\\" in latex for name in ("bf16", "tf32"))


def test_tie_bounds_are_printed_where_they_differ_at_the_printed_digits():
    shown = tables.metrics_markdown(table_rows(row("a", 0.5, 0.5123)), DATASETS, RUNS, "test")
    hidden = tables.metrics_markdown(table_rows(row("a", 0.5, 0.50001)), DATASETS, RUNS, "test")
    assert "**0.5000** / 0.5123 [" in shown
    assert " / " not in hidden


def test_not_run_and_one_seed_are_said():
    missing = row("a", None, seeds=0, users=None, missing_seeds="1 2", interval_covers=None)
    single = row("b", 0.6, seeds=1, missing_seeds="2", interval_covers="users")
    text = tables.metrics_markdown(table_rows(missing, single), DATASETS, RUNS, "test")
    assert "| a_1 | not run | not run | not run | not run | not run | 0 |  | primary | fp32 |" in text
    assert "| 1* (1 not run) | 9 | primary | fp32 |" in text


def test_latex_escapes_what_it_must():
    text = tables.metrics_latex(table_rows(row("a", 0.5)), DATASETS, RUNS, "test")
    assert r"\caption{Data \& more (5-core)" in text
    assert r"a\_1 & \textbf{0.5000}" in text
    assert r"95 \% interval" in text
    assert r"hit\_rate@10" in text


@pytest.mark.parametrize(("value", "text"), [(0.0001, "< 0.001"), (0.0234, "0.023"), (1.0, "1.000"), (None, "")])
def test_p_values_are_rounded_honestly(value, text):
    assert tables.p_value(value) == text


def test_markdown_cells_cannot_break_the_table():
    assert tables.markdown(["a"], [["x|y"]]).splitlines()[2] == "| x\\|y |"


def test_nothing_published_is_said():
    assert "No published number" in tables.published_markdown([], DATASETS, [])

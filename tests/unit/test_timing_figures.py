"""Figures of attention and the table of whole runs: what is read, and the page that shows them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from seqrepro.files import write_json, write_parquet
from seqrepro.ledger import compare, judge
from seqrepro.probes.measurements import SCHEMA
from seqrepro.report import site, timings
from seqrepro.report.probed import read_probe

LENGTHS = (32, 64, 128)
PACE = {"seconds_per_step": 0.02, "inference_seconds": 0.5, "attention_share": 0.25, "core_share": 0.1}
GAIN = {"gain_of_step": 1.21, "gain_of_step_low": 1.1, "gain_of_step_high": 1.3, "bound_of_step": 1.37}
GAIN |= {name.replace("step", "inference"): value for name, value in GAIN.items()}


def write(path, rows):
    write_parquet(path / "measurements.parquet", pa.table([*map(list, zip(*rows, strict=True))], schema=SCHEMA))


def write_attention(folder, scale):
    rows = []
    for of, factor in {"": scale, " of softmax sdpa": 1.0, " of softmax naive": 2.0}.items():
        for at in LENGTHS:
            seconds = None if of.endswith("naive") and at == 128 else factor * at * 1e-6
            rows += [(f"seconds{of}, core, forward over length", at, seconds)]
            rows += [(f"memory_bytes{of} over length", at, 100.0 * at)]
        rows += [(f"slope{end} of seconds{of}, core, forward by length", None, 1.0) for end in timings.ENDS]
    rows += [("seconds of hydra fused, core, forward over length", at, 1e-7 * at) for at in LENGTHS]
    rows += [(f"crossover{end} with softmax sdpa, core, forward", None, 90.0) for end in timings.ENDS]
    rows += [(f"seconds_per_event{of} over length", at, 1e-5) for of in ("", " of softmax sdpa") for at in LENGTHS]
    write(folder / "probes/heads", rows)
    write_json(folder / "probes/heads/machine.json", {"device": "A CPU", "threads": 2, "dtype": "float32"})


def write_timing(folder, more=()):
    values = PACE | {"training_seconds": 125.0} | dict(more)
    write(folder / "probes/whole", [(name, None, value) for name, value in values.items()])
    write_json(folder / "probes/whole/machine.json", {"device": "A CPU", "threads": 1})


@pytest.fixture
def runs(tmp_path):
    """Two models with two seeds each; the second seed of the first took three times as long."""
    found = []
    for name, scales in {"hydra": (1.0, 3.0), "linear": (2.0,)}.items():
        folder = tmp_path / name
        found.append({"title": name.title(), "folder": str(folder), "seeds": [1, 2]})
        for seed, scale in enumerate(scales, 1):
            write_attention(folder / f"seed-{seed}", scale)
    return found


def test_a_line_a_run_and_those_that_it_is_beside(runs, tmp_path):
    rows = read_probe(runs, "heads", "measurements.parquet")
    drawn = timings.figures(tmp_path / "figures", "made", "Made", timings.ATTENTION, rows, "Measured on it.")
    assert [one.name for one in drawn] == ["attention-time-made", "attention-memory-made", "attention-events-made"]
    assert all(file.is_file() for one in drawn for file in one.files)
    lines = pq.read_table(tmp_path / "figures/attention-time-made.parquet").to_pylist()
    curves = {}
    for row in lines:
        curves.setdefault((row["title"], row["method"]), {})[row["length"]] = row["value"]
    assert curves["Hydra", ""] == pytest.approx({at: 2e-6 * at for at in LENGTHS})  # medians of the seeds
    assert curves["Linear", ""] == pytest.approx({at: 2e-6 * at for at in LENGTHS})
    assert list(curves["Hydra", "softmax naive"]) == [32, 64]
    beside = {("Hydra", name) for name in ("softmax sdpa", "softmax naive", "hydra fused")}
    assert set(curves) == {("Hydra", ""), ("Linear", ""), *beside}
    assert curves["Hydra", "hydra fused"] == pytest.approx({at: 1e-7 * at for at in LENGTHS})
    assert {row["crossover"] for row in lines if not row["method"]} == {90.0}
    assert drawn[1].caption.endswith("axes. Measured on it.")
    assert "Hydra (1.00 [1.00, 1.00])" in drawn[0].svg and "(1.00" not in drawn[1].svg
    events = pa_csv.read_csv(tmp_path / "figures/attention-events-made.csv").to_pylist()
    assert {row["method"] for row in events} == {"", "softmax sdpa"}


def test_whole_networks_have_a_line_a_model(tmp_path):
    rows = []
    for name, power in {"Linear": 1, "Square": 2}.items():
        own = {"title": name, "folder": name.lower(), "seed": 1}
        rows += [own | {"measure": "training_seconds over length", "at": at, "value": at**power} for at in LENGTHS]
        told = {f"slope{end} of training_seconds by length": float(power) for end in timings.ENDS}
        rows += [own | {"measure": measure, "at": None, "value": value} for measure, value in told.items()]
    (drawn,) = timings.figures(tmp_path, "made", "Made", timings.NETWORKS, rows, "")
    assert drawn.name == "network-training-made"
    lines = pq.read_table(tmp_path / "network-training-made.parquet").to_pylist()
    assert [(row["title"], row["method"], row["length"], row["value"]) for row in lines] == [
        (name, "", at, at**power) for name, power in {"Linear": 1, "Square": 2}.items() for at in LENGTHS
    ]
    assert "Square (2.00 [2.00, 2.00])" in drawn.svg and "Linear (1.00 [1.00, 1.00])" in drawn.svg


def test_nothing_measured_is_nothing_drawn(tmp_path):
    assert timings.figures(tmp_path, "made", "Made", timings.ATTENTION, [], "") == []
    assert timings.whole_runs(tmp_path, "made", [], "") is None


def test_the_page_shows_gains_beside_their_bounds(suite, judge_request, report_request, compare_request):
    few = [run for run in suite["runs"] if run["dataset"] == "beauty" and run["model"] in ("sasrec", "tim4rec")]
    for run in few:
        folder = Path(run["folder"]) / "seed-1"
        write_attention(folder, 1.0)
        write_timing(folder, GAIN if run["model"] == "tim4rec" else ())
    told = report_request.parameters
    told |= {"datasets": {"beauty": suite["datasets"]["beauty"]}, "runs": few}
    told["names"] = {run["folder"]: [[run["model"], run["protocol_name"]]] for run in few}
    told["probes"] |= {"heads": "attention", "whole": "timing"}
    compare.run(compare_request)
    judge.run(judge_request())
    written = site.run(report_request)
    assert {path.name for path in written} >= {"attention-time-beauty.svg", "timing-beauty.csv"}
    text = Path("results/standard/report/results.html").read_text()
    part = text[
        text.index("<h3>Whole steps and inference</h3>") : text.index("<h3>Attention alone, against length</h3>")
    ]
    assert part.count("<b>1.21</b>") == 2 and "[1.10, 1.30]" in part and "1.37" in part
    assert part.count("the reference") == 2 and "25.0 %" in part and "2.1 min" in part
    assert "Measured on A CPU, threads: 1." in part and text.count("Measured on A CPU, threads: 2, float32.") == 3

"""docs/performance.md is what the committed results say, and what was not measured says so."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results"


@pytest.fixture(scope="module")
def page():
    """The module benchmarks/page.py."""
    spec = importlib.util.spec_from_file_location("performance_page", ROOT / "benchmarks/page.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


def chapter(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_page_and_the_numbers_of_its_figures_are_those_of_the_results(page, tmp_path):
    made = page.write(RESULTS, tmp_path)
    assert made.read_text() == (ROOT / "docs/performance.md").read_text()
    committed = ROOT / "docs/performance"
    assert {path.name for path in tmp_path.glob("performance/*")} == {path.name for path in committed.glob("*")}
    for path in tmp_path.glob("performance/*.csv"):
        assert path.read_bytes() == (committed / path.name).read_bytes()


@pytest.mark.parametrize(("file", "title"), [("training", "Training throughput"), ("attention", "Attention")])
def test_a_missing_result_is_not_measured(page, tmp_path, file, title):
    shutil.copytree(RESULTS, tmp_path / "results", ignore=shutil.ignore_patterns(f"{file}.json"))
    text = page.write(tmp_path / "results", tmp_path / "docs").read_text()
    assert "Not measured." in chapter(text, title)
    assert "Not measured." not in chapter(text, "Preparation")


def test_without_any_result_no_aim_is_hit_or_missed(page, tmp_path):
    text = page.write(tmp_path, tmp_path).read_text()
    rows = [line for line in chapter(text, "Aims").splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(page.AIMS)
    assert all(row.endswith("| not measured | not measured |") for row in rows)
    assert not (tmp_path / "performance").exists()


def made_training(speed: float) -> dict:
    part = {"targets_a_second": 1, "slowest_and_fastest_turn": [1, 1], "parameters": 1, "examples_a_step": 1}
    parts = {"ours": part | {"targets_a_processor_second": speed}, "recbole": part | {"targets_a_processor_second": 10}}
    machine = {"cpu": "a", "cores": 1, "memory_gb": 1}
    parts = {name: measured | {"steps_a_turn": 1} for name, measured in parts.items()}
    return {"datasets": {"beauty": {"parts": parts}}, "repeats": 1, "machine": machine}


@pytest.mark.parametrize(("speed", "verdict"), [(250, "hit"), (249, "missed")])
def test_an_aim_is_hit_from_its_value_on_and_a_miss_says_why(page, speed, verdict):
    results = dict.fromkeys(page.read(RESULTS)) | {"training": made_training(speed)}
    text = page.aims(results, {"training-beauty-recbole": "Because."})
    row = next(line for line in text.splitlines() if line.startswith("| Training on Beauty, times RecBole"))
    assert row.endswith(f"| {verdict} |")
    assert ("times RecBole: Because." in text) == (verdict == "missed")


def test_a_peer_or_a_dataset_that_was_not_measured_says_so(page):
    text = page.training(made_training(250))
    assert "**MovieLens-1M**: not measured." in text
    assert "| `rectools` |  |  |  | not measured |" in text
    assert "| `recbole` | 1 | 1 | 1 | 10 | 1 | 1 to 1 | 25.0 | 1.0 |" in text


def test_every_remark_is_on_an_aim_and_every_miss_has_one(page):
    remarks = page.yaml.safe_load((ROOT / "benchmarks/remarks.yaml").read_text()) or {}
    found = page.read(RESULTS)
    missed = {aim.name for aim in page.AIMS if (page.reached(aim, found[aim.file]) or aim.wanted) < aim.wanted}
    assert missed <= set(remarks) <= {aim.name for aim in page.AIMS}

"""Preparing 20 million interactions stays within 6 GB. Time is measured in benchmarks, not here."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The module benchmarks/prepare_large.py."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("prepare_large", BENCHMARKS / "prepare_large.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "prepare_large", module)
    spec.loader.exec_module(module)
    return module


def test_the_benchmark_on_few_interactions(benchmark, tmp_path):
    found = benchmark.measure(20_000, tmp_path)
    assert found["same_sequences"] and found["n_interactions"] > 10_000
    assert set(found["parts"]) == {"from_csv", "directly", "load"}


@pytest.mark.slow
def test_twenty_million_interactions_stay_within_6_gb(benchmark, tmp_path):
    found = benchmark.measure(20_000_000, tmp_path)
    assert found["same_sequences"] and found["n_interactions"] > 19_000_000
    assert {name: part["peak_gb"] for name, part in found["parts"].items() if part["peak_gb"] > 6} == {}

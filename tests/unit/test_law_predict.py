"""Use of the Performance Law: the best shape within a budget, what shapes cost, and what the command says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seqrepro.cli import main
from seqrepro.config.load import load_parameters
from seqrepro.config.overrides import override, setup_of
from seqrepro.errors import InputError
from seqrepro.laws.costs import costs, counts
from seqrepro.laws.pace import pace
from seqrepro.laws.panels import Panel
from seqrepro.laws.performance_law import Parameters
from seqrepro.laws.predict import Candidates, candidate_sizes, predict
from seqrepro.models.sasrec import build

ROOT = Path(__file__).parents[2]
TRUE = Parameters(w1=-0.02, w2=-0.05, w3=-0.4, w4=-0.2, p1=0.5, constant=0.3)  # N* = 5.66, d* = 32
DEPTHS, WIDTHS = np.array([1.0, 2, 4, 8]), np.array([8.0, 16, 32, 64])
INVERSE_P1 = [1, 2, 4]
N_ITEMS = 20


def panel_of(noise=0.0, seeds=3):
    n, d = (axis.ravel() for axis in np.meshgrid(DEPTHS, WIDTHS, indexing="ij"))
    by_seed = TRUE.predict(n, d) + noise * np.random.default_rng(1).normal(size=(seeds, len(n)))
    return Panel("own", "sasrec", "ml-100k", 50, "all", "ndcg@10", n, d, by_seed.mean(axis=0), by_seed)


def candidates_of(panel):
    depths, widths = candidate_sizes(panel)
    n, d = (axis.ravel() for axis in np.meshgrid(depths, widths))
    return Candidates(n, d, 5 * n * d**2)


def predicted(budget, noise=0.0, draws=20):
    panel = panel_of(noise)
    return predict(panel, candidates_of(panel), budget, INVERSE_P1, draws, 1)


def test_candidates_reach_beyond_the_grid_in_steps_that_its_widths_share():
    depths, widths = candidate_sizes(panel_of())
    assert depths.tolist() == list(range(1, 17))
    assert widths.tolist() == list(range(8, 129, 8))


def test_with_a_large_budget_it_is_the_optimum_of_the_law():
    found = predicted(1e12)
    assert (found.n_blocks, found.d_emb) == (6, 32)
    assert found.value == pytest.approx(float(TRUE.predict(np.array([6.0]), np.array([32.0]))[0]), abs=1e-6)
    assert not found.is_bound
    assert not found.beyond


@pytest.mark.parametrize("budget", [400, 3000, 9000, 20000])
def test_with_a_small_budget_it_is_the_best_of_what_can_be_paid(budget):
    found, candidates = predicted(budget), candidates_of(panel_of())
    paid = candidates.cost <= budget
    true = TRUE.predict(candidates.n_blocks, candidates.d_emb)
    assert found.cost <= budget
    assert found.value == pytest.approx(true[paid].max(), abs=1e-6)
    assert found.is_bound


def test_intervals_hold_the_true_optimum_and_grow_with_noise():
    little, much = predicted(1e12, noise=1e-4, draws=50), predicted(1e12, noise=2e-3, draws=50)
    for found in (little, much):
        assert found.depths[0] <= 6 <= found.depths[1]
        assert found.widths[0] <= 32 <= found.widths[1]
    assert much.values[1] - much.values[0] > little.values[1] - little.values[0]


def test_a_budget_below_the_cheapest_shape_is_refused():
    with pytest.raises(InputError, match=r"^budget: 10, expected at least 320, the cost of the cheapest shape$"):
        predicted(10)


def test_a_shape_outside_of_the_grid_is_said_to_be_one():
    panel = panel_of().where(panel_of().n_blocks <= 4)
    found = predict(panel, candidates_of(panel), 1e12, INVERSE_P1, 5, 1)
    assert found.beyond == ("depth 6 lies outside the grid of the runs, 1 to 4",)


def config(layers, width):
    setup = setup_of(load_parameters(ROOT / "params.yaml"), "sasrec-law-quick")
    setup = override(setup, {"architecture.layers": layers, "architecture.width": width})
    return {"model": setup.architecture.canonical(), "training": setup.training.canonical()}


def test_costs_of_deep_networks_are_those_of_networks_that_are_built():
    widths = [4, 6]
    found = costs(
        {width: {n: config(n, width) for n in (1, 2)} for width in widths}, np.array([1.0, 3, 7]), N_ITEMS, 10
    )
    for i, width in enumerate(widths):
        for j, layers in enumerate((1, 3, 7)):
            network = build(config(layers, width)["model"], N_ITEMS, torch.Generator())
            assert found.parameters[i, j] == sum(weight.numel() for weight in network.parameters())
            assert found.operations[i, j] == 10 * counts(config(layers, width), N_ITEMS)[1]


def test_the_pace_recovers_a_power_law():
    operations = np.array([1e6, 3e6, 1e7])
    found = pace(operations, 2e-5 * operations**0.8)
    assert found.seconds(np.array([5e7])) == pytest.approx(2e-5 * 5e7**0.8)
    assert found.error == pytest.approx(0, abs=1e-6)


def test_a_pace_needs_runs_of_different_costs_and_some_time():
    with pytest.raises(InputError, match="1 different costs, expected at least 3"):
        pace(np.full(4, 1e6), np.ones(4))
    with pytest.raises(InputError, match="found a run of 0 seconds"):
        pace(np.array([1e6, 2e6, 3e6]), np.array([1.0, 0.0, 2.0]))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--budget", "gold=3"], "--budget: found 'gold=3', expected one of parameters, operations, seconds, '='"),
        (["--budget", "seconds=-1"], "--budget: found 'seconds=-1', expected"),
        (["--budget", "parameters=9", "--suite", "controls"], "suite 'controls' has no grid of the Performance Law"),
        (
            ["--budget", "parameters=9", "--suite", "quick", "--length", "7"],
            "0 finished grids, expected 1; finished are",
        ),
    ],
)
def test_bad_requests_are_refused_in_a_line(monkeypatch, capsys, words, told):
    monkeypatch.chdir(ROOT)
    assert main(["law", "predict", "--dataset", "generated-law", *words]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert len(captured.err.splitlines()) == 1

"""The probe efficiency: rows and steps of exactly a length, counts by formula, states, bounds, and its plan."""

from math import inf
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from made_data import GRADIENT, SASREC
from seqrepro.errors import InputError
from seqrepro.files import read_json, write_json
from seqrepro.models.tim4rec import TiM4Rec
from seqrepro.probes import efficiency
from seqrepro.probes.cores import forward_backward
from seqrepro.probes.fresh import bytes_of, fresh, random_rows, time_path
from seqrepro.probes.growth import slope
from seqrepro.probes.measurements import SCHEMA
from seqrepro.request import Request
from seqrepro.workflow import load_workflow

ITEMS, D, N, W, P = 30, 8, 4, 3, 4
H = 2 * D // P
PAPER = {"family": "tim4rec", "time": "paper", "width": D, "layers": 2, "state": N, "head_width": P, "convolution": W}
PAPER |= {"dropout": 0.2, "max_length": 99}
CAUSAL, OFF = PAPER | {"time": "causal"}, PAPER | {"time": "off"}
MAMBA = {"family": "mamba4rec", "width": D, "layers": 2, "state": N, "inner_width": 16, "max_length": 99}
GRU = {"family": "gru4rec", "width": D, "hidden_width": 12, "max_length": 99}
LRU = {"family": "lrurec", "width": D, "layers": 1, "max_length": 99}
PREFIXES = GRADIENT | {"view": "prefixes"}
CPU = torch.device("cpu")
QUICK = {"lengths": [4, 8, 16], "rows": 3, "fit_from": 4, "rounds": 1, "block_seconds": 1e-4, "largest_matrix_mb": 64}


def network(model, length, training=PREFIXES, rows=3):
    return fresh({"model": model, "training": training}, ITEMS, rows, length, CPU)


def measured(folder, model, training=PREFIXES, against=None, **changes):
    write_json(folder / "statistics.json", {"n_items": ITEMS})
    wanted = {"config": {"model": model, "training": training}, **QUICK, **changes}
    if against:
        wanted["against"] = {"config": against, "weights": "not read"}
    inputs = ["not read", str(folder / "statistics.json")]
    path, told = efficiency.run(Request("probe", "seqrepro.probes.efficiency", str(folder), inputs, wanted, [], "code"))
    table = pq.read_table(path)
    assert table.schema == SCHEMA and read_json(told)["threads"] == 1
    rows = [(row["measure"], row["at"]) for row in table.to_pylist()]
    assert len(rows) == len(set(rows))
    return {(row["measure"], row["at"]): row["value"] for row in table.to_pylist()}


def places(values, measure):
    return {at: value for (name, at), value in values.items() if name == f"{measure} over length"}


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    against = {"model": OFF, "training": PREFIXES}
    return measured(tmp_path_factory.mktemp("paper"), PAPER, against=against)


# --- rows and steps


def test_random_rows_are_of_the_catalogue_and_moments_ascend():
    rows = random_rows(5, 4, 50)
    assert rows.lengths.tolist() == [50] * 4 and set(rows.values.tolist()) == set(range(1, 6))
    assert (rows.timestamps.view(4, 50).diff(dim=1) > 0).all()


@pytest.mark.parametrize(("view", "targets"), [("prefixes", 3), ("all_positions", 3 * 7)])
def test_a_step_sees_rows_of_exactly_the_length(view, targets):
    one = network(CAUSAL, 7, GRADIENT | {"view": view})
    seen = []
    one.model.hidden_at = lambda items, times, own=one.model.hidden_at: seen.append(items) or own(items, times)
    before = [weight.clone() for weight in one.model.parameters()]
    one.training()(2)
    assert [items.shape for items in seen] == [(3, 7)] * 2 and all((items > 0).all() for items in seen)
    assert one.targets() == targets and one.trainer.progress.step == 2
    assert all((was != now).any() for was, now in zip(before, one.model.parameters(), strict=True) if now.grad.any())
    one.inference()(1)
    assert seen[-1].shape == (3, 7)


def test_a_sampled_part_of_the_recipe_is_left_out():
    recipe = PREFIXES | {"last": 3, "data": {"kind": "users", "share": 0.1}}
    assert len(network(OFF, 20, recipe).trainer.view) == 3


# --- counts


def test_the_time_path_of_the_paper_grows_with_the_square(paper):
    """Two maps over L positions for each head, and a gate, in each of two layers."""
    expected = {at: 2 * (2 * 2 * H * at * at + 2 * H * at) for at in QUICK["lengths"]}
    found = places(paper, "operations of the time path")
    assert found == expected
    assert paper["slope of operations of the time path by length", None] == pytest.approx(slope(expected)[0])
    assert slope({at: value for at, value in found.items() if at >= 4})[0] > 1.8


def test_the_time_path_of_ours_grows_with_the_length(tmp_path):
    found = measured(tmp_path, CAUSAL)
    assert places(found, "operations of the time path") == {
        at: 2 * (2 * 16 * at + 2 * 16 * H * at) for at in QUICK["lengths"]
    }
    assert found["slope of operations of the time path by length", None] == pytest.approx(1)


@pytest.mark.parametrize("model", [PAPER, CAUSAL], ids=["paper", "causal"])
def test_the_time_path_is_what_the_network_has_more_than_without(model):
    """The same network with time off does everything else."""
    own, other = network(model, 12), network(OFF, 12)
    compute, weights = time_path(own)
    assert own.operations() - other.operations() == own.operations(compute) // 3
    without = sum(weight.numel() for weight in other.model.parameters())
    assert sum(weight.numel() for weight in weights) == sum(w.numel() for w in own.model.parameters()) - without
    forward_backward(compute, weights)(1)


def test_operations_of_attention_are_those_of_a_formula():
    model = SASREC | {"layers": 1, "dropout": 0.0, "attention_dropout": 0.0}
    at, inner = 20, 16
    dense, core = 2 * at * (4 * D * D + 2 * D * inner), at * at * (4 * D + 6 * 2)
    assert network(model, at).operations() == dense + core + 2 * D * (ITEMS + 1)


# --- one more event


@pytest.mark.parametrize("model", [CAUSAL, OFF, MAMBA, GRU, LRU], ids=["causal", "off", "mamba", "gru", "lru"])
def test_a_state_is_as_large_after_any_history(model):
    sizes = {bytes_of(network(model, length).state) for length in (4, 8, 16)}
    assert len(sizes) == 1 and min(sizes) > 0


@pytest.mark.parametrize("model", [OFF, MAMBA, GRU, LRU], ids=["off", "mamba", "gru", "lru"])
def test_the_scores_of_a_step_are_those_of_the_whole_history(model):
    one = network(model, 9)
    one.model.eval()
    state = one.model.start(1)
    with torch.no_grad():
        for place in range(9):
            scores, state = one._stepped(place, state)
        whole = one.model.score(one.histories)
    torch.testing.assert_close(scores[0], whole[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", [PAPER, SASREC], ids=["paper", "sasrec"])
def test_without_a_state_the_history_is_computed_again(model):
    one = network(model, 9)
    assert one.state is None
    calls = []
    one.model.score = lambda rows, own=one.model.score: calls.append(rows.lengths.tolist()) or own(rows)
    one.event()(2)
    assert calls == [[9], [9]]


# --- what is written


def test_one_state_is_told_of_any_length(tmp_path):
    found = places(measured(tmp_path, MAMBA, GRADIENT), "state_bytes")
    assert list(found) == QUICK["lengths"] and len(set(found.values())) == 1


def test_both_sides_are_timed_in_turns(paper):
    for name in ("training", "inference", "event"):
        for side in ("", "against_"):
            found = places(paper, f"{side}{name}_seconds")
            assert list(found) == QUICK["lengths"] and min(found.values()) > 0
        low, mean, high = (places(paper, f"{name}_ratio{end}")[8] for end in ("_low", "", "_high"))
        assert low <= mean <= high
    assert paper["training_seconds at length 8", None] == places(paper, "training_seconds")[8]


def test_without_another_model_there_is_no_ratio(tmp_path):
    found = measured(tmp_path, OFF, fit_from=8)
    assert not [name for name, _ in found if "_ratio" in name or "against" in name or "time path" in name]
    assert found["slope of operations by length", None] is None  # of two points


def test_the_seconds_that_a_slope_is_of_stand_alone(tmp_path):
    found = measured(tmp_path, CAUSAL, fit_from=8)
    every = places(found, "time_path_seconds")
    assert list(every) == [4, 8, 16]
    assert places(found, "seconds of the time path") == {at: every[at] for at in (8, 16)}


def test_what_is_held_grows_with_length(paper):
    found = places(paper, "memory_bytes")
    assert found[4] < found[8] < found[16]


def test_a_network_that_is_too_large_is_null(tmp_path):
    """3 rows, 2 heads, 400 by 400 numbers of four bytes are more than 3 MiB; with time off nothing is."""
    wide = {"model": SASREC | {"attention_dropout": 0.2}, "training": PREFIXES}
    found = measured(tmp_path, OFF, against=wide, lengths=[50, 400], largest_matrix_mb=3, fit_from=50)
    other = places(found, "against_training_seconds")
    assert other[50] > 0 and other[400] is None
    assert places(found, "training_ratio")[400] is None and places(found, "training_ratio")[50] > 0
    assert places(found, "training_seconds")[400] > 0
    alone = measured(tmp_path, wide["model"], lengths=[400], largest_matrix_mb=3)
    assert places(alone, "training_seconds") == places(alone, "operations") == {400: None}


def test_the_bound_is_that_of_the_largest_matrix():
    one = network(SASREC, 100)
    size = 3 * 2 * 100 * 100 * 4 / 2**20
    assert one.fits(inf) and one.fits(size * 1.01) and not one.fits(size * 0.99)


# --- what cannot be measured


def test_a_model_without_a_length_is_refused(tmp_path):
    with pytest.raises(InputError, match="efficiency: family ease has no max_length; expected a network"):
        measured(tmp_path, {"family": "ease"})


def test_two_devices_are_refused(tmp_path):
    other = {"model": OFF, "training": PREFIXES | {"device": "cuda"}}
    with pytest.raises(InputError, match=r"training\.device is None and cuda; expected the same of both models"):
        measured(tmp_path, PAPER, against=other)


def test_too_few_items_for_negatives_are_told(tmp_path):
    recipe = GRADIENT | {"objective": {"name": "bce", "negatives": 1, "exclude": "history"}}
    with pytest.raises(InputError, match=r"negatives: user \d+ has all 30 items"):
        measured(tmp_path, OFF, recipe, lengths=[400])


def test_only_a_network_with_time_has_a_time_path():
    assert isinstance(network(OFF, 4).model, TiM4Rec)
    assert time_path(network(OFF, 4)) is None and time_path(network(SASREC, 4)) is None


# --- the plan


def test_it_is_planned_with_what_the_other_training_needs(repository, change):
    small = "{family: sasrec, width: 12, layers: 1, heads: 2, inner_width: 16, dropout: 0.1, max_length: 10}"
    change("\nprobes:\n", f"  flat:\n    title: Flat\n    architecture: {small}\n    training: gradient\n\nprobes:\n")
    change("\nprobes:\n", "\nprobes:\n  lengths: {kind: efficiency, against: sasrec, lengths: [4, 8]}\n")
    change("probes: [robustness]", "probes: [lengths]")
    change("models: [popularity, ease, sasrec]", "models: [popularity, ease, sasrec, flat]")
    workflow = load_workflow({})
    folders = {run.needs[0].model: run.folder for run in workflow.plan.runs}
    request = workflow.request("probe", f"lengths/toy/{Path(folders['flat']).name}/seed-1.json")
    assert request.parameters["against"]["config"]["model"]["family"] == "sasrec"
    assert {"seqrepro.training.objectives.cross_entropy", "seqrepro.training.optimizers.adam"} <= set(request.uses)
    alone = workflow.request("probe", f"lengths/toy/{Path(folders['sasrec']).name}/seed-1.json")
    assert "against" not in alone.parameters and alone.parameters["rows"] == 8

"""Margins and power: what is stated against a simulation, and the simulation against what is known in closed form."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from seqrepro.cli import main
from seqrepro.config.load import load_parameters
from seqrepro.data.synthetic import multiset
from seqrepro.data.synthetic.law import Seen, generate, next_item
from seqrepro.errors import InputError
from seqrepro.ledger import power, ratio_power
from seqrepro.ledger.claims import read_claims
from seqrepro.ledger.parts import Gain, Measured, RatioPower

ROOT = Path(__file__).parents[2]
PARAMETERS = load_parameters(ROOT / "params.yaml")
CONTROLS = read_claims(ROOT / "registry/controls.yaml")
ALL = {f"{c.id}/{part.id}": part for c in CONTROLS.claims for part in c.parts}
PARTS = {name: part for name, part in ALL.items() if isinstance(part, Gain)}
RATIOS = {name: part for name, part in ALL.items() if isinstance(part, Measured)}
CHAIN = {"successors": 2, "decay": 0.5, "smoothing": 0.4, "mean_length": 8, "users": 10, "seed": 3}


@pytest.mark.parametrize("name", PARTS)
def test_what_is_stated_is_what_a_simulation_finds(name):
    found = power.simulate(PARTS[name], PARAMETERS, pool=4000, repetitions=100, seed=9)
    assert power.agrees(PARTS[name], found), found


def changed(name, **changes):
    return PARTS[name].model_copy(update={"power": PARTS[name].power.model_copy(update=changes)})


@pytest.mark.parametrize("change", [{"gap": 0.2}, {"share": 0.6}, {"power": 0.7}])
def test_what_is_stated_wrongly_is_found(change):
    part = changed("P1/gain", **change)
    assert not power.agrees(part, power.simulate(part, PARAMETERS, pool=4000, repetitions=100))


def test_the_window_is_that_of_the_models():
    for part in PARTS.values():
        if part.power.window is not None:
            models = (PARAMETERS.models[name].architecture for name in (part.model, *part.against))
            assert {model.max_length for model in models} == {part.power.window}


def test_a_gap_in_closed_form():
    """Of three items two are told apart: (pi_3 of either) mixed; the Bayes-optimal gain is that of the law itself."""
    found = power.simulate(PARTS["P2/gain"], PARAMETERS, pool=4000, repetitions=10)
    law = np.full(50, 0.001)
    law[:3] += 0.95 * np.array([4, 2, 1]) / 7
    discounts = 1 / np.log2(np.arange(10) + 2)
    assert abs(found.gap - (law[:10] @ discounts - discounts.sum() / 50)) < 4 * found.gap_error


def test_the_power_is_that_of_a_normal_test():
    """Seeds alone differ: m - x is normal with sd seed_sd / sqrt(S), known to be 2.5 of them above the margin."""
    part = changed("B3/gain", seed_sd=0.3)
    above = part.power.reach * part.power.gap - 2.5 * 0.3 / np.sqrt(20)
    part = part.model_copy(update={"seeds": 20, "above": above})
    drawn = power.simulate(part, PARAMETERS, pool=4000, repetitions=400)
    expected = stats.nct.sf(stats.t.ppf(0.975, 19), 19, 2.5)
    assert 0.6 < expected < 0.8
    assert abs(drawn.power - expected) < 4 * drawn.power_error


def test_unordered_is_what_counting_finds():
    """Of all windows with a last item and a pair before it, how often each item follows."""
    generator = {"kind": "markov_order_k", "items": 4, "order": 2, "memory": "oldest", **CHAIN}
    made = generate(generator | {"users": 100_000})
    items, users = made.items.to_numpy(), made.users.to_numpy()
    within = users[:-3] == users[3:]
    windows = np.stack([items[i : len(items) - 3 + i] for i in range(4)], axis=1)[within]
    law = power._unordered(generator, Seen(np.array([1, 3, 2]), np.array([3])), 3)[0]
    match = (windows[:, 2] == 2) & (np.sort(windows[:, :2]) == [1, 3]).all(axis=1)
    found = np.bincount(windows[match][:, 3], minlength=5)[1:] / match.sum()
    assert match.sum() > 5000
    assert np.allclose(found, law, atol=2 / np.sqrt(match.sum()))
    assert not np.allclose(law, next_item(generator, Seen(np.array([1, 3, 2]), np.array([3])))[0], atol=0.05)


def test_where_order_carries_nothing_unordered_is_all():
    generator = {"kind": "multiset", "items": 12, "types": 3, "affinity": 0.7, "exponent": 1}
    seen = Seen(np.array([1, 2, 4, 5, 3, 3]), np.array([3, 3]))
    assert np.allclose(power._unordered(generator, seen, 3), next_item(generator, seen))
    counts = multiset.block_counts(seen.items, seen.lengths, 3)
    assert np.allclose(next_item(generator, seen), multiset.predictive(counts, 12, 0.7, 1))


@pytest.mark.parametrize(
    ("part", "datasets", "message"),
    [
        (changed("P1/gain", window=5), {}, "power.window: found 5, expected at most the 4 items of all users"),
        (PARTS["B1/gain"].model_copy(update={"datasets": ["beauty"]}), {}, "datasets.beauty: expected generated data"),
        (changed("S1/gain", scale=["history", "history"]), {}, "gain: found no gain of history over history"),
        (PARTS["N1/gain"], {"repeats": False}, "where items do not recur, only history and chance can be known"),
    ],
)
def test_what_a_law_does_not_say_is_refused(part, datasets, message):
    parameters = PARAMETERS
    if datasets:
        told = PARAMETERS.model_dump()
        told["datasets"]["generated-independent"]["generator"] |= datasets
        parameters = type(PARAMETERS).model_validate(told)
    with pytest.raises(InputError, match=message):
        power.simulate(part, parameters, pool=500, repetitions=2)


def test_the_verb(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(power.simulate, "__defaults__", (1000, 20, 0))
    assert main(["controls", "power"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*PARTS, *RATIOS]
    monkeypatch.setattr(power, "agrees", lambda part, found: part.id != "oldest")
    assert main(["controls", "power"]) == 1
    assert "B2/oldest: stated is not what the simulation finds" in capsys.readouterr().err


@pytest.mark.parametrize("name", RATIOS)
def test_the_power_of_a_ratio_is_what_a_simulation_finds(name):
    part = RATIOS[name]
    tests = ratio_power.tests_of("controls-curvature", CONTROLS)
    found = ratio_power.simulate_ratio(part, tests, repetitions=400, seed=9)
    assert tests == len(RATIOS) and ratio_power.agrees(part.power, found)
    assert not ratio_power.agrees(RatioPower(ratio=1.5, seed_sd=0.1, power=0.7), found)


def test_the_power_of_a_ratio_is_that_of_a_t_test():
    """Equal spreads, S seeds each: nearly the noncentral t with 2 S - 2 degrees of freedom."""
    stated = RatioPower(ratio=1.3, seed_sd=0.2, power=0)
    part = RATIOS["F1/lambda-max"].model_copy(update={"seeds": 12, "factor": 1.0, "power": stated})
    found = ratio_power.simulate_ratio(part, tests=1, repetitions=1000)
    expected = stats.nct.sf(stats.t.ppf(0.975, 22), 22, np.log(1.3) / (0.2 * np.sqrt(2 / 12)))
    assert 0.6 < expected < 0.95
    assert abs(found.power - expected) < 4 * found.error
    other = part.model_copy(update={"direction": "higher"})
    assert abs(ratio_power.simulate_ratio(other, tests=1, repetitions=1000).power - expected) < 4 * found.error

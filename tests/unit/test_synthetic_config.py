"""Generators in params.yaml: the module of its name makes each kind, and nonsense is refused."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from seqrepro.config.datasets import GeneratedDataset
from seqrepro.config.load import load_parameters
from seqrepro.data.synthetic.markov_order_k import generate, truth

SIZE = {"users": 50, "items": 30, "seed": 1}
CHAIN = {**SIZE, "successors": 3, "decay": 0.5, "smoothing": 0.1, "mean_length": 8}
KINDS = {
    "markov": {**SIZE, "mean_length": 8, "concentration": 0.1},
    "markov_order_k": {**CHAIN, "order": 2},
    "gap_dependent": {**CHAIN, "classes": 3, "gaps": "noise"},
    "multiset": {**SIZE, "types": 3, "affinity": 0.7, "exponent": 1, "mean_length": 8},
    "noisy": {**CHAIN, "noise": 0.2},
    "look_alike": {**SIZE, "like": "beauty"},
}


def described(kind, **changes):
    return GeneratedDataset.model_validate(
        {"source": "generated", "generator": {"kind": kind, **KINDS.get(kind, SIZE), **changes}}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_module_of_its_name_takes_the_canonical_parameters(kind):
    canonical = described(kind).canonical()["generator"]
    assert canonical.pop("kind") == kind
    assert canonical == KINDS[kind]
    made = importlib.import_module(f"seqrepro.data.synthetic.{kind}").generate(**canonical)
    assert made.n_items == 30
    assert made.users.to_numpy().max() == 50


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("markov_order_k", {"memory": "oldest"}),
        ("noisy", {"clean_targets": True}),
        ("look_alike", {"repeats": True}),
        ("look_alike", {"popularity": {"exponent": 1.5, "shift": 0.2}}),
        ("look_alike", {"lengths": {"shortest": 3, "longest": 9, "mu": 1.0, "sigma": 0.5}}),
    ],
)
def test_options_enter_the_canonical_form_and_reach_the_module(kind, option):
    plain, changed = described(kind).canonical()["generator"], described(kind, **option).canonical()["generator"]
    assert changed == plain | option
    assert plain.pop("kind") == changed.pop("kind") == kind
    module = importlib.import_module(f"seqrepro.data.synthetic.{kind}")
    assert not module.generate(**plain).items.equals(module.generate(**changed).items)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("random", {}, "does not match any of the expected tags"),
        ("markov", {"order": 2}, "Extra inputs are not permitted"),
        ("markov_order_k", {"successors": 31}, "found 31 successors, expected at most the 30 items"),
        ("markov_order_k", {"order": 7}, "found mean_length 8.0, expected 9 or more at order 7"),
        ("markov_order_k", {"decay": 0}, "greater than 0"),
        ("gap_dependent", {"successors": 11}, "found 30 items, expected 33 or more: classes x successors"),
        ("gap_dependent", {"classes": 5}, "less than or equal to 4"),
        ("multiset", {"types": 4}, "found 30 items, expected a multiple of the 4 types"),
        ("multiset", {"affinity": 0.2}, "found affinity 0.2, expected more than 1 / types"),
        ("noisy", {"noise": 1.0}, "less than 1"),
        ("look_alike", {"like": "netflix"}, "'beauty', 'ml-1m', 'ml-100k' or 'yelp'"),
        ("look_alike", {"lengths": {"shortest": 9, "longest": 3, "mu": 1.0, "sigma": 0.5}}, "expected 9 .shortest."),
    ],
)
def test_what_makes_no_sense_is_refused(kind, changes, message):
    with pytest.raises(ValidationError, match=message):
        described(kind, **changes)


@pytest.mark.parametrize(("size", "low", "high"), [("", 1.559, 3.240), ("-large", 1.683, 4.397)])
def test_data_of_two_known_entropies_have_the_same_lengths(size, low, high):
    """The pairs that params.yaml has for the question of what entropy does at the same number of tokens."""
    datasets = load_parameters(Path(__file__).parents[2] / "params.yaml").datasets
    pair = [datasets[f"generated-{name}-entropy{size}"].generator.canonical() for name in ("low", "high")]
    rates = [truth(**{key: made[key] for key in ("items", "successors", "decay", "smoothing")}).nll for made in pair]
    assert rates == pytest.approx([low, high], abs=5e-4)
    users = [generate(**{key: made[key] for key in made if key != "kind"}).users.to_numpy() for made in pair]
    assert np.array_equal(*users)

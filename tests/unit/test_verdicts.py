"""From gains of users and seeds to verdicts: bounds, combinations, error rates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seqrepro.errors import InputError
from seqrepro.ledger.bounds import BOUNDS, detectable, seeds_needed
from seqrepro.ledger.claims import Equivalence, Level, NonInferiority, Ordering, Size, Superiority, Tabulated
from seqrepro.ledger.statistics import Sample, difference
from seqrepro.ledger.verdicts import Finding, adjusted, findings, verdict, whole

COMMON = {"id": "part", "datasets": ["beauty"], "metric": "ndcg@10"}
SUPERIOR = Superiority(**COMMON, kind="superiority", model="a", against=["b"])


def sample(mean, users=4000, seeds=5, spread=0.0, seed=0):
    """Gains whose mean is nearly `mean`, the same users in all methods."""
    users_U1 = 0.05 * np.random.default_rng(99).standard_normal((users, 1))
    generator = np.random.default_rng(seed)
    noise = 0.02 * generator.standard_normal((users, seeds)) + spread * generator.standard_normal(seeds)
    return Sample(mean + users_U1 - users_U1.mean() + noise)


def states(part, **samples):
    """The states of a part's bounds after Holm."""
    bounds = list(BOUNDS[part.kind](part, "beauty", lambda model, metric: samples[model]))
    return [bound.state for bound in adjusted([[Finding("beauty", True, bounds)]])[0][0].bounds]


def test_superiority():
    assert states(SUPERIOR, a=sample(0.11), b=sample(0.10, seed=1)) == ["holds"]
    assert states(SUPERIOR, a=sample(0.10), b=sample(0.11, seed=1)) == ["fails"]
    assert states(SUPERIOR, a=sample(0.10, spread=0.02), b=sample(0.10, spread=0.02, seed=1)) == ["open"]


def test_a_control_that_is_as_good_leaves_superiority_open_or_failed():
    part = SUPERIOR.model_copy(update={"controls": ["c"]})
    found = states(part, a=sample(0.11), b=sample(0.10, seed=1), c=sample(0.12, seed=2))
    assert found == ["holds", "fails"]


@pytest.mark.parametrize(("mean", "state"), [(0.099, "holds"), (0.080, "fails"), (0.12, "holds")])
def test_non_inferiority_has_one_side(mean, state):
    part = NonInferiority(**COMMON, kind="non_inferiority", model="a", against=["b"])
    assert states(part, a=sample(mean), b=sample(0.10, seed=1)) == [state]


@pytest.mark.parametrize(
    ("mean", "expected"), [(0.1, ["holds"] * 2), (0.08, ["fails", "holds"]), (0.12, ["holds", "fails"])]
)
def test_equivalence_has_two_sides(mean, expected):
    part = Equivalence(**COMMON, kind="equivalence", model="a", against=["b"])
    assert states(part, a=sample(mean), b=sample(0.10, seed=1)) == expected


def test_a_wide_interval_shows_no_equivalence():
    part = Equivalence(**COMMON, kind="equivalence", model="a", against=["b"])
    assert "open" in states(part, a=sample(0.1, spread=0.02), b=sample(0.1, spread=0.02, seed=1))


def test_size_is_held_against_the_printed_ratio():
    gain = {"dataset": "beauty", "metric": "ndcg@10", "value": 0.2, "source": "Table 2"}
    part = Size.model_validate({"id": "size", "kind": "size", "model": "a", "against": "b", "gains": [gain]})
    assert states(part, a=sample(0.120), b=sample(0.10, seed=1)) == ["holds", "holds"]
    assert states(part, a=sample(0.105), b=sample(0.10, seed=1)) == ["fails", "holds"]


def test_level_is_held_against_the_printed_value():
    value = {"dataset": "beauty", "metric": "ndcg@10", "value": 0.1, "source": "Table 2"}
    part = Level.model_validate({"id": "level", "kind": "level", "model": "a", "values": [value]})
    assert states(part, a=sample(0.100)) == ["holds", "holds"]
    assert states(part, a=sample(0.120)) == ["holds", "fails"]
    assert "open" in states(part, a=sample(0.095, spread=0.03))


def test_an_ordering_needs_each_neighbour():
    part = Ordering(**COMMON, kind="ordering", models=["a", "b", "c"])
    found = states(part, a=sample(0.12), b=sample(0.10, seed=1), c=sample(0.11, seed=2))
    assert found == ["holds", "fails"]


def of(*found, needed="all"):
    part = SUPERIOR.model_copy(update={"needed": needed, "datasets": [str(i) for i in range(len(found))]})
    bounds = {
        state: list(BOUNDS["superiority"](SUPERIOR, "", lambda model, _, s=state: GAINS[s][model]))
        for state in ("holds", "fails", "open")
    }
    made = [
        Finding("x", True, [], missing="not run") if state == "missing" else Finding("x", True, bounds[state])
        for state in found
    ]
    return verdict(part, adjusted([made])[0], "supported")


GAINS = {
    "holds": {"a": sample(0.2), "b": sample(0.1, seed=1)},
    "fails": {"a": sample(0.1), "b": sample(0.2, seed=1)},
    "open": {"a": sample(0.1, spread=0.02), "b": sample(0.1, spread=0.02, seed=1)},
}


def test_verdicts_over_datasets():
    assert of("holds", "holds") == "supported"
    assert of("holds", "fails") == "not reproduced"
    assert of("holds", "open") == "inconclusive"
    assert of("holds", "missing") == "not tested"
    assert of("open", "missing") == "not tested"
    assert of("holds", "holds", "fails", needed="most") == "supported"
    assert of("holds", "fails", "fails", needed="most") == "not reproduced"
    assert of("holds", "fails", "open", needed="most") == "inconclusive"


def test_extensions_are_no_part_of_the_verdict():
    both = [Finding("x", True, []), Finding("y", False, [], missing="not run")]
    assert verdict(SUPERIOR, both, "supported") == "supported"


def test_a_claim_is_as_good_as_its_worst_part():
    assert whole(["reproduced", "not reproduced", "not tested"]) == "not reproduced"
    assert whole(["supported", "inconclusive"]) == "inconclusive"
    assert whole(["reproduced", "reproduced"]) == "reproduced"


def test_seeds_that_would_decide():
    few, many = (
        difference(sample(0.1, seeds=s, spread=0.004), sample(0.0985, seeds=s, spread=0.004, seed=1)) for s in (3, 40)
    )
    needed = seeds_needed(few, 3)
    assert needed is None or needed > 3
    assert seeds_needed(many, 40) == 40 or many.low <= 0
    worse = difference(sample(0.1), sample(0.2, seed=1))
    assert seeds_needed(worse, 5) is None


def test_the_detectable_difference_is_that_of_the_noncentral_t_distribution():
    """28 observations, standard deviation 1: the textbook answer is 0.5492 (Cohen's d, two-sided 5 %, power 80 %)."""
    reference = difference(sample(0.1), sample(0.1, seed=1))
    found = detectable(replace(reference, standard_error=1 / np.sqrt(28), df=27))
    assert found == pytest.approx(0.5492, abs=5e-5)
    assert detectable(replace(reference, standard_error=1.0, df=1e6)) == pytest.approx(1.959964 + 0.841621, abs=1e-4)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_false_positives_are_rare(seeds):
    """Without a difference superiority errs in 2.5 % of repetitions, at its margin equivalence in 5 %."""
    generator, n = np.random.default_rng(seeds), 600
    part = Equivalence(**COMMON, kind="equivalence", model="a", against=["b"])
    superior = equivalent = 0
    for _ in range(n):
        users = generator.normal(0, 0.1, (200, 1))

        def method(mean, users=users):
            drawn = generator.normal(0, 0.05, (200, seeds)) + generator.normal(0, 0.004, seeds)
            return Sample(mean + users - users.mean() + drawn)

        superior += states(SUPERIOR, a=method(0.1), b=method(0.1)) == ["holds"]
        equivalent += states(part, a=method(0.105), b=method(0.1)) == ["holds", "holds"]
    assert superior / n < 0.025 + 3 * np.sqrt(0.025 * 0.975 / n)
    assert equivalent / n < 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)


def test_a_table_of_ours(tmp_path):
    (tmp_path / "laws").mkdir()
    Path(tmp_path / "laws/r2.csv").write_text("dataset,max_length,r2,linear\nml-1m,100,0.9,0.5\nbooks,50,0.6,0.7\n")
    told = {"id": "fit", "kind": "tabulated", "table": "laws/r2.csv", "column": "r2"}

    def state(**more):
        part = Tabulated.model_validate(told | more)
        return findings(part, lambda *_: None, "masked", tmp_path)[0]

    assert state(above=0.5).state == "holds"
    assert state(above=0.7).rows == (1, 2)
    assert state(above=0.7, share=0.5).state == "holds"
    assert state(above="linear").state == "fails"
    assert state(above=0.85, where={"dataset": "ml-1m", "max_length": "100"}).state == "holds"
    assert state(above=0.85, where={"dataset": "yelp"}).state == "fails"
    assert state(above=0, table="laws/none.csv").missing == "laws/none.csv has not been made"
    with pytest.raises(InputError, match=r"r2.csv: no column 'mae', expected one of dataset, max_length"):
        state(above=0, column="mae")

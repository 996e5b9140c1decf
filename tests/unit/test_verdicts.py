"""From gains of users and seeds to verdicts: bounds, combinations, error rates."""

from dataclasses import replace

import numpy as np
import pytest

from seqrepro.errors import InputError
from seqrepro.ledger.bounds import BOUNDS, Bound, detectable, gain_by_fieller, of_level, of_size, seeds_needed
from seqrepro.ledger.claims import Claim
from seqrepro.ledger.grounds import Grounds
from seqrepro.ledger.parts import Equivalence, Level, NonInferiority, Ordering, Size, Superiority, Tabulated, Untestable
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


PRINTED = {"id": "part", "model": "a", "metrics": ["ndcg@10"], "datasets": ["beauty"]}
SIZE = Size.model_validate(PRINTED | {"kind": "size", "against": "b", "printed": {"model": "A", "against": "B"}})
LEVEL = Level.model_validate(PRINTED | {"kind": "level", "printed": {"model": "A"}})


def of_gain(printed, **samples):
    return [bound.state for bound in of_size(SIZE, "ndcg@10", printed, lambda model, _: samples[model])]


@pytest.mark.parametrize("printed", [0.01, 0.03, 0.2, 1.0])
def test_no_gain_reproduces_no_gain_however_small_the_printed_one_is(printed):
    """Fewer differences between users, so that 0.5 % can be seen: nothing is open."""
    base = sample(0.1, users=4000, seeds=5).gains_US
    other = Sample(base - 0.9 * (base - base.mean()))

    def times(factor):
        return Sample(factor * other.gains_US)

    assert of_gain(printed, a=times(1.0), b=other)[0] == "fails"
    assert of_gain(printed, a=times(1 + printed), b=other) == ["holds", "holds"]
    assert of_gain(printed, a=times(1 + 1.6 * printed), b=other)[1] == "fails"


def test_a_printed_loss_has_a_margin_on_both_sides():
    assert of_gain(-0.2, a=sample(0.08), b=sample(0.10, seed=1)) == ["holds", "holds"]
    assert of_gain(-0.2, a=sample(0.10), b=sample(0.10, seed=1)) == ["holds", "fails"]


def test_our_gain_has_the_interval_of_its_test():
    """Fieller's interval ends where the bounds of a size change their state."""
    ours, theirs = sample(0.12, spread=0.002), sample(0.10, seed=1, spread=0.002)
    value, low, high = gain_by_fieller(ours, theirs)
    assert value == pytest.approx(0.2, abs=0.05)
    assert low < value < high
    for end, inside in ((low, 1e-6), (high, -1e-6)):
        within, beyond = (difference(ours, Sample((1 + end + shift) * theirs.gains_US)) for shift in (inside, -inside))
        assert within.low < 0 < within.high
        assert not beyond.low < 0 < beyond.high


def test_a_gain_over_almost_nothing_has_no_upper_end():
    assert gain_by_fieller(sample(0.12), sample(0.0001, spread=0.01, seed=1))[2] is None


def test_level_is_held_against_the_printed_value():
    def found(ours):
        return [bound.state for bound in of_level(LEVEL, "ndcg@10", 0.1, lambda model, metric: ours)]

    assert found(sample(0.100)) == ["holds", "holds"]
    assert found(sample(0.120)) == ["holds", "fails"]
    assert "open" in found(sample(0.095, spread=0.03))


def test_printed_numbers_that_disagree_decide_only_together():
    holds, fails = (Bound("x", difference(sample(a), sample(b, seed=1))) for a, b in ((0.2, 0.1), (0.1, 0.2)))

    def state(*bounds):
        return Finding("x", True, [replace(bound, number=place) for place, bound in enumerate(bounds)]).state

    assert [state(holds), state(holds, holds), state(fails, fails)] == ["holds", "holds", "fails"]
    assert state(holds, fails) == "open"
    assert Finding("x", True, [holds, fails]).state == "fails"  # two bounds of one number


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
    without = {"missing": {"missing": "not run"}, "barred": {"barred": "other split"}}
    made = [Finding("x", True, bounds.get(state, []), **without.get(state, {})) for state in found]
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


def test_what_does_not_compare_counts_only_if_nothing_else_does():
    assert of("holds", "barred") == "supported"
    assert of("fails", "barred") == "not reproduced"
    assert of("missing", "barred") == "not tested"
    assert of("barred", "barred") == "not comparable"
    assert of("holds", "fails", "barred", "barred", needed="most") == "not reproduced"
    assert verdict(Untestable(id="x", kind="untestable", reason="private"), [], "supported") == "not comparable"


def test_extensions_are_no_part_of_the_verdict():
    both = [Finding("x", True, []), Finding("y", False, [], missing="not run")]
    assert verdict(SUPERIOR, both, "supported") == "supported"


def test_a_claim_is_as_good_as_its_worst_part():
    three = [SUPERIOR] * 3
    assert whole(three, ["reproduced", "not reproduced", "not tested"]) == "not reproduced"
    assert whole(three[:2], ["supported", "inconclusive"]) == "inconclusive"
    assert whole(three[:2], ["reproduced", "reproduced"]) == "reproduced"
    reported = SUPERIOR.model_copy(update={"deciding": False})
    assert whole([SUPERIOR, reported], ["supported", "not reproduced"]) == "supported"


def test_a_size_that_nothing_printed_decides_leaves_the_claim_to_its_direction():
    untestable = Untestable(id="x", kind="untestable", reason="private")
    assert whole([SUPERIOR, SIZE], ["supported", "not comparable"]) == "supported"
    assert whole([SUPERIOR, SIZE], ["supported", "not reproduced"]) == "not reproduced"
    assert whole([SIZE, LEVEL], ["not comparable", "not comparable"]) == "not comparable"
    assert whole([SUPERIOR, untestable], ["supported", "not comparable"]) == "not comparable"


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


ANY = {"id": "T1", "statement": "", "origin": "paper", "source": "", "basis": "known", "family": "x"}
TABLE = "dataset,max_length,r2,linear\nml-1m,100,0.9,0.5\nbooks,50,0.6,0.7\nbooks,25,,0.7\n"
OWN = (
    "points,dataset,data_class,seeds,r2\npublished,books,,,0.9\nown,beauty,primary,3,0.6\nown,toys,primary,1,0.1\n"
    "own,made,generated,2,0.2\n"
)


@pytest.fixture
def of_table(tmp_path):
    """What a part says of a small table of ours."""
    (tmp_path / "laws").mkdir()
    (tmp_path / "laws/r2.csv").write_text(TABLE)
    (tmp_path / "laws/empty.csv").write_text("dataset,r2\n")
    (tmp_path / "laws/own.csv").write_text(OWN)
    planned = frozenset(
        (tmp_path / "laws" / name).as_posix() for name in ("r2.csv", "empty.csv", "later.csv", "own.csv")
    )
    grounds = Grounds("quick", tmp_path, inputs=planned)

    def found(of_controls=False, **more):
        told = {"id": "fit", "kind": "tabulated", "table": "laws/r2.csv", "column": "r2"} | more
        part = Tabulated.model_validate(told)
        return findings(part, Claim(**ANY, parts=[part]), "samrec", replace(grounds, of_controls=of_controls))[0]

    return found


def test_the_rows_of_a_table(of_table):
    """A row without the number does not satisfy a bound."""
    assert of_table(above=0.5).rows == (2, 3)
    assert of_table(above=0.7).rows == (1, 3)
    assert of_table(above=0.7, share=0.3).state == "holds"
    assert of_table(above="linear").state == "fails"
    assert of_table(below="linear").rows == (1, 3)
    assert of_table(above=0.85, where={"dataset": "ml-1m", "max_length": "100"}).state == "holds"


def test_rows_of_generated_data_count_for_controls_alone(of_table):
    assert of_table(table="laws/own.csv", above=0.5).rows == (2, 2)
    assert of_table(table="laws/own.csv", above=0.5, where={"points": "own"}).rows == (1, 1)
    assert of_table(table="laws/own.csv", above=0.5, where={"dataset": "made"}).missing == "it has no row"
    assert of_table(table="laws/own.csv", above=0.5, of_controls=True).rows == (0, 1)


def test_a_row_of_one_seed_decides_nothing(of_table):
    assert of_table(table="laws/own.csv", above=0.5, where={"dataset": ["toys", "beauty"]}).rows == (1, 1)
    assert of_table(table="laws/own.csv", above=0.5, where={"dataset": "toys"}).missing == "it has no row"


def test_a_range_has_two_ends(of_table):
    first = {"where": {"max_length": ["100", "50"]}}
    assert of_table(between=[0.5, 0.95], **first).state == "holds"
    assert of_table(between=[0.65, 0.95], **first).rows == (1, 2)
    assert of_table(between=[0.5, 0.85], **first).rows == (1, 2)
    assert of_table(between=[None, 0.95], **first).state == "holds"


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({"where": {"dataset": "yelp"}}, "it has no row where dataset is yelp"),
        ({"where": {"dataset": ["books", "yelp"]}}, "it has no row where dataset is yelp"),
        ({"where": {"dataset": "ml-1m", "max_length": "50"}}, "it has no row where max_length is 50"),
        ({"table": "laws/empty.csv"}, "it has no row"),
        ({"table": "laws/later.csv"}, "it is planned and has not been made"),
        ({"table": "laws/none.csv"}, "it is not planned in suite quick"),
    ],
)
def test_no_row_never_holds(of_table, told, missing):
    found = of_table(above=0, share=0.001, **told)
    assert (found.state, found.missing) == ("missing", missing)


def test_a_table_without_the_column_is_refused(of_table):
    with pytest.raises(InputError, match=r"r2.csv: no column 'mae', expected one of dataset, max_length"):
        of_table(above=0, column="mae")


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, "expected one of below, above and between"),
        ({"below": 1.0, "between": [0, 1]}, "expected one of below, above and between"),
        ({"between": [1, 0]}, "expected two numbers that ascend"),
        ({"between": [None, None]}, "expected at least one end"),
    ],
)
def test_bounds_of_a_table_that_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        Tabulated.model_validate({"id": "x", "kind": "tabulated", "table": "t.csv", "column": "r2"} | bounds)

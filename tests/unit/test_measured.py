"""What probes measure decides claims: differences, ratios and slopes over runs, read from their files."""

import json
from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from scipy import stats

from seqrepro.errors import InputError
from seqrepro.files import write_parquet
from seqrepro.ledger import judge
from seqrepro.ledger.measured import Runs, bounds_of_growth, bounds_of_measured, unfit
from seqrepro.ledger.measurements import Measurement, read_measurements
from seqrepro.ledger.parts import Growth, Measured
from seqrepro.probes.measurements import SCHEMA

COMMON = {"id": "x", "probe": "sharpness", "measure": "lambda_max", "model": "a", "datasets": ["beauty"]}
LOWER = COMMON | {"kind": "measured", "against": ["b"], "direction": "lower"}
GROWTH = COMMON | {"kind": "growth", "over": "length", "slope": [0.9, 1.1]}
FLAT, SHARP = [4.0, 5.0, 4.5, 5.5], [40.0, 90.0, 60.0]


def runs(values, deterministic=False):
    return Runs([[Measurement("lambda_max", None, value)] for value in values], deterministic)


def bounds(told, **values):
    return list(bounds_of_measured(Measured.model_validate(LOWER | told), {k: runs(v) for k, v in values.items()}))


def ends(estimate):
    return estimate.value, estimate.low, estimate.high, estimate.p


def test_a_difference_is_welchs_test():
    (bound,) = bounds({}, a=FLAT, b=SHARP)
    oracle = stats.ttest_ind(SHARP, FLAT, equal_var=False)
    interval = oracle.confidence_interval()
    assert ends(bound.estimate) == pytest.approx((np.mean(SHARP) - np.mean(FLAT), *interval, oracle.pvalue))
    assert bound.needs_p
    assert bound.text == "lambda_max of b less that of a"


def test_a_factor_compares_geometric_means():
    (bound,) = bounds({"factor": 5.0}, a=FLAT, b=SHARP)
    oracle = stats.ttest_ind(np.log(SHARP) - log(5), np.log(FLAT), equal_var=False)
    assert (bound.estimate.p, bound.estimate.df) == pytest.approx((oracle.pvalue, oracle.df))
    assert bound.estimate.low == pytest.approx(oracle.confidence_interval().low)
    higher = bounds({"factor": 5.0, "direction": "higher"}, a=SHARP, b=FLAT)[0]
    assert ends(higher.estimate) == pytest.approx(ends(bound.estimate))


@pytest.mark.parametrize(
    ("ratio", "states"),
    [
        ([1.9, 2.1], ["holds", "holds"]),
        ([2.2, 2.4], ["fails", "holds"]),
        ([1.5, 1.8], ["holds", "fails"]),
        ([None, 2.1], ["holds"]),
        ([1.99, 2.01], ["open", "open"]),
    ],
)
def test_a_ratio_lies_in_a_range(ratio, states):
    told = {"ratio": ratio, "direction": None}
    found = bounds(told, a=[2.0, 2.04, 1.97], b=[1.0, 1.01, 0.99])
    assert [bound.state for bound in found] == states
    assert not any(bound.needs_p for bound in found)


def test_a_closed_form_has_no_variance_between_runs():
    part = Measured.model_validate(LOWER | {"direction": "higher"})
    (bound,) = bounds_of_measured(part, {"a": runs([5.0, 5.5, 6.0]), "b": runs([4.0], deterministic=True)})
    oracle = stats.ttest_1samp([1.0, 1.5, 2.0], 0.0)
    assert ends(bound.estimate) == pytest.approx((1.5, *oracle.confidence_interval(), oracle.pvalue))
    (both,) = bounds_of_measured(part, {"a": runs([5.0], True), "b": runs([4.0], True)})
    assert ends(both.estimate) == (1.0, 1.0, 1.0, 0.0)


def test_false_positives_are_rare():
    """Without a difference a direction errs in 2.5 % of repetitions, with unequal variances too."""
    generator, n = np.random.default_rng(5), 800
    found = [bounds({}, a=generator.normal(1, 1, 3), b=generator.normal(1, 4, 5))[0].estimate.low for _ in range(n)]
    assert np.mean(np.array(found) > 0) < 0.025 + 3 * np.sqrt(0.025 * 0.975 / n)


def slopes(*exponents, noise=0.0, lengths=(64, 128, 256, 512)):
    """Runs in which the number grows with these exponents."""
    generator = np.random.default_rng(0)

    def value(length, exponent):
        return 1e-3 * length**exponent * np.exp(noise * generator.standard_normal())

    return Runs([[Measurement("s over length", n, value(n, exponent)) for n in lengths] for exponent in exponents])


def growth(told, **own):
    return list(bounds_of_growth(Growth.model_validate(GROWTH | told), own))


def test_a_slope_is_the_mean_of_the_slopes_of_the_runs():
    low, high = growth({}, a=slopes(0.98, 1.0, 1.03))
    above = [0.08, 0.1, 0.13]
    oracle = stats.ttest_1samp(above, 0.0)
    assert ends(low.estimate) == pytest.approx((np.mean(above), *oracle.confidence_interval(), oracle.pvalue))
    assert [low.state, high.state] == ["holds", "holds"]
    assert [bound.state for bound in growth({}, a=slopes(1.9, 2.0, 2.1))] == ["holds", "fails"]
    assert [bound.state for bound in growth({"slope": [0, None]}, a=slopes(0.5, -0.4, 0.2))] == ["open"]


def test_one_run_has_the_interval_of_its_regression():
    one = slopes(1.0, noise=0.05)
    at, values = zip(*((row.at, row.value) for row in one.rows[0]), strict=True)
    fit = stats.linregress(np.log(at), np.log(values))
    reach = stats.t.ppf(0.975, len(at) - 2) * fit.stderr
    low, _ = growth({}, a=one)
    assert ends(low.estimate)[:3] == pytest.approx((fit.slope - 0.9, fit.slope - 0.9 - reach, fit.slope - 0.9 + reach))


def test_the_slope_of_a_ratio_is_a_difference_of_slopes():
    own, other = slopes(2.0, 1.9, 2.1), slopes(1.0, 1.1, 1.05)
    (bound,) = growth({"slope": [0, None], "against": "b"}, a=own, b=other)
    oracle = stats.ttest_ind([2.0, 1.9, 2.1], [1.0, 1.1, 1.05], equal_var=False)
    assert (bound.estimate.value, bound.estimate.p) == pytest.approx((0.95, oracle.pvalue))
    assert bound.text == "slope of lambda_max over length, divided by that of b, less 0"


@pytest.mark.parametrize(
    ("part", "own", "words"),
    [
        (Measured.model_validate(LOWER), runs([-1.0, 2.0]), ""),
        (
            Measured.model_validate(LOWER | {"factor": 1}),
            runs([-1.0, 2.0]),
            "lambda_max of a is -1, and only numbers above 0 have a ratio",
        ),
        (Growth.model_validate(GROWTH), slopes(1.0), ""),
        (
            Growth.model_validate(GROWTH),
            slopes(1.0, lengths=(64, 128)),
            "lambda_max of a is known for 2 values of length, expected 3",
        ),
    ],
)
def test_numbers_that_cannot_be_compared_say_why(part, own, words):
    assert unfit(part, {"a": own}) == words


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"direction": None}, "expected either direction or ratio"),
        ({"ratio": [1, 2]}, "expected either direction or ratio"),
        ({"direction": None, "ratio": [1, 2], "factor": 2.0}, "factor goes with direction"),
        ({"direction": None, "ratio": [0, 2]}, "expected a ratio above 0, or null"),
    ],
)
def test_parts_that_are_refused(told, message):
    with pytest.raises(ValueError, match=message):
        Measured.model_validate(LOWER | told)


def tidy(*rows):
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


def test_each_file_is_read_as_tidy_rows(suite, tmp_path):
    folder = Path("results/runs/beauty/sasrec-0000cccc/seed-1/probes")
    found = read_measurements(folder / "robustness/robustness.parquet")
    assert ("relative_change of ndcg@10, insert_random-0.2", None, pytest.approx(-0.1)) in found
    assert ("hit_rate@10, shuffle", None, pytest.approx(0.2 * 0.87)) in found
    assert ("coverage@20", None, 0.75) in read_measurements(folder / "exposure/exposure.json")
    write_parquet(tmp_path / "measurements.parquet", tidy(("s over length", 50, 0.1), ("trace", None, None)))
    assert read_measurements(tmp_path / "measurements.parquet") == [("s over length", 50.0, 0.1)]


def test_files_that_are_none_are_refused(tmp_path):
    write_parquet(tmp_path / "measurements.parquet", pa.table({"measure": ["x"], "value": [1.0]}))
    with pytest.raises(InputError, match=r"measurements.parquet: no column 'at', expected measure, at, value"):
        read_measurements(tmp_path / "measurements.parquet")
    with pytest.raises(InputError, match=r"other.csv: no measurements are read from it, expected one of"):
        read_measurements(tmp_path / "other.csv")


CLAIM = {"statement": "So.", "origin": "paper", "source": "abstract", "basis": "known", "family": "x"}
ROBUST = {"kind": "measured", "probe": "robustness", "measure": "relative_change of ndcg@10, shuffle", "seeds": 2}
SECONDS = {"kind": "growth", "probe": "robustness", "measure": "seconds", "over": "length", "slope": [0.9, 1.1]}


@pytest.fixture
def of_part(suite, judge_request):
    """What one part finds on its first dataset, and the hash of what that rests on."""

    def found(told, **probes):
        part = {"id": "part", "model": "sasrec", "datasets": ["beauty"]} | told
        claims = {"paper": "samrec", "title": "x", "reference": "x", "claims": [CLAIM | {"id": "C1", "parts": [part]}]}
        Path("registry/papers/samrec/claims.yaml").write_text(yaml.safe_dump(claims))
        judge.run(judge_request(**probes))
        (claim,) = json.loads(Path("results/standard/verdicts/verdicts.json").read_text())["claims"]
        return claim["parts"][0]["findings"][0], claim["provenance"]

    return found


def test_robustness_decides_and_enters_what_the_verdict_rests_on(of_part):
    told = ROBUST | {"against": ["sasrec"], "direction": "higher"}
    finding, before = of_part(told)
    assert (finding["state"], finding["seeds"], finding["users"]) == ("open", 3, 0)
    assert finding["bounds"][0]["value"] == 0
    path = Path("results/runs/beauty/sasrec-0000cccc/seed-1/probes/robustness/robustness.parquet")
    rows = pq.read_table(path).to_pylist()
    write_parquet(path, pa.Table.from_pylist([row | {"relative_change": -0.5} for row in rows]))
    assert of_part(told)[1] != before


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({"against": ["hydrarec"]}, "hydrarec is planned and has not run"),
        ({"against": ["samrec"]}, "no run of samrec is planned in suite standard"),
        ({"against": ["popularity"]}, "the probe robustness of popularity is planned and has not run"),
        ({"against": ["sasrec"], "probe": "timing"}, "the probe timing of sasrec is not planned in suite standard"),
        ({"against": ["sasrec"], "measure": "speed"}, "the probe robustness of sasrec has no such measure"),
        ({"against": ["sasrec"], "seeds": 4}, "sasrec has 3 of 4 seeds, and 3 are planned"),
        ({"against": ["sasrec"], "datasets": ["generated"]}, "no run of sasrec is planned in suite standard"),
    ],
)
def test_what_is_missing_of_a_probe(of_part, told, missing):
    finding, _ = of_part(ROBUST | {"direction": "higher"} | told)
    assert (finding["state"], finding["missing"]) == ("missing", missing)


def test_costs_are_measured_on_generated_data_too(of_part):
    told = ROBUST | {"against": ["sasrec"], "direction": "higher", "datasets": ["generated"], "cost": True}
    assert of_part(told)[0]["state"] == "open"


def test_a_probe_with_a_tidy_file_decides_a_growth(of_part):
    for seed in (1, 2, 3):
        rows = [("seconds over length", n, 1e-3 * n ** (1 + 0.01 * seed)) for n in (50, 100, 200)]
        write_parquet(
            Path(f"results/runs/beauty/sasrec-0000cccc/seed-{seed}/probes/timing/measurements.parquet"), tidy(*rows)
        )
    timing = {"timing": "measurements.parquet"}
    finding, _ = of_part(SECONDS | {"probe": "timing"}, **timing)
    assert (finding["state"], finding["seeds"]) == ("holds", 3)
    assert [bound["value"] for bound in finding["bounds"]] == pytest.approx([0.12, 0.08])
    assert of_part(SECONDS | {"probe": "timing", "slope": [1.9, 2.1]}, **timing)[0]["state"] == "fails"

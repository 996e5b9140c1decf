"""How a number grows with a setting decides claims: the table of variations, read by seed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from seqrepro.config.claim_plan import coverage
from seqrepro.config.load import load_parameters
from seqrepro.config.requests import plan_requests
from seqrepro.data.registry import load_registry
from seqrepro.ledger.claims import Claim, all_claims
from seqrepro.ledger.grounds import Grounds
from seqrepro.ledger.parts import Scaling
from seqrepro.ledger.verdicts import findings

ROOT = Path(__file__).parents[2]
LENGTHS = (20, 50, 100, 200)
WANTED = {"id": "x", "kind": "scaling", "variation": "lengths", "measure": "seconds_per_step", "model": "a"}
WANTED |= {"datasets": ["toy"], "slope": [0, 1], "seeds": 2}


def rows_of(model, *slopes, lengths=LENGTHS, **changes):
    """A number that grows with an exponent, one for each seed."""
    place = {"dataset": "toy", "protocol_name": "leave-one-out", "variation": "lengths", "measure": "seconds_per_step"}
    place |= {"data_class": "primary", "model": model, **changes}
    return [
        {**place, "seed": seed, "at": at, "value": 1e-3 * at**slope}
        for seed, slope in enumerate(slopes, 1)
        for at in lengths
    ]


@pytest.fixture
def found(tmp_path):
    """What one part finds in a table with these rows; None: the table was not made."""

    def find(rows, planned=True, **told):
        part = Scaling.model_validate(WANTED | told)
        claim = {"id": "C1", "statement": "So.", "origin": "paper", "source": "abstract", "basis": "known"}
        whole = Claim.model_validate(claim | {"family": "x", "parts": [part.canonical()]})
        path = tmp_path / "tables/variations.csv"
        if rows is not None:
            path.parent.mkdir(exist_ok=True)
            pd.DataFrame(rows).to_csv(path, index=False)
        grounds = Grounds("standard", tmp_path, inputs=frozenset([path.as_posix()] if planned else []))
        (finding,) = findings(part, whole, "samrec", grounds)
        return finding

    return find


def test_the_slope_is_the_mean_of_those_of_the_seeds(found):
    noise = rows_of("a", 0.9, 0.9, measure="ndcg@10") + rows_of("a", 0.9, 0.9, dataset="other")
    noise += rows_of("a", 0.9, 0.9, protocol_name="global-temporal") + rows_of("a", 0.9, 0.9, variation="rates")
    finding = found([*rows_of("a", 0.5, 0.52, 0.57), *noise])
    low, high = finding.bounds
    oracle = stats.ttest_1samp([0.5, 0.52, 0.57], 0.0).confidence_interval()
    assert (finding.state, finding.seeds) == ("holds", 3)
    assert (low.estimate.value, low.estimate.low, low.estimate.high) == pytest.approx((0.53, *oracle))
    assert high.estimate.value == pytest.approx(0.47)
    assert low.text == "slope of seconds_per_step over lengths, less 0"


def test_the_slope_of_a_ratio_is_the_difference_of_slopes(found):
    finding = found([*rows_of("a", 0.9, 0.92), *rows_of("b", 0.9, 0.93)], against="b")
    assert finding.bounds[0].estimate.value == pytest.approx(-0.005)
    assert finding.state == "open"


def test_seeds_count_that_have_every_setting_of_both_models(found):
    rows = [*rows_of("a", 0.5, 0.52), *[row | {"seed": 3} for row in rows_of("a", 5.0, lengths=LENGTHS[:3])]]
    finding = found(rows)
    assert (finding.state, finding.seeds) == ("holds", 2)
    finding = found([*rows, *rows_of("b", 0.1, 0.1, lengths=LENGTHS[:3])], against="b")
    assert finding.missing == "no seed of b has seconds_per_step for all of lengths"


@pytest.mark.parametrize(
    ("rows", "told", "missing"),
    [
        ([], {"planned": False}, "no variation is planned in suite standard"),
        (None, {}, "no seed of a has seconds_per_step for all of lengths"),
        (
            rows_of("a", 0.5, 0.6, data_class="generated"),
            {},
            "no seed of a has seconds_per_step for all of lengths",
        ),
        (rows_of("a", 0.5, 0.6), {"against": "b"}, "no seed of b has seconds_per_step for all of lengths"),
        (rows_of("a", 0.5), {}, "a with all of lengths has 1 of 2 seeds"),
    ],
)
def test_what_is_missing(found, rows, told, missing):
    finding = found(rows or None, **told)
    assert (finding.state, finding.missing) == ("missing", missing)


def test_two_settings_are_too_few_and_zeros_have_no_logarithm(found):
    finding = found(rows_of("a", 0.5, 0.6, lengths=(20, 50)))
    assert finding.barred == "seconds_per_step of a is known for 2 values of lengths, expected 3"
    rows = rows_of("a", 0.5, 0.6)
    rows[0]["value"] = 0.0
    assert found(rows).state == "not comparable"


def test_one_run_has_the_interval_of_its_regression(found):
    rows = rows_of("a", 0.5)
    for row, factor in zip(rows, (1.0, 1.02, 0.97, 1.01), strict=True):
        row["value"] *= factor
    low, _ = found(rows, seeds=1).bounds
    fit = stats.linregress(np.log(LENGTHS), np.log([row["value"] for row in rows]))
    reach = stats.t.ppf(0.975, 2) * fit.stderr
    assert (low.estimate.low, low.estimate.high) == pytest.approx((fit.slope - reach, fit.slope + reach))


def test_the_full_suite_has_all_that_the_claim_about_growing_histories_needs(monkeypatch):
    monkeypatch.chdir(ROOT)
    parameters = load_parameters()
    (judged,) = plan_requests(parameters, "full", load_registry()).of("judge").values()
    told = {one.claim: one for one in coverage(all_claims(), parameters, judged)}
    assert told["hydrarec/C7"].state == "planned"
    parameters.experiments["hydrarec-users"].variations.clear()
    told = {one.claim: one for one in coverage(all_claims(), parameters, judged)}
    words = "variation user-shares of {} on ml-1m-assembled"
    assert told["hydrarec/C7"].missing == [words.format(name) for name in ("hydrarec-long", "sasrec-long")]

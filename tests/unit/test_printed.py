"""Printed numbers decide sizes and levels: which rows of published.csv count, and a row that is added."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml

from seqrepro.cli import main
from seqrepro.ledger import judge
from seqrepro.ledger.claims import all_claims
from seqrepro.ledger.parts import Level, Size
from seqrepro.ledger.printed import printed_for
from seqrepro.ledger.published import COLUMNS, read_protocol, read_published

ROOT = Path(__file__).parents[2]
FULL = "leave-one-out, full ranking, seen masked"
OURS = read_protocol("leave-one-out, full ranking, history masked, ties pessimistic")
BEAUTY = {"family": "beauty", "variant": "5-core", "published_variants": ["22363"], "comparable": True, "caveat": None}
ROW = dict.fromkeys(COLUMNS, "") | {
    **{"paper": "samrec", "table": "Table 2", "dataset": "beauty", "variant": "5-core 22363 users"},
    **{"model": "SAMRec", "metric": "ndcg@10", "value": "0.05", "reported_by": "authors", "source_class": "primary"},
    "protocol": FULL,
}
PART = {"id": "x", "model": "samrec", "metrics": ["ndcg@10", "mrr@10"], "datasets": ["beauty"]}
LEVEL = PART | {"kind": "level", "printed": {"model": "SAMRec"}}
SIZE = PART | {"kind": "size", "against": "sasrec", "printed": {"model": "SAMRec", "against": "SASRec"}}
SASREC = {"model": "SASRec", "value": "0.04"}
GAIN = {"model": "SAMRec against SASRec", "metric": "ndcg@10_gain_percent", "value": "7"}


@pytest.fixture
def chosen(tmp_path):
    """What is printed for a part, as (values, reasons), given rows that differ from ROW."""

    def printed(part, *rows, dataset=BEAUTY):
        path = tmp_path / "published.csv"
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(ROW | row for row in rows)
        kind = Level if part["kind"] == "level" else Size
        found = printed_for(kind.model_validate(part), dataset, OURS, read_published([path]))
        return [([round(number.value, 6) for number in one.numbers], one.reasons) for one in found]

    return printed


def test_a_level_is_a_row_of_its_model(chosen):
    assert chosen(LEVEL, {}) == [([0.05], [])]
    assert chosen(LEVEL, {"model": "samrec "}) == [([0.05], [])]
    assert chosen(LEVEL, {"model": "SAMRec+"}) == []
    assert chosen(LEVEL, {"dataset": "ml-1m"}) == []
    assert chosen(LEVEL, {"metric": "hit_rate@10"}) == []


def test_each_printed_metric_counts(chosen):
    assert chosen(LEVEL, {}, {"metric": "mrr@10", "value": "0.03"}) == [([0.05], []), ([0.03], [])]


def test_a_table_and_a_reporter_can_be_named(chosen):
    named = LEVEL | {"printed": {"model": "SAMRec", "table": "Table 2", "reported_by": "SAMRec"}}
    assert chosen(named, {}) == []
    assert chosen(named, {"reported_by": "SAMRec paper quoted by a note"}) == [([0.05], [])]
    assert chosen(named, {"reported_by": "SAMRec paper", "table": "Table 3"}) == []


def test_primary_comes_before_quoted_before_derived(chosen):
    rows = [{"value": f"0.0{i}", "source_class": name} for i, name in enumerate(("derived", "quoted", "primary"), 1)]
    assert [chosen(LEVEL, *rows[:n])[0][0] for n in (1, 2, 3)] == [[0.01], [0.02], [0.03]]


def test_what_does_not_compare_is_set_aside_whatever_its_class(chosen):
    other = {"value": "0.09", "variant": "12101 items"}
    assert chosen(LEVEL, other, {"source_class": "quoted"}) == [([0.05], [])]
    assert chosen(LEVEL, other) == [([], ["variant not known to agree (theirs: 12101 items; ours: 5-core)"])]


def test_conflicting_rows_of_a_class_are_all_held_against(chosen):
    assert chosen(LEVEL, {}, {"value": "0.06", "reported_by": "others"}) == [([0.05, 0.06], [])]
    assert chosen(LEVEL, {}, {"table": "Table 3"}) == [([0.05], [])]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"protocol": "leave-one-out, full ranking, seen unmasked"}, "other history masking"),
        ({"protocol": "leave-one-out, full ranking"}, "history masking not stated"),
        ({"protocol": "leave-one-out, 99 sampled negatives, masked"}, "sampled candidates"),
        ({"value": "0"}, "the printed number is 0, of which no share is a margin"),
    ],
)
def test_a_row_that_does_not_compare_says_why(chosen, row, reason):
    assert chosen(LEVEL, row) == [([], [reason])]


def test_a_gain_follows_from_two_rows_of_one_table(chosen):
    assert chosen(SIZE, {}, SASREC) == [([0.25], [])]
    for key in ("table", "variant", "protocol", "reported_by"):
        other = {"protocol": "leave-one-out, full ranking, masked"}.get(key, "another 22363")
        assert chosen(SIZE, {}, SASREC | {key: other}) == []


def test_a_printed_gain_comes_before_a_computed_one_of_its_class(chosen):
    assert chosen(SIZE, GAIN) == [([0.07], [])]
    assert chosen(SIZE, {}, SASREC, GAIN) == [([0.07], [])]
    assert chosen(SIZE, {}, SASREC, GAIN | {"source_class": "quoted"}) == [([0.25], [])]
    assert chosen(SIZE, {}, SASREC | {"source_class": "derived"}, GAIN | {"source_class": "quoted"}) == [([0.07], [])]


@pytest.fixture
def judged(suite, judge_request):
    """Judge SAMRec's own claims, with a copy of its registry; SASRec plays SAMRec, and EASE SASRec: past its gate."""
    shutil.rmtree("registry")
    shutil.copytree(ROOT / "registry/papers/samrec", "registry/papers/samrec")
    told = yaml.safe_load(Path("registry/papers/samrec/claims.yaml").read_text())
    told["claims"] = [claim | {"gates": []} for claim in told["claims"]]
    Path("registry/papers/samrec/claims.yaml").write_text(yaml.safe_dump(told))
    suite["datasets"] |= {name: BEAUTY | {"family": name} for name in ("sports", "toys", "yelp")}
    for run in suite["runs"]:
        played = {"sasrec": "samrec", "ease": "sasrec-bce"}.get(run["model"], run["model"])
        run["names"] = [[played, "leave-one-out"]]

    def claim(name="C3"):
        judge.run(judge_request())
        found = json.loads(Path("results/standard/verdicts/verdicts.json").read_text())["claims"]
        return next(one for one in found if one["id"] == name)

    return claim


def add_rows(*rows):
    with Path("registry/papers/samrec/published.csv").open("a", newline="") as stream:
        csv.DictWriter(stream, COLUMNS, lineterminator="\n").writerows(ROW | row for row in rows)


def parts(claim):
    return {part["id"]: part for part in claim["parts"]}


def beauty(part):
    """What a part finds on Beauty for the metric that is printed."""
    return [one for one in part["findings"] if one["dataset"] == "beauty"]


def means():
    names = {"SAMRec": "sasrec", "SASRec": "ease"}
    rows = json.loads(Path("results/standard/tables/metrics.json").read_text())["beauty"]
    return {printed: rows[own]["ndcg@10"] for printed, own in names.items()}


def test_a_row_in_the_csv_is_all_that_a_verdict_needs(judged, capsys):
    before = judged()
    assert {name: part["verdict"] for name, part in parts(before).items()} == {
        "direction": "not tested",
        "size": "not comparable",
        "level": "not comparable",
    }
    (finding,) = beauty(parts(before)["level"])
    assert finding["reasons"] == (
        "no printed value of SAMRec for beauty; a row in registry/papers/samrec/published.csv adds it"
    )
    ours = means()
    add_rows(*({"model": model, "value": f"{value:.6f}"} for model, value in ours.items()))
    after = judged()
    assert after["provenance"] != before["provenance"]
    (level,), (size,) = (beauty(parts(after)[name]) for name in ("level", "size"))
    assert (level["metric"], level["printed"][0]["value"]) == ("ndcg@10", pytest.approx(ours["SAMRec"], abs=1e-6))
    assert size["gain"]["value"] == pytest.approx(ours["SAMRec"] / ours["SASRec"] - 1, abs=1e-4)
    assert size["gain"]["low"] < size["printed"][0]["value"] < size["gain"]["high"]
    assert {level["state"], size["state"]} <= {"holds", "open"}  # the printed values are our own
    assert parts(after)["size"]["verdict"] == {"holds": "reproduced", "open": "inconclusive"}[size["state"]]
    assert main(["verdict", "samrec/C3", "--suite", "standard"]) == 0
    text = capsys.readouterr().out
    assert "printed: " in text and "our gain: " in text and "beauty, ndcg@10: " in text


def test_a_value_that_we_do_not_reach_is_not_reproduced(judged):
    add_rows({"value": "0.99"}, {"model": "SASRec", "value": "0.01"})
    found = parts(judged())
    assert (found["level"]["verdict"], found["size"]["verdict"]) == ("not reproduced", "not reproduced")


def test_reports_that_disagree_leave_it_open_where_it_matters(judged, capsys):
    ours = means()["SAMRec"]
    add_rows({"value": f"{ours:.6f}"}, {"value": "0.99", "reported_by": "others"})
    (finding,) = beauty(parts(judged())["level"])
    assert finding["state"] == "open"
    assert [one["reported_by"] for one in finding["printed"]] == ["authors", "others"]
    assert main(["verdict", "samrec/C3", "--suite", "standard"]) == 0
    assert "These reports disagree" in capsys.readouterr().out


def test_no_number_of_a_paper_stands_twice_in_the_registry():
    """Claims name rows; each row that a claim names is there, unless the claim says that it is not."""
    told = {claims.paper: claims for claims in all_claims(ROOT / "registry/papers")}
    tim4rec = read_published([ROOT / "registry/papers/tim4rec/published.csv"])
    sizes = [part for claim in told["tim4rec"].claims for part in claim.parts if isinstance(part, Size | Level)]
    family = {"ml-1m": "ml-1m", "ml-1m-assembled": "ml-1m", "beauty": "beauty", "kuairand-pure": "kuairand"}
    for part in sizes:
        described = [BEAUTY | {"family": family[name]} for name in part.datasets]
        assert any(printed_for(part, one, OURS, tim4rec) for one in described) == (part.id != "size-beauty"), part.id

"""Gates: when our runs reach a printed number, what a gate that they miss does to claims, and where it is shown."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml

from seqrepro.cli import main
from seqrepro.errors import InputError
from seqrepro.ledger import judge
from seqrepro.ledger.claims import all_claims, read_claims
from seqrepro.ledger.printed import printed_for
from seqrepro.ledger.published import COLUMNS, read_protocol, read_published

ROOT = Path(__file__).parents[2]
METRICS = ["hit_rate@10", "ndcg@10"]
LEVEL = {"id": "level", "kind": "level", "model": "sasrec", "printed": {"model": "Theirs"}, "metrics": METRICS}
GATE = {"id": "G1", "statement": "Ours is theirs.", "source": "Table 9", "parts": [LEVEL | {"datasets": ["beauty"]}]}
DIRECTION = {"id": "direction", "kind": "superiority", "seeds": 2, "model": "ease", "against": ["popularity"]}
CLAIM = {
    **{"id": "C1", "statement": "It is so.", "origin": "paper", "source": "abstract", "family": "f"},
    **{"basis": "known", "gates": ["G1"], "parts": [DIRECTION | {"datasets": ["beauty"]}]},
}
ROW = dict.fromkeys(COLUMNS, "") | {
    **{"paper": "samrec", "table": "Table 9", "dataset": "beauty", "variant": "5-core 22363 users", "model": "Theirs"},
    **{"reported_by": "authors", "source_class": "primary", "protocol": "leave-one-out, full ranking, seen masked"},
}


def told(gate=GATE, claim=CLAIM):
    return {"paper": "samrec", "title": "SAMRec", "reference": "x", "gates": [gate], "claims": [claim]}


def means(model="sasrec"):
    return json.loads(Path("results/standard/tables/metrics.json").read_text())["beauty"][model]


def prints(*rows):
    """Add printed values of the model Theirs."""
    with Path("registry/papers/samrec/published.csv").open("a", newline="") as stream:
        csv.DictWriter(stream, COLUMNS, lineterminator="\n").writerows(ROW | row for row in rows)


def prints_ours(**shares):
    """Print so much of what we have, a share a metric."""
    prints(*({"metric": name, "value": f"{means()[name] * share:.8f}"} for name, share in shares.items()))


@pytest.fixture
def judged(judge_request):
    """Judge a gate and a claim by the suite, and return both."""

    def carry_out(content=None):
        Path("registry/papers/samrec/claims.yaml").write_text(yaml.safe_dump(content or told()))
        judge.run(judge_request())
        found = json.loads(Path("results/standard/verdicts/verdicts.json").read_text())
        return found["gates"][0], found["claims"][0]

    return carry_out


def test_a_gate_is_passed_if_every_mean_lies_within_the_margin(judged):
    prints_ours(**{"hit_rate@10": 1.04, "ndcg@10": 1 / 1.04})
    gate, claim = judged()
    (beauty,) = gate["datasets"]
    assert gate["verdict"] == beauty["verdict"] == "passed" and gate["claims"] == ["C1"]
    hit_rate, ndcg = beauty["values"]
    assert hit_rate["relative_value"] == pytest.approx(1 / 1.04 - 1, abs=1e-5)
    assert ndcg["relative_value"] == pytest.approx(0.04, abs=1e-5)
    assert ndcg["value"] == pytest.approx(means()["ndcg@10"]) and ndcg["low"] < ndcg["value"] < ndcg["high"]
    assert ndcg["relative_low"] == pytest.approx(ndcg["low"] / ndcg["printed"]["value"] - 1)
    assert (ndcg["seeds"], ndcg["margin"], ndcg["passed"]) == (3, 0.05, True)
    assert ndcg["relative_high"] > 0.05 and ndcg["interval"] == "undecided"  # shown, and decides nothing
    assert claim["verdict"] == "reproduced" and claim["gates"] == ["G1"]


def test_an_interval_is_inside_outside_or_undecided(judged):
    wide = GATE | {"parts": [LEVEL | {"datasets": ["beauty"], "margin": 0.9}]}
    prints_ours(**{"ndcg@10": 1.0})
    assert judged(told(wide))[0]["datasets"][0]["values"][0]["interval"] == "inside"
    prints_ours(**{"hit_rate@10": 0.5})
    values = judged()[0]["datasets"][0]["values"]
    assert [(one["metric"], one["interval"], one["passed"]) for one in values] == [
        ("hit_rate@10", "outside", False),
        ("ndcg@10", "undecided", True),
    ]


def test_a_failed_gate_bars_the_claim_and_says_why(judged, capsys):
    prints_ours(**{"hit_rate@10": 1.0, "ndcg@10": 0.8})
    gate, claim = judged()
    assert gate["verdict"] == "failed" and gate["datasets"][0]["explained"] is None
    (finding,) = claim["parts"][0]["findings"]
    assert claim["verdict"] == finding["state"] == "not comparable" and "bounds" not in finding
    printed, ours = means()["ndcg@10"] * 0.8, means()["ndcg@10"]
    assert finding["reasons"].startswith("gate G1 failed on beauty, unexplained: hit_rate@10 ")
    assert finding["reasons"].endswith(f"ndcg@10 .{ours * 1e4:.0f} against .{printed * 1e4:.0f}, +25.0 %")
    assert main(["verdict", "samrec/G1", "--suite", "standard"]) == 0
    text = capsys.readouterr().out
    assert "beauty: failed, unexplained" in text and "+25.00 %" in text and "Claims that rest on it: C1" in text


def test_each_of_several_printed_numbers_must_be_reached(judged):
    ours = means()["ndcg@10"]
    prints(*({"metric": "ndcg@10", "value": f"{ours * share:.6f}", "table": f"{share}"} for share in (1.0, 0.8)))
    gate, _ = judged()
    assert [one["passed"] for one in gate["datasets"][0]["values"]] == [True, False]
    assert gate["verdict"] == "failed"


def test_an_explained_deviation_opens_the_gate_and_leaves_it_failed(judged, capsys):
    prints_ours(**{"ndcg@10": 0.8})
    why = {"beauty": {"text": "Their masking by 0.", "ablation": "results/standard/tables/masking.csv"}}
    gate, claim = judged(told(GATE | {"explained": why}))
    assert gate["verdict"] == "failed" and gate["datasets"][0]["explained"] == why["beauty"]
    assert claim["verdict"] == "reproduced"
    assert main(["verdict", "samrec/G1", "--suite", "standard"]) == 0
    assert "beauty: failed, explained: Their masking by 0." in capsys.readouterr().out


def test_an_explanation_does_not_replace_runs(judged):
    """TiM4Rec has one seed of three."""
    prints({"metric": "ndcg@10", "value": "0.5"})
    parts = [LEVEL | {"model": "tim4rec", "datasets": ["beauty"]}]
    why = {"beauty": {"text": "x", "ablation": "y"}}
    gate, claim = judged(told(GATE | {"parts": parts, "explained": why}))
    assert gate["verdict"] == "not tested" and gate["datasets"][0]["missing"].startswith("tim4rec has 1 of 3 seeds")
    (finding,) = claim["parts"][0]["findings"]
    assert finding["reasons"].startswith("gate G1 is not tested on beauty: tim4rec has 1 of 3 seeds")


def test_where_nothing_is_printed_that_compares_the_gate_says_nothing(judged):
    gate, claim = judged()
    assert gate["verdict"] == "not comparable" and "no printed value of Theirs" in gate["datasets"][0]["reasons"]
    assert claim["verdict"] == "reproduced"
    prints({"metric": "ndcg@10", "value": "0.5", "protocol": "leave-one-out, full ranking"})
    gate, claim = judged()
    assert gate["verdict"] == "not comparable" and gate["datasets"][0]["reasons"] == "history masking not stated"
    assert claim["verdict"] == "reproduced"


def test_a_claim_that_names_no_gate_is_not_barred(judged):
    prints_ours(**{"ndcg@10": 0.8})
    assert judged(told(claim=CLAIM | {"gates": []}))[1]["verdict"] == "reproduced"


def test_missing_runs_stay_missing_behind_a_gate(judged):
    prints_ours(**{"ndcg@10": 0.8})
    part = DIRECTION | {"model": "samrec", "datasets": ["beauty"]}
    assert judged(told(claim=CLAIM | {"parts": [part]}))[1]["verdict"] == "not tested"


def test_rows_of_a_barred_dataset_do_not_count(judged):
    prints_ours(**{"ndcg@10": 0.8})
    table = Path("results/standard/laws/r2.csv")
    part = {"id": "table", "kind": "tabulated", "table": "laws/r2.csv", "column": "gain", "above": 0}
    content = told(claim=CLAIM | {"parts": [part]})
    table.write_text("dataset,gain\nbeauty,-1\ntoys,1\n")
    finding = judged(content)[1]["parts"][0]["findings"][0]
    assert (finding["state"], finding["rows"], finding["rows_needed"]) == ("holds", 1, 1)
    table.write_text("dataset,gain\nbeauty,-1\n")
    finding = judged(content)[1]["parts"][0]["findings"][0]
    assert finding["state"] == "not comparable" and "gate G1 failed on beauty" in finding["reasons"]


def test_the_provenance_of_a_claim_covers_its_gates(judged):
    prints_ours(**{"ndcg@10": 1.0})
    before, bare = judged()[1], judged(told(claim=CLAIM | {"gates": []}))[1]
    other = GATE | {"parts": [LEVEL | {"datasets": ["beauty"], "margin": 0.04}]}
    assert judged(told(other))[1]["provenance"] != before["provenance"]
    assert judged(told(other, CLAIM | {"gates": []}))[1]["provenance"] == bare["provenance"]
    (folder,) = Path("results/runs/beauty").glob("sasrec-*")
    shutil.copy(folder / "seed-2/ranks.parquet", folder / "seed-1/ranks.parquet")
    assert judged()[1]["provenance"] != before["provenance"]
    assert judged(told(claim=CLAIM | {"gates": []}))[1]["provenance"] == bare["provenance"]


def test_the_table_of_verdicts_has_a_row_a_printed_number(judged):
    prints_ours(**{"hit_rate@10": 1.0, "ndcg@10": 0.8})
    judged()
    with Path("results/standard/verdicts/verdicts.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "gate"]
    assert [(row["claim"], row["metric"], row["verdict_of_part"]) for row in rows] == [
        ("G1", "hit_rate@10", "failed"),
        ("G1", "ndcg@10", "failed"),
    ]
    assert float(rows[1]["value"]) == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (told(claim=CLAIM | {"gates": ["G2"]}), "claim C1: found gate G2, expected one of G1"),
        (told(GATE | {"parts": [LEVEL | {"datasets": ["beauty"], "seeds": 2}]}), "part level: found 2 seeds"),
        (told(GATE | {"explained": {"toys": {"text": "x", "ablation": "y"}}}), "explained: found toys"),
        (told(GATE | {"id": "C1"}, CLAIM | {"gates": []}), "gates.0.id"),
        (told() | {"gates": [GATE, GATE]}, "two claims have one id: G1, G1, C1"),
    ],
)
def test_gates_that_are_refused(tmp_path, content, message):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as caught:
        read_claims(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_the_gates_of_samrec(monkeypatch, capsys):
    """Each printed number that a gate names is there and compares, each explanation names a file, and claims rest."""
    monkeypatch.chdir(ROOT)
    (samrec,) = [claims for claims in all_claims() if claims.paper == "samrec"]
    published = read_published([Path("registry/papers/samrec/published.csv")])
    ours = read_protocol("leave-one-out, full ranking, history masked, ties pessimistic")
    users = {"beauty": "22363 users", "toys": "19412 users"}
    for gate in samrec.gates:
        for part, name in ((one, name) for one in gate.parts for name in one.datasets):
            described = {"family": name, "published_variants": [users[name]], "variant": "", "comparable": True}
            found = printed_for(part, described, ours, published)
            assert [one.metric for one in found] == part.metrics, (gate.id, name)
            assert all(len(one.numbers) == 1 and not one.reasons for one in found), (gate.id, name)
        assert all(Path(one.ablation).is_file() for one in gate.explained.values())
    resting = {claim.id: claim.gates for claim in samrec.claims if claim.gates}
    assert resting == {**{f"C{i}": ["G1"] for i in range(1, 5)}, "C5": ["G1", "G3", "G4"]}
    assert main(["claims", "list"]) == 0
    assert "samrec/G1 " in capsys.readouterr().out
    assert main(["claims", "show", "samrec/G2"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"][0]["margin"] == 0.1

"""The judge step on a small suite, the claims of the papers, and the verbs that show them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from seqrepro.cli import main
from seqrepro.errors import InputError
from seqrepro.files import write_parquet
from seqrepro.ledger import judge
from seqrepro.ledger.claims import all_claims, read_claims
from seqrepro.ledger.explain import explain

WANTED = {
    "samrec": [*(f"C{i}" for i in range(1, 6)), *(f"X{i}" for i in range(1, 6))],
    "hydrarec": [*(f"C{i}" for i in range(1, 8)), *(f"X{i}" for i in range(1, 4))],
    "tim4rec": [*(f"C{i}" for i in range(1, 12)), *(f"X{i}" for i in range(1, 4))],
    "performance_law": [f"T{i}" for i in range(1, 13)],
}
COMMON = {"statement": "It is so.", "origin": "paper", "source": "abstract", "family": "samrec-accuracy"}
BEAUTY = {"metric": "ndcg@10", "datasets": ["beauty"], "seeds": 2}
BETTER = {"id": "direction", "kind": "superiority", **BEAUTY}
CLAIMS = {
    "paper": "samrec",
    "title": "SAMRec",
    "reference": "arXiv 2308.10347",
    "claims": [
        COMMON
        | {"id": "C1", "basis": "known", "parts": [BETTER | {"model": "sasrec", "against": ["popularity", "ease"]}]},
        COMMON | {"id": "C2", "basis": "re-derived", "parts": [BETTER | {"model": "popularity", "against": ["ease"]}]},
        COMMON | {"id": "C3", "basis": "known", "parts": [BETTER | {"model": "tim4rec", "against": ["sasrec"]}]},
        COMMON | {"id": "C4", "basis": "known", "parts": [BETTER | {"model": "samrec", "against": ["sasrec"]}]},
        COMMON
        | {
            "id": "C5",
            "basis": "known",
            "parts": [
                {"id": "equal", "kind": "equivalence", **BEAUTY, "model": "ease", "against": ["ease"]},
                BETTER | {"model": "popularity", "against": ["ease"], "deciding": False},
            ],
        },
        COMMON
        | {"id": "X1", "basis": "known", "parts": [{"id": "none", "kind": "untestable", "reason": "Private data."}]},
    ],
}


@pytest.fixture
def judge_claims(judge_request):
    """Judge claims of SAMRec by the suite, and return the verdicts by claim."""

    def carry_out(claims=CLAIMS):
        Path("registry/papers/samrec/claims.yaml").write_text(yaml.safe_dump(claims))
        judge.run(judge_request())
        found = json.loads(Path("results/standard/verdicts/verdicts.json").read_text())["claims"]
        return {claim["id"]: claim for claim in found}

    return carry_out


@pytest.fixture
def judged(judge_claims):
    return judge_claims()


def test_each_claim_has_its_verdict(judged):
    assert {name: claim["verdict"] for name, claim in judged.items()} == {
        "C1": "reproduced",
        "C2": "not reproduced",
        "C3": "not tested",  # one of two seeds has run
        "C4": "not tested",
        "C5": "reproduced",
        "X1": "not comparable",
    }
    missing = {name: judged[name]["parts"][0]["findings"][0]["missing"] for name in ("C3", "C4")}
    assert missing == {"C3": "tim4rec has 1 of 2 seeds", "C4": "no run of samrec is planned in suite standard"}


def test_a_row_a_bound(judged):
    rows = pq.read_table("results/standard/verdicts/verdicts.parquet").to_pylist()
    assert [(row["claim"], row["state"]) for row in rows[:3]] == [("C1", "holds"), ("C1", "holds"), ("C2", "fails")]
    first, bound = rows[0], judged["C1"]["parts"][0]["findings"][0]["bounds"][0]
    assert (first["value"], first["low"], first["p_holm"]) == (bound["value"], bound["low"], bound["p_holm"])
    assert first["provenance"] == judged["C1"]["provenance"]


def test_generated_data_judge_no_claim(judge_claims):
    claims = json.loads(json.dumps(CLAIMS))
    claims["claims"][0]["parts"][0]["datasets"] = ["generated"]
    assert judge_claims(claims)["C1"]["verdict"] == "not tested"


def test_a_run_counts_under_each_of_its_names(suite, judge_claims):
    """A selected configuration that is the default one is one run with two names."""
    (run,) = (run for run in suite["runs"] if run["model"] == "sasrec" and run["dataset"] == "beauty")
    run["names"].append(["samrec", "leave-one-out"])
    judged = judge_claims()
    assert judged["C4"]["parts"][0]["findings"][0]["state"] in ("open", "fails")
    run["names"][-1][1] = "leave-one-out-recbole"
    assert "missing" in judge_claims()["C4"]["parts"][0]["findings"][0]


def test_what_is_planned_and_has_not_run_is_told_from_what_is_not_planned(judge_claims):
    claims = json.loads(json.dumps(CLAIMS))
    claims["claims"][3]["parts"][0] |= {"model": "hydrarec"}
    claims["claims"][2]["parts"][0] |= {"seeds": 3}
    judged = judge_claims(claims)
    assert judged["C4"]["parts"][0]["findings"][0]["missing"] == "hydrarec is planned and has not run"
    assert judged["C3"]["parts"][0]["findings"][0]["missing"] == "tim4rec has 1 of 3 seeds, and 2 are planned"


def test_one_changed_rank_changes_what_a_verdict_rests_on(judged, judge_claims):
    path = Path("results/runs/beauty/sasrec-0000cccc/seed-1/ranks.parquet")
    table = pq.read_table(path)
    ranks = table["rank_masked_worst"].to_pylist()
    index = table.schema.get_field_index("rank_masked_worst")
    field = table.schema.field(index)
    write_parquet(path, table.set_column(index, field, pa.array([ranks[0] + 1, *ranks[1:]], field.type)))
    after = judge_claims()
    changed = {name for name, claim in after.items() if claim["provenance"] != judged[name]["provenance"]}
    assert changed == {"C1", "C3", "C4"}


def test_words(judged):
    lines = explain(judged["C1"])
    assert lines[0] == "samrec/C1: It is so."
    assert lines[2] == "Verdict: reproduced: every test that it needs holds."
    assert "beauty: holds (3 seeds, 60 users)" in lines[4]
    assert lines[-1] == f"Rests on: {judged['C1']['provenance']}"
    assert "  Private data." in explain(judged["X1"])


def test_the_papers_have_all_their_claims(repository):
    found = {claims.paper: [claim.id for claim in claims.claims] for claims in all_claims()}
    assert found == dict(sorted(WANTED.items()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": None}, "claims.0.family: Input should be a valid string, found None"),
        ({"parts": []}, "claims.0.parts: List should have at least 1 item"),
        ({"parts": [BETTER | {"model": "a", "against": ["b"], "deciding": False}]}, "no part decides it"),
        ({"parts": [BETTER | {"model": "a", "against": ["b"]}] * 2}, "two parts have one id: direction, direction"),
        ({"parts": [{"id": "x", "kind": "magic"}]}, "does not match any of the expected tags"),
    ],
)
def test_claims_that_are_refused(tmp_path, change, message):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(CLAIMS | {"claims": [CLAIMS["claims"][0] | change]}))
    with pytest.raises(InputError) as caught:
        read_claims(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_verbs(suite, judged, capsys):
    assert main(["claims", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].split() == ["samrec/C1", "It", "is", "so.", "[superiority]"]
    assert main(["claims", "show", "samrec/C1"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "C1"
    assert main(["verdict", "samrec/C1", "--suite", "standard"]) == 0
    assert "Verdict: reproduced" in capsys.readouterr().out
    assert main(["claims", "show", "samrec/C9"]) == 2
    assert capsys.readouterr().err == "seqrepro claims: claims: no claim 'samrec/C9'; did you mean 'samrec/C5'?\n"
    assert main(["verdict", "samrec/C1", "--suite", "quick"]) == 2
    assert "results/quick/verdicts/verdicts.json: no such file" in capsys.readouterr().err

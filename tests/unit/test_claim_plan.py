"""The plan knows the claims: what serves nothing does not run, and each claim says what it has in a suite."""

import shutil
from pathlib import Path

import pytest
import yaml

from seqrepro.cli import main
from seqrepro.config.claim_plan import LeftOut, coverage, needed_runs, unknown_names
from seqrepro.config.load import load_parameters
from seqrepro.config.requests import plan_requests
from seqrepro.data.registry import load_registry
from seqrepro.ledger.claims import all_claims, read_claims

ROOT = Path(__file__).parents[2]
CLAIM = {"statement": "So.", "origin": "paper", "source": "abstract", "basis": "known", "family": "x"}
BETTER = {"id": "x", "kind": "superiority", "datasets": ["toy"], "model": "sasrec", "against": ["ease"], "seeds": 2}
HEADER = "paper,table,dataset,variant,model,metric,value,reported_by,source,source_class,protocol,note\n"


@pytest.fixture
def claimed(repository, change):
    """Let an experiment show nothing, and replace the papers by one claim, of the given parts."""
    Path("registry").unlink()
    shutil.copytree(ROOT / "registry", "registry", ignore=shutil.ignore_patterns("papers"))
    change("    probes: [robustness]\n    shows: [accuracy]\n", "    probes: [robustness]\n")

    def write(*parts, published="", **more):
        paper = Path("registry/papers/samrec")
        paper.mkdir(parents=True, exist_ok=True)
        claims = [CLAIM | {"id": "C1", "parts": list(parts)} | more]
        told = {"paper": "samrec", "title": "x", "reference": "x", "claims": claims}
        (paper / "claims.yaml").write_text(yaml.safe_dump(told))
        (paper / "published.csv").write_text(HEADER + published)

    return write


def planned(suite="small"):
    """The models that are planned, and what is left out."""
    runs, left = needed_runs(load_parameters(), suite, load_registry())
    return sorted({run.config["model"]["family"] for run in runs}), left


def left_out(*models, dataset="toy"):
    return [LeftOut("baselines", dataset, models)]


def test_a_model_that_no_claim_names_is_left_out(claimed):
    claimed(BETTER)
    assert planned() == (["ease", "sasrec"], left_out("popularity"))


def test_a_claim_of_another_dataset_or_protocol_needs_nothing(claimed):
    everything = [], left_out("popularity", "ease", "sasrec")
    claimed(BETTER | {"datasets": ["beauty"]})
    assert planned() == everything
    claimed(BETTER, protocol="leave-one-out-recbole")
    assert planned() == everything


def test_extensions_controls_and_reported_parts_are_needed_too(claimed):
    claimed(
        BETTER | {"datasets": ["beauty"], "extensions": ["toy"], "controls": ["popularity"], "deciding": False},
        BETTER | {"id": "y"},
    )
    assert planned() == (["ease", "popularity", "sasrec"], [])


def test_a_gate_needs_its_model_and_is_counted(claimed, capsys):
    claimed(BETTER, published="samrec,Table 1,toy,x,PopRec,ndcg@10,0.1,authors,paper,primary,unknown,\n")
    path = Path("registry/papers/samrec/claims.yaml")
    level = {"id": "x", "kind": "level", "model": "popularity", "datasets": ["toy", "beauty"], "metrics": ["ndcg@10"]}
    gate = {"id": "G1", "statement": "So.", "source": "x", "parts": [level | {"printed": {"model": "PopRec"}}]}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"gates": [gate]}))
    assert planned() == (["ease", "popularity", "sasrec"], [])
    assert main(["plan", "--claims", "--csv"]) == 0
    told = capsys.readouterr()
    assert "samrec/G1,in part,datasets to come: beauty" in told.out
    assert told.err.startswith("claims: 1 have all their runs in this suite, 1 some")
    (request,) = plan_requests(load_parameters(), "small", load_registry()).of("judge").values()
    assert request.parameters["datasets"]["toy"]["family"]  # what decides whether printed numbers compare


def test_what_a_probe_measures_needs_its_runs(claimed):
    part = {"id": "x", "kind": "measured", "probe": "robustness", "measure": "ndcg@10, shuffle", "direction": "lower"}
    claimed(part | {"model": "sasrec", "against": ["popularity"], "datasets": ["toy"]})
    assert planned()[1] == left_out("ease")


def test_a_published_number_needs_its_model(claimed, change):
    change("    title: Popularity\n", "    title: Popularity\n    published_as: [PopRec]\n")
    row = "samrec,Table 1,{},x,poprec,ndcg@10,0.01,authors,paper,primary,unknown,\n"
    claimed(BETTER, published=row.format("ml-100k"))
    assert planned("public") == (["popularity"], left_out("ease", "sasrec", dataset="movies"))
    claimed(BETTER, published=row.format("beauty"))
    assert planned("public")[0] == []


def test_what_shows_something_runs_whether_or_not_a_claim_needs_it(claimed, change):
    claimed(BETTER | {"datasets": ["beauty"]})
    change("    probes: [robustness]\n", "    probes: [robustness]\n    shows: [learning]\n")
    assert planned() == (["ease", "popularity", "sasrec"], [])


def test_a_run_keeps_the_needs_that_serve_something(claimed):
    """`baselines` shows nothing, `attention` shows its accuracy: the probe that only the former wants is not run."""
    claimed(BETTER | {"datasets": ["beauty"]})
    runs, _ = needed_runs(load_parameters(), "both", load_registry())
    assert {need.experiment for run in runs for need in run.needs} == {"attention"}
    assert {run.probes for run in runs} == {()}


def test_plan_says_what_is_left_out_and_what_claims_have(claimed, capsys):
    claimed(BETTER)
    assert main(["plan"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == [
        "left out: baselines on toy (popularity): no claim, published number or chapter needs it",
        "claims: 1 have all their runs in this suite, 0 some, 0 none (`seqrepro plan --claims` names them)",
    ]


def test_nothing_of_the_repository_is_left_out(monkeypatch):
    monkeypatch.chdir(ROOT)
    parameters, registry = load_parameters(), load_registry()
    assert [needed_runs(parameters, suite, registry)[1] for suite in parameters.suites] == [
        [] for _ in parameters.suites
    ]


@pytest.mark.parametrize(
    ("parts", "state", "missing"),
    [
        ([BETTER], "planned", []),
        ([BETTER | {"seeds": 3}], "in part", ["sasrec on toy with 3 seeds (2 planned)"]),
        ([BETTER | {"model": "samrec"}], "in part", ["models to come: samrec"]),
        ([BETTER | {"model": "samrec", "against": ["hydrarec"]}], "not planned", ["models to come: samrec, hydrarec"]),
        (
            [BETTER | {"datasets": ["movies", "beauty"]}],
            "not planned",
            ["sasrec on movies", "datasets to come: beauty", "ease on movies"],
        ),
        (
            [
                {"id": "x", "kind": "tabulated", "table": "laws/r2.csv", "column": "r2", "above": 0.5},
                BETTER | {"id": "y"},
            ],
            "in part",
            ["table laws/r2.csv"],
        ),
        ([{"id": "x", "kind": "untestable", "reason": "private"}], "nothing to run", []),
        ([BETTER, {"id": "y", "kind": "untestable", "reason": "private"}], "planned", []),
        ([BETTER, BETTER | {"id": "y", "model": "samrec", "deciding": False}], "planned", []),
    ],
)
def test_what_a_claim_has_in_a_suite(claimed, make_plan, parts, state, missing):
    claimed(*parts)
    (judged,) = make_plan().of("judge").values()
    (found,) = coverage(all_claims(), load_parameters(), judged)
    assert (found.state, found.missing) == (state, missing)


def test_a_claim_misses_a_protocol_or_a_probe(claimed, make_plan, change):
    change(
        "  leave-one-out: {split: leave_one_out}\n",
        "  leave-one-out: {split: leave_one_out}\n  other: {split: leave_one_out_recbole}\n",
    )
    change("    probes: [robustness]\n", "    probes: [robustness]\n    shows: [accuracy]\n")
    claimed(BETTER, protocol="other")
    (judged,) = make_plan().of("judge").values()
    assert coverage(all_claims(), load_parameters(), judged)[0].missing == [
        "sasrec on toy under other",
        "ease on toy under other",
    ]
    part = {
        "id": "x",
        "kind": "measured",
        "probe": "robustness",
        "measure": "ndcg@10, shuffle",
        "direction": "lower",
        "seeds": 2,
    }
    claimed(part | {"model": "sasrec", "against": ["ease"], "datasets": ["toy"]})
    (judged,) = make_plan().of("judge").values()
    assert coverage(all_claims(), load_parameters(), judged)[0].missing == ["probe robustness of ease on toy"]


def test_the_table_of_claims(claimed, capsys):
    claimed(BETTER | {"seeds": 3})
    assert main(["plan", "--claims", "--csv"]) == 0
    out, err = capsys.readouterr()
    assert out == "claim,runs,missing\nsamrec/C1,in part,sasrec on toy with 3 seeds (2 planned)\n"
    assert err.startswith("claims: 0 have all their runs in this suite, 1 some, 0 none")
    assert not Path("results").exists()


def test_every_name_of_a_claim_is_known_or_to_come(monkeypatch):
    monkeypatch.chdir(ROOT)
    parameters = load_parameters()
    for claims in all_claims():
        assert unknown_names(claims, parameters) == [], claims.paper
        used = {name for claim in claims.claims for name in claim.models()}
        assert sorted(set(claims.to_come.models) - used) == [], "described, and no claim names it"


def test_a_misspelt_name_is_found(tmp_path):
    path = ROOT / "registry/papers/samrec/claims.yaml"
    broken = tmp_path / "claims.yaml"
    text = path.read_text()
    for old, new in (
        ("against: [sasrec-bce-twice]", "against: [sasrec-bec-twice]"),
        ("probe: sharpness", "probe: sharpnes"),
    ):
        text = text.replace(old, new, 1)
    broken.write_text(text.replace("extensions: [ml-100k]", "extensions: [ml-100]", 1))
    found = unknown_names(read_claims(broken), load_parameters(ROOT / "params.yaml"))
    assert found == ["model sasrec-bec-twice", "dataset ml-100", "probe sharpnes"]

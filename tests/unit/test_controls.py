"""Controls: their schema, their tests and words, what may judge them, and the verb that checks them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from seqrepro.cli import main
from seqrepro.config.load import load_parameters
from seqrepro.config.requests import plan_requests
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError
from seqrepro.files import write_json
from seqrepro.ledger.bounds import BOUNDS
from seqrepro.ledger.claims import read_claims
from seqrepro.ledger.explain import explain
from seqrepro.ledger.judge import run
from seqrepro.ledger.parts import Gain
from seqrepro.ledger.statistics import Sample

ROOT = Path(__file__).parents[2]
POWER = {"knows": ["history", "nothing"], "gap": 0.2, "share": 0.5, "noise": 0, "seed_sd": 0.01, "power": 1}
PART = {"id": "gain", "kind": "gain", "datasets": ["generated"], "seeds": 2, "power": POWER}
COMMON = {"statement": "It is so.", "origin": "ours", "source": "its law", "family": "controls", "basis": "control"}


def part(**changes):
    return Gain.model_validate(PART | {"model": "a", "against": ["b"]} | changes)


def controls(*parts, **changes):
    """A file with a control a part."""
    claims = [COMMON | {"id": f"K{i}", "parts": [one]} | changes for i, one in enumerate(parts, start=1)]
    return {"paper": "controls", "title": "Controls", "reference": "generated data", "claims": claims}


def written(content, path="registry/controls.yaml"):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(yaml.safe_dump(content))
    return Path(path)


def state(margin, mean, spread=0.0):
    generator = np.random.default_rng(0)
    users = generator.normal(0, 0.05, (4000, 1))
    a = Sample(0.1 + mean + users + 0.02 * generator.standard_normal((4000, 5)) + spread * np.arange(-2, 3))
    b = Sample(0.1 + users, deterministic=True)
    (bound,) = BOUNDS["gain"](part(**margin), "generated", lambda model, _: {"a": a, "b": b}[model])
    return bound.state


def test_a_positive_control_needs_the_lower_bound_above_its_margin():
    assert state({"above": 0.05}, 0.06) == "holds"
    assert state({"above": 0.05}, 0.04) == "fails"
    assert state({"above": 0.05}, 0.06, spread=0.03) == "open"


def test_a_negative_control_needs_the_upper_bound_below_its_margin():
    assert state({"below": 0.02}, 0.0) == "holds"
    assert state({"below": 0.02}, -0.1) == "holds"
    assert state({"below": 0.02}, 0.04) == "fails"
    assert state({"below": 0.02}, 0.01, spread=0.03) == "open"


def test_the_interval_is_that_of_the_gain():
    a, b = (Sample(np.random.default_rng(i).normal(0.1, 0.1, (500, 3))) for i in (1, 2))
    found = {}
    for margin in ({"above": 0.03}, {"below": 0.03}):
        (bound,) = BOUNDS["gain"](part(**margin), "generated", lambda model, _: {"a": a, "b": b}[model])
        found[next(iter(margin))] = bound.estimate
    above, below = found["above"], found["below"]
    assert (above.low + 0.03, above.high + 0.03) == pytest.approx((0.03 - below.high, 0.03 - below.low))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": [PART | {"model": "a", "against": ["b"]}]}, "expected either below or above"),
        ({"parts": [PART | {"model": "a", "against": ["b"], "above": 0.1, "below": 0.2}]}, "either below or above"),
        ({"parts": [PART | {"model": "a", "against": ["b", "c"], "above": 0.1}]}, "at most 1 item"),
        ({"parts": [PART | {"model": "a", "against": ["b"], "above": 0.1, "power": POWER | {"window": 3}}]}, "window"),
        ({"basis": "known"}, "claim K1: basis: control belongs to registry/controls.yaml, and nothing else does"),
    ],
)
def test_controls_that_are_refused(tmp_path, change, message):
    content = controls(PART | {"model": "a", "against": ["b"], "above": 0.1}, **change)
    with pytest.raises(InputError) as caught:
        read_claims(written(content, tmp_path / "controls.yaml"))
    assert str(caught.value).startswith(f"{tmp_path}/controls.yaml: ")
    assert message in str(caught.value)


def test_a_control_is_no_claim_of_a_paper(tmp_path):
    content = controls(PART | {"model": "a", "against": ["b"], "above": 0.1}) | {"paper": "samrec"}
    with pytest.raises(InputError, match="basis: control belongs to"):
        read_claims(written(content, tmp_path / "claims.yaml"))


def gains(model, other, **margin):
    return PART | {"model": model, "against": [other]} | margin


def judge_by(request, *parts):
    """Judge controls by the runs of a request, and return them."""
    path = written(controls(*parts)).as_posix()
    run(replace(request, inputs=[*request.inputs, path]))
    found = json.loads(Path("results/standard/verdicts/verdicts.json").read_text())["claims"]
    return [claim for claim in found if claim["paper"] == "controls"]


@pytest.fixture
def judged(suite, judge_request):
    """Four controls on the generated data of the suite; the popular model is far behind the others."""
    generated = {"dataset": "generated", "data_class": "generated"}
    suite["runs"][:] = [entry | generated for entry in suite["runs"] if entry["dataset"] == "beauty"]
    return judge_by(
        judge_request(),
        gains("ease", "popularity", above=0.05),
        gains("popularity", "ease", above=0.05),
        gains("sasrec", "sasrec", above=0.0),
        gains("nobody", "ease", below=0.05),
    )


def test_the_words_of_controls(judged):
    assert [control["verdict"] for control in judged] == ["passed", "failed", "inconclusive", "not tested"]
    assert [control["parts"][0]["verdict"] for control in judged] == [control["verdict"] for control in judged]
    assert all(control["vouched"] for control in judged)
    assert explain(judged[0])[1:3] == [
        "Source: its law (generated data, whose truth is known).",
        "Verdict: passed: every test that it needs holds.",
    ]


def test_real_data_judge_no_control(judge_request):
    (control,) = judge_by(judge_request(), gains("ease", "popularity", above=0.05) | {"datasets": ["beauty"]})
    assert control["verdict"] == "not tested"


def verdicts(*pairs):
    """A verdicts.json with controls (verdict, vouched)."""
    found = [
        {"paper": "controls", "id": f"K{i}", "statement": "It is so.", "verdict": word, "vouched": vouched}
        for i, (word, vouched) in enumerate(pairs, start=1)
    ]
    write_json(Path("results/controls/verdicts/verdicts.json"), {"claims": found})


def check(*more):
    return main(["controls", "check", "--suite", "controls", *more])


def test_a_failing_control_of_ours_fails_the_check(repository, capsys):
    verdicts(("passed", True), ("failed", True), ("inconclusive", True), ("not tested", True), ("failed", False))
    assert check("--receipt", "receipt.txt") == 1
    told = capsys.readouterr()
    assert [line.split()[:3] for line in told.out.splitlines()] == [
        ["K1", "ours", "passed"],
        ["K2", "ours", "failed"],
        ["K3", "ours", "inconclusive"],
        ["K4", "ours", "not"],
        ["K5", "published", "failed"],
    ]
    named = "K2 (failed), K3 (inconclusive), K4 (not tested)"
    assert told.err == f"seqrepro controls: 3 of 5 controls: {named}; expected 'passed'\n"
    assert not Path("receipt.txt").exists()


def test_a_published_method_that_fails_is_a_finding(repository, capsys):
    verdicts(("passed", True), ("failed", False))
    assert check("--receipt", "receipt.txt") == 0
    assert Path("receipt.txt").read_text() == capsys.readouterr().out


def test_a_check_without_controls_is_no_success(repository, capsys):
    assert check() == 2
    assert "verdicts.json: no such file; `seqrepro judge --suite controls` makes it" in capsys.readouterr().err
    write_json(Path("results/controls/verdicts/verdicts.json"), {"claims": []})
    assert check() == 2
    assert "no control in it" in capsys.readouterr().err


def test_a_suite_names_what_it_judges(repository, change):
    def judged_by(suite):
        (request,) = plan_requests(load_parameters(), suite, load_registry()).of("judge").values()
        files = [Path(name) for name in request.inputs]
        return {file.parent.name for file in files if file.name in ("claims.yaml", "controls.yaml")}

    papers = judged_by("small")
    assert papers == {"samrec", "hydrarec", "tim4rec", "performance_law"}
    change("    versioned: true\n", "    versioned: true\n    claims: [controls]\n")
    assert judged_by("small") == {"registry"}
    change("claims: [controls]", "claims: [papers, controls]")
    assert judged_by("small") == papers | {"registry"}


BAYES = "models:\n  bayes: {title: B, architecture: {family: bayes_optimal}, training: closed-form}\n  popularity:\n"


def test_the_plan_hands_the_law_to_the_model(repository, change, make_plan):
    change("models:\n  popularity:\n", BAYES)
    change("models: [popularity, ease, sasrec]", "models: [bayes]")
    (request,) = make_plan().of("train").values()
    generator = {"kind": "markov", "users": 40, "items": 20, "mean_length": 8, "concentration": 0.1, "seed": 7}
    assert request.parameters["config"]["model"] == {"family": "bayes_optimal", "generator": generator}
    assert request.uses == ["seqrepro.models.bayes_optimal", "seqrepro.data.synthetic.markov"]


SMALL = "datasets: [toy], seeds: [1, 2]}\n  both"
MARKOV = "kind: markov, users: 40, items: 20, mean_length: 8, concentration: 0.1"
CLEAN = (
    "kind: noisy, users: 40, items: 20, mean_length: 8, successors: 2, decay: 0.5, smoothing: 0.1, noise: 0.1, "
    "clean_targets: true"
)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SMALL, SMALL.replace("toy", "movies"), "datasets.movies.source: found 'registry', expected 'generated'"),
        (MARKOV, CLEAN, "datasets.toy.generator.clean_targets: found true, expected false"),
    ],
)
def test_data_without_a_known_law_are_refused_by_the_plan(repository, change, make_plan, old, new, message):
    change("models:\n  popularity:\n", BAYES)
    change("models: [popularity, ease, sasrec]", "models: [bayes]")
    change(old, new)
    with pytest.raises(InputError) as caught:
        make_plan()
    assert str(caught.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(caught.value)


def test_the_controls_of_this_repository_are_run_by_their_suite():
    """Each (model, dataset) of a control is planned, with as many seeds as it needs."""
    parameters = load_parameters(ROOT / "params.yaml")
    suite, found = parameters.suites["controls"], {}
    for name, scale in suite.experiments.items():
        for model in scale.models or parameters.experiments[name].models:
            found |= {(model, dataset): len(scale.seeds) for dataset in scale.datasets}
    for control in read_claims(ROOT / "registry/controls.yaml").claims:
        assert control.masking == "unmasked"  # items recur in generated data
        for one in control.parts:
            assert all(found[model, one.datasets[0]] >= one.seeds for model in (one.model, *one.against))


def test_the_list(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["controls", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines][:2] == [["B1", "ours"], ["B2", "ours"]]
    assert lines[0].endswith("[< 0.02]")
    assert main(["controls"]) == 2

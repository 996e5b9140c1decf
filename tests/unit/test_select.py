"""Selection: from the validation ranks of trials to what runs next; what the audit finds when it is edited."""

# ruff: noqa: E501  (a line of a table is a line)

import json
import math
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from searches import USERS, add_search, finish_training, rank_file
from seqrepro.cli import main
from seqrepro.config.load import load_parameters
from seqrepro.config.plan import awaiting_selection, plan_suite
from seqrepro.config.requests import plan_requests
from seqrepro.config.selection import selection_path
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError
from seqrepro.files import read_json, sha256_file, write_json
from seqrepro.ledger.select import validation_rows, value
from seqrepro.provenance.manifest import ROOT as MANIFEST
from seqrepro.provenance.manifest import write_manifest
from seqrepro.provenance.sidecar import path_of

ROOT = Path(__file__).parents[2]
SELECTED = selection_path("tuned")
RANKS = {"ease": [4, 2, 2, 9], "sasrec": [3, 5, 4, 6]}  # of the trials; so the second of EASE, the first of SASRec


@pytest.fixture
def searching(repository):
    add_search(repository, ROOT / "registry")
    return repository


@pytest.fixture(scope="module")
def made(tmp_path_factory, by_hand):
    """Two folders, made once: all trials finished; and all of it selected, finished and listed. With their plans."""
    set_up, carry_out = by_hand
    tried = tmp_path_factory.mktemp("search") / "tried"
    selected = tried.with_name("selected")
    tried.mkdir()
    set_up(tried)
    add_search(tried, ROOT / "registry")
    with chdir(tried):
        before = planned()
        for run in before.runs:
            need = run.needs[0]
            finish_training(before, run, RANKS[need.model][need.trial.number])
    shutil.copytree(tried, selected, symlinks=True)
    with chdir(selected):
        assert main(["select", "--suite", "tuning"]) == 0
        after = planned()
        finish_the_rest(after, carry_out)
    return {"tried": (tried, before), "selected": (selected, after)}


def planned():
    return plan_requests(load_parameters(), "tuning", load_registry())


def finish_the_rest(plan, carry_out):
    for run in plan.runs:
        if not any(need.trial for need in run.needs):
            finish_training(plan, run, 1)
    for request in plan.requests.values():
        if request.step != "train":
            carry_out(request)
    write_manifest(plan, MANIFEST)


def enter(folder, target, monkeypatch):
    shutil.copytree(folder, target, symlinks=True)
    monkeypatch.chdir(target)


@pytest.fixture
def tried(made, tmp_path, monkeypatch):
    """All trials finished, nothing selected; the plan."""
    folder, plan = made["tried"]
    enter(folder, tmp_path / "repository", monkeypatch)
    return plan


@pytest.fixture
def selected(made, tmp_path, monkeypatch):
    """All trials finished, the selection, and all that follows; the plan."""
    folder, plan = made["selected"]
    enter(folder, tmp_path / "repository", monkeypatch)
    return plan


@pytest.fixture
def verb(capsys):
    """Run a verb: exit code, standard output, standard error."""

    def run(*words):
        code = main(list(words))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def select(verb):
    return lambda *words: verb("select", "--suite", "tuning", *words)


def first(plan):
    return next(iter(plan.of("train").values()))


def told(runs):
    return [
        (run.config["model"]["family"], run.seed, [need.trial and need.trial.number for need in run.needs])
        for run in runs
    ]


def replace(old, new):
    """Replace one text by another in params.yaml."""
    text = Path("params.yaml").read_text()
    assert text.count(old) == 1
    Path("params.yaml").write_text(text.replace(old, new))


def edit(path, change):
    content = read_json(path)
    change(content)
    write_json(path, content)


def test_without_a_selection_trials_are_planned_and_no_final_runs(searching, make_plan):
    plan = make_plan("tuning")
    trials = [("ease", 0, [n]) for n in range(4)] + [("sasrec", 9, [n]) for n in range(4)]
    assert told(plan.runs) == trials
    assert len(plan.of("train")) == 8 and plan.of("probe") == {}
    (compare,) = plan.of("compare").values()
    assert compare.parameters["runs"] == [] and not any("results/runs" in name for name in compare.inputs)


LINE = "tuned: 8 trials first, then `seqrepro select --suite tuning` chooses what runs next"


def test_the_plan_and_the_report_say_what_comes_next(searching, make_plan, verb):
    code, out, err = verb("plan", "--suite", "tuning", "--csv")
    assert code == 0 and err.splitlines()[-1] == LINE
    assert out.splitlines()[3].split(",")[-2:] == ["tuned (trial 2)", "to do"]
    (report,) = make_plan("tuning").of("report").values()
    assert report.parameters["description"] == f"a search Not selected yet: {LINE}."
    (other,) = make_plan("small").of("report").values()
    assert other.parameters["description"] == "for tests"


def test_with_a_selection_its_final_runs_are_planned_too(selected):
    ease, sasrec = (1, 0)  # the numbers of the chosen trials
    expected = [("ease", 0, [n] if n != ease else [n, None]) for n in range(4)]
    expected += [("sasrec", 9, [n]) for n in range(4)] + [("sasrec", 1, [None]), ("sasrec", 2, [None])]
    assert told(selected.runs) == expected
    assert awaiting_selection(selected.runs) == [] and selected.next_step == ""
    finals = {run.config_hash for run in selected.runs if run.final}
    chosen = {
        run.config_hash for run in selected.runs for n in run.needs if n.trial and n.trial.number in (ease, sasrec)
    }
    assert len(finals) == 2 and finals < chosen | finals
    assert [run.probes for run in selected.runs if run.final] == [(), ("robustness",), ("robustness",)]
    (compare,) = selected.of("compare").values()
    assert [(run["model"], run["seeds"]) for run in compare.parameters["runs"]] == [("ease", [0]), ("sasrec", [1, 2])]


def test_the_best_validation_value_is_chosen_and_the_earlier_of_equals(tried, select):
    code, out, err = select()
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == (
        "tuned, toy, sasrec: trial 0 of 4, validation ndcg@10 0.4500 (unchanged 0.4500), unchanged"
    )
    choices = read_json(SELECTED)["choices"]["toy"]
    assert {model: chosen["trial"] for model, chosen in choices.items()} == {"ease": 1, "sasrec": 0}
    ease = choices["ease"]
    assert ease["settings"] == ease["trials"][1]["settings"] != {}
    missed = (USERS - 1) / USERS  # the target of one user stands in the history
    assert [trial["value"] for trial in ease["trials"]][1:3] == [round(missed / math.log2(2 + 1), 8)] * 2
    assert ease["trials"][1]["ranks_sha256"] == sha256_file(Path(ease["trials"][1]["run"]) / "ranks.parquet")
    assert list(ease["trials"][0]) == ["config_sha256", "ranks_sha256", "run", "settings", "value"]


def test_selecting_twice_gives_the_same_bytes(tried, select):
    select()
    before = SELECTED.read_bytes()
    assert select("tuned")[0] == 0
    assert SELECTED.read_bytes() == before


def test_test_rows_change_nothing_and_are_not_read(tried, select):
    """With the best test ranks on the worst trials, and with test rows that are no ranks at all."""
    select()
    before = read_json(SELECTED)["choices"]["toy"]
    for test in (50, -7):
        for run in tried.runs:
            number = run.needs[0].trial.number
            finish_training(tried, run, RANKS[run.needs[0].model][number], test=test if number < 2 else 1)
        assert select()[0] == 0
        after = read_json(SELECTED)["choices"]["toy"]
        for model, chosen in after.items():
            assert [t["value"] for t in chosen["trials"]] == [t["value"] for t in before[model]["trials"]]
            assert (chosen["trial"], chosen["settings"]) == (before[model]["trial"], before[model]["settings"])
    path = Path(tried.runs[0].folder) / f"seed-{tried.runs[0].seed}/ranks.parquet"
    rows = validation_rows(path)
    whole = pq.read_table(path)
    assert len(rows) == USERS == len(whole) // 2
    assert rows["rank_masked_worst"].to_pylist() == whole["rank_masked_worst"].to_pylist()[:USERS]


def test_the_value_is_the_metric_of_the_run_folder():
    """On committed runs, of three splits and with targets in the history."""
    folders = [path.parent for path in sorted((ROOT / "results/runs/ml-100k").glob("*/seed-[01]/ranks.parquet"))]
    assert len(folders) > 10
    for folder in folders:
        expected = read_json(folder / "metrics.json")["metrics"]["validation"]["masked"]["pessimistic"]["ndcg@10"]
        assert value("ndcg@10", validation_rows(folder / "ranks.parquet")) == pytest.approx(expected, abs=6e-9)


def test_unfinished_trials_are_counted(tried, select):
    for run in tried.runs[3:6]:
        (Path(run.folder) / f"seed-{run.seed}/ranks.parquet").unlink()
    assert select() == (
        2,
        "",
        "seqrepro select: tuned: 3 of 8 trials are not finished (ease on toy: 1, sasrec on toy: 2); "
        "`snakemake --cores all --config suite=tuning` runs them\n",
    )
    assert not SELECTED.exists()


def test_trials_of_older_code_count(tried, select):
    edit(path_of(first(tried)), lambda record: record.update(code="0" * 64, request_sha256="0"))
    assert select()[0] == 0


def another_rank_file(tried):
    path = Path(tried.runs[0].folder) / "seed-0/ranks.parquet"
    rank_file(path, [1] * USERS, [1] * USERS)
    return f"{path}: not what its sidecar says; `seqrepro audit` says more"


def no_rank_file(tried):
    request = first(tried)
    path = request.output / "ranks.parquet"
    path.write_text("ranks")
    edit(path_of(request), lambda record: record["outputs"].update({path.as_posix(): sha256_file(path)}))
    return f"{path}: not a rank file ("


def other_users(tried):
    request = list(tried.of("train").values())[1]
    path = request.output / "ranks.parquet"
    rank_file(path, [1] * (USERS - 1), [1] * USERS)
    edit(path_of(request), lambda record: record["outputs"].update({path.as_posix(): sha256_file(path)}))
    return f"{path}: users and positions differ from those of "


@pytest.mark.parametrize("damage", [another_rank_file, no_rank_file, other_users])
def test_damaged_trials_are_refused(tried, select, damage):
    line = damage(tried)
    code, out, err = select()
    assert (code, out) == (2, "") and err.startswith(f"seqrepro select: {line}") and len(err.splitlines()) == 1
    assert not SELECTED.exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--suite", "small"), "params.yaml: suite 'small' has no experiment with a search"),
        (("--suite", "tunin"), "unknown suite 'tunin'; did you mean 'tuning'?"),
        (("--suite", "tuning", "tund"), "params.yaml: suite 'tuning' has no experiment 'tund' with a search; did you mean 'tuned'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_selected(searching, verb, words, line):
    assert verb("select", *words) == (2, "", f"seqrepro select: {line}\n")


def test_what_another_suite_selected_stays(tried, select):
    """From the same search; a selection from another search is replaced."""
    select()
    edited = read_json(SELECTED)["choices"]["toy"]["ease"]
    edit(SELECTED, lambda content: content["choices"].update(elsewhere={"ease": edited}))
    select()
    assert set(read_json(SELECTED)["choices"]) == {"elsewhere", "toy"}
    replace("    trials: 4\n", "    trials: 4\n    metric: hit_rate@10\n")
    assert select()[0] == 0
    assert set(read_json(SELECTED)["choices"]) == {"toy"}


STALE = "select again, or remove the file if trials must run first"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("    trials: 4\n", "    trials: 5\n", f"toy, ease: of another search; {STALE}"),
        ("    trials: 4\n", "    trials: 4\n    metric: ndcg@20\n", f"toy, ease: of another search; {STALE}"),
        ("architecture.dropout: [0, 0.2, 0.4]", "architecture.dropout: [0, 0.2, 0.3]", f"toy, ease: of another search; {STALE}"),
        ("regularisation: 10}", "regularisation: 20}", f"toy, ease: of other trials than params.yaml now asks for; {STALE}"),
        ("mean_length: 8", "mean_length: 9", f"toy, ease: of other trials than params.yaml now asks for; {STALE}"),
    ],
)  # fmt: skip
def test_a_stale_selection_is_refused_in_one_line(selected, verb, old, new, what):
    replace(old, new)
    line = f"{SELECTED}: {what}\n"
    assert verb("plan", "--suite", "tuning") == (2, "", f"seqrepro plan: {line}")
    assert verb("plan", "--suite", "small")[0] == 0
    SELECTED.unlink()
    assert verb("plan", "--suite", "tuning")[0] == 0


def test_a_changed_metric_needs_no_new_trial(selected, select, verb):
    replace("    trials: 4\n", "    trials: 4\n    metric: hit_rate@10\n")
    assert select()[0] == 0
    assert verb("plan", "--suite", "tuning")[0] == 0


def test_a_new_dataset_waits_for_its_own_selection(selected):
    replace("tuned: {datasets: [toy], seeds", "tuned: {datasets: [toy, movies], seeds")
    plan = planned()
    assert {run.dataset for run in plan.runs if run.final} == {"toy"}
    assert plan.next_step.startswith("tuned: 16 trials first")


def test_diff_compares_with_the_selection_as_it_is(selected, verb):
    Path("before.yaml").write_text(Path("params.yaml").read_text())
    assert verb("plan", "--suite", "tuning", "--diff", "before.yaml", "--csv")[2] == "no run changes\n"
    replace("    trials: 4\n", "    trials: 5\n")
    SELECTED.unlink()
    code, out, err = verb("plan", "--suite", "tuning", "--diff", "before.yaml", "--csv")
    assert (code, err) == (0, "2 runs to train\n")
    assert [line.split(",")[0:3] for line in out.splitlines()[1:]] == [["run", "toy", "ease"], ["run", "toy", "sasrec"]]


def test_diff_takes_the_selection_of_the_revision(selected, select, verb):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "params.yaml", "registry/selected"], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *words], check=True)
    replace("    trials: 4\n", "    trials: 4\n    metric: hit_rate@1\n")
    rank_of_1 = next(run for run in selected.runs if run.needs[0].model == "sasrec" and run.needs[0].trial.number == 3)
    finish_training(selected, rank_of_1, 1)
    select()
    code, out, err = verb("plan", "--suite", "tuning", "--diff", "HEAD", "--csv")
    assert (code, err) == (0, "2 runs to train\n")
    assert all("training.optimizer.learning_rate: 0.001 -> " in line for line in out.splitlines()[1:])


def as_selected(content):
    return content["choices"]["toy"]


def other_trial(content):
    chosen = as_selected(content)["sasrec"]
    chosen |= {"trial": 2, "settings": chosen["trials"][2]["settings"]}
    return SELECTED, "inconsistent toy, sasrec: trial 2 is chosen, the validation ranks choose trial 0"


def later_of_equals(content):
    chosen = as_selected(content)["ease"]
    chosen |= {"trial": 2, "settings": chosen["trials"][2]["settings"]}
    return SELECTED, "inconsistent toy, ease: trial 2 is chosen, the validation ranks choose trial 1"


def trial_without_its_settings(content):
    as_selected(content)["sasrec"]["trial"] = 2
    return SELECTED, "inconsistent toy, sasrec: trial 2 with these settings is not in its list"


def other_value(content):
    as_selected(content)["ease"]["trials"][3]["value"] = 0.9
    return SELECTED, "inconsistent toy, ease: value of trial 3 is 0.9, its validation ranks say 0.27092700"[:-2]


def trial_left_out(content):
    as_selected(content)["ease"]["trials"].pop()
    return SELECTED, "inconsistent toy, ease: of other trials than params.yaml now asks for"


def other_search(content):
    content["search"]["trials"] = 3
    return SELECTED, "inconsistent toy, ease: of another search"


def other_sum(content):
    as_selected(content)["ease"]["trials"][0]["ranks_sha256"] = "0" * 64
    return as_selected(content)["ease"]["trials"][0]["run"] + "/ranks.parquet", "changed sha256 "


def no_selection(content):
    content["choices"] = []
    return SELECTED, "inconsistent choices.toy.ease: not a selection as `seqrepro select` writes it"


EDITS = [other_trial, later_of_equals, trial_without_its_settings, other_value, trial_left_out, other_search, other_sum]


@pytest.mark.parametrize("change", [*EDITS, no_selection], ids=lambda function: function.__name__)
def test_the_audit_finds_an_edited_selection(selected, verb, change):
    assert verb("audit")[0] == 0
    content = read_json(SELECTED)
    path, phrase = change(content)
    write_json(SELECTED, content)
    code, _, err = verb("audit")
    assert code == 1
    assert f"{path}: selection {phrase}" in err


def test_the_audit_finds_ranks_that_were_changed_and_signed_everywhere(selected, verb):
    """Ranks, sidecar, manifest and checksum in the selection: but the value is what it was."""
    run = next(run for run in selected.runs if run.needs[0].trial and run.needs[0].trial.number == 3)
    path = Path(run.folder) / "seed-0/ranks.parquet"
    rank_file(path, [1] * USERS, [1] * USERS)
    edit(path.with_name("provenance.json"), lambda r: r["outputs"].update({path.as_posix(): sha256_file(path)}))
    write_manifest(selected, MANIFEST)
    edit(SELECTED, lambda c: as_selected(c)["ease"]["trials"][3].update(ranks_sha256=sha256_file(path)))
    code, _, err = verb("audit")
    assert code == 1 and f"{SELECTED}: selection inconsistent toy, ease: value of trial 3 is" in err


def test_the_audit_finds_a_trial_that_is_gone_or_that_nothing_vouches_for(selected, verb):
    run = selected.runs[2]
    path = Path(run.folder) / "seed-0/ranks.parquet"
    edit(MANIFEST, lambda manifest: manifest["sidecars"].pop(f"{path.parent}/provenance.json"))
    assert f"{path}: selection inconsistent no manifest lists {path.parent}/provenance.json" in verb("audit")[2]
    path.unlink()
    code, _, err = verb("audit")
    assert code == 1 and f"{path}: selection missing a trial of a selection" in err


def test_the_audit_of_another_suite_leaves_selections_alone(selected, verb):
    other = Path("results/small/MANIFEST.json")
    write_json(other, {"sidecars": {}})
    SELECTED.write_text("{}")
    assert verb("audit", "--manifest", str(MANIFEST))[0] == 1
    edit_versioned = (
        Path("params.yaml").read_text().replace("description: for tests\n    versioned: true", "description: for tests")
    )
    Path("params.yaml").write_text(edit_versioned)
    code, out, _ = verb("audit", "--manifest", str(other))
    assert code == 0 and "selection" not in out


def test_a_clone_has_what_the_audit_of_a_selection_needs(selected, verb):
    """No data and no weights."""
    for path in [*Path("data").rglob("*.*"), *Path("results").rglob("model.safetensors")]:
        path.unlink(missing_ok=True)
    code, out, _ = verb("audit")
    assert code == 0
    assert ["selection", "ok", "1"] in [line.split() for line in out.splitlines()]


def test_the_repositorys_own_selections_are_of_its_searches(monkeypatch):
    monkeypatch.chdir(ROOT)
    parameters, registry = load_parameters(), load_registry()
    for path in Path("registry/selected").glob("*.json"):
        suites = [name for name, suite in parameters.suites.items() if path.stem in suite.experiments]
        assert suites
        for suite in suites:
            finals = {n.experiment for run in plan_suite(parameters, suite, registry) for n in run.needs if not n.trial}
            assert path.stem in finals
        assert json.loads(path.read_text())["experiment"] == path.stem


FOLLOWED = """\
  followed:
    purpose: as chosen
    papers: [samrec]
    protocol: leave-one-out
    models: [ease, sasrec, other, popularity]
    selected_by: tuned
    shows: [accuracy]
  tuned:
"""
OTHER = "  other: {title: Other, architecture: {family: ease}, training: closed-form}\n"


def test_an_experiment_runs_as_another_one_chose(selected):
    replace("    spaces:\n", "    follow: {other: ease}\n    spaces:\n")
    replace("  ease:\n    title: EASE\n", f"{OTHER}  ease:\n    title: EASE\n")
    replace("experiments:\n  tuned:\n", f"experiments:\n{FOLLOWED}")
    replace("      tuned: {", "      followed: {datasets: [toy], seeds: [3]}\n      tuned: {")
    runs = planned().runs
    found = {need.model: run for run in runs for need in run.needs if need.experiment == "followed"}
    chosen = read_json(SELECTED)["choices"]["toy"]["ease"]["settings"]
    assert set(found) == {"ease", "sasrec", "other", "popularity"}
    for model in ("ease", "other"):
        config = found[model].config["model"]
        assert {f"architecture.{key}": config[key] for key in ("position_decay", "regularisation")} == chosen
    assert found["sasrec"].seed == 3
    assert found["popularity"].config["model"] == {"family": "popularity"}


def test_nothing_follows_before_a_choice(tried):
    replace("    spaces:\n", "    follow: {other: ease}\n    spaces:\n")
    replace("  ease:\n    title: EASE\n", f"{OTHER}  ease:\n    title: EASE\n")
    replace("experiments:\n  tuned:\n", f"experiments:\n{FOLLOWED}")
    replace("      tuned: {", "      followed: {datasets: [toy], seeds: [3]}\n      tuned: {")
    models = {need.model for run in planned().runs for need in run.needs if need.experiment == "followed"}
    assert models == {"popularity"}  # which takes part in no search


@pytest.mark.parametrize("follow", ["{other: popularity}", "{ease: sasrec}", "{popularity: ease}"])
def test_a_follower_needs_a_leader_whose_settings_fit(searching, follow):
    replace("  ease:\n    title: EASE\n", f"{OTHER}  ease:\n    title: EASE\n")
    replace("    spaces:\n", f"    follow: {follow}\n    spaces:\n")
    with pytest.raises(InputError, match=r"searches\.tries\.follow"):
        load_parameters()

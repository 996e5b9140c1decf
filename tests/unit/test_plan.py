"""From parameters to runs: each once, named by what it computes; and what a change would re-run."""

import re
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from seqrepro.cli import main
from seqrepro.commands.plan import changes, diff_rows
from seqrepro.config.load import load_parameters
from seqrepro.config.plan import plan_suite
from seqrepro.config.protocols import Protocol
from seqrepro.data.registry import load_registry
from seqrepro.files import canonical_json, sha256_text
from seqrepro.provenance.sidecar import path_of


@pytest.fixture
def runs(repository):
    """The runs of a suite of params.yaml as it stands."""
    registry = load_registry()
    return lambda suite="small": plan_suite(load_parameters(), suite, registry)


def found(runs):
    return [(run.dataset, run.config["model"]["family"], run.seed) for run in runs]


def hashes(runs):
    return {(run.config["model"]["family"], run.seed): run.config_hash for run in runs}


def test_closed_forms_run_once_with_seed_0(runs):
    assert found(runs()) == [
        ("toy", "popularity", 0),
        ("toy", "ease", 0),
        ("toy", "sasrec", 1),
        ("toy", "sasrec", 2),
    ]


def test_a_run_that_two_experiments_need_is_there_once(runs):
    planned = {(run.config["model"]["family"], run.seed): run for run in runs("both")}
    assert len(runs("both")) == len(planned)
    needs = {key: [need.experiment for need in run.needs] for key, run in planned.items()}
    assert needs == {
        ("popularity", 0): ["baselines"],
        ("ease", 0): ["baselines", "attention"],
        ("sasrec", 1): ["baselines"],
        ("sasrec", 2): ["baselines", "attention"],
        ("sasrec", 3): ["attention"],
    }
    assert planned["sasrec", 2].probes == ("robustness",)  # one of the two wants it
    assert planned["sasrec", 3].probes == ()


def test_two_suites_share_their_runs(runs):
    small = {(run.folder, run.seed) for run in runs("small")}
    assert small < {(run.folder, run.seed) for run in runs("both")}


def test_two_names_of_one_configuration_are_one_run(runs, change):
    before = found(runs())
    change(
        "probes:\n  robustness:",
        "  ease-again:\n    title: EASE again\n    architecture: {family: ease, regularisation: 10.0}\n"
        "    training: closed-form\n\nprobes:\n  robustness:",
    )
    change("models: [popularity, ease, sasrec]", "models: [popularity, ease, ease-again, sasrec]")
    assert found(runs()) == before


def test_the_seed_is_no_part_of_the_name(runs):
    one, two = (run for run in runs() if run.is_trained)
    assert (one.seed, two.seed) == (1, 2)
    assert (one.config_hash, one.folder) == (two.config_hash, two.folder)
    assert "seed" not in canonical_json(one.config)


def test_the_name_is_label_and_hash(runs):
    for run in runs():
        assert run.config_hash == sha256_text(canonical_json(run.config))
        assert run.folder == f"results/runs/toy/{run.label}-{run.config_hash[:8]}"
    assert [run.label for run in runs()][1:3] == ["ease", "sasrec-cross_entropy"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("regularisation: 10", "regularisation: 10.0, position_decay: 1.0"),
        ("regularisation: 10", "position_decay: 1, regularisation: 10"),
        ("kind: gradient\n", "kind: gradient\n    device: cpu\n"),
        ("learning_rate: 1e-3", "learning_rate: 0.001, weight_decay: 0"),
        ("{kind: closed_form}", "{kind: closed_form, fit_on: train, threads: 1}"),
        ("title: EASE", "title: Another title\n    published_as: [EASE-R]"),
        ("      dropout: 0.1\n", "      attention_dropout: 0.5\n      dropout: 0.1\n"),
        ("purpose: the bar", "purpose: another"),
        ("{split: leave_one_out}", "{split: leave_one_out, candidates: full}"),
        ("kind: gradient\n", "kind: gradient\n    view: all_positions\n    last: null\n"),
        ("mirror: null", "mirror: /somewhere"),
    ],
)
def test_what_says_the_same_renames_no_run(runs, change, old, new):
    before = hashes(runs())
    change(old, new)
    assert hashes(runs()) == before


@pytest.mark.parametrize(
    ("old", "new", "families"),
    [
        ("regularisation: 10", "regularisation: 11", {"ease"}),
        ("regularisation: 10", "regularisation: 10, position_decay: 0.9", {"ease"}),
        ("kind: gradient\n", "kind: gradient\n    device: cuda\n", {"sasrec"}),
        ("kind: gradient\n", "kind: gradient\n    threads: 2\n", {"sasrec"}),
        ("{kind: closed_form}", "{kind: closed_form, threads: 2}", {"ease", "popularity"}),
        ("{kind: closed_form}", "{kind: closed_form, fit_on: train+validation}", {"ease", "popularity"}),
        ("batch_size: 16", "batch_size: 17", {"sasrec"}),
        ("kind: gradient\n", "kind: gradient\n    view: prefixes\n", {"sasrec"}),
        ("kind: gradient\n", "kind: gradient\n    last: 11\n", {"sasrec"}),
        ("{split: leave_one_out}", "{split: leave_one_out_recbole}", {"ease", "popularity", "sasrec"}),
        (
            "{split: leave_one_out}",
            "{split: global_temporal, temporal: {validation_share: 0.1, test_share: 0.1}}",
            {"ease", "popularity", "sasrec"},
        ),
        (
            "{split: leave_one_out}",
            "{split: leave_one_out, candidates: uniform, negatives: {count: 9, seed: 1}}",
            {"ease", "popularity", "sasrec"},
        ),
        ("users: 40", "users: 41", {"ease", "popularity", "sasrec"}),
    ],
)
def test_what_says_something_else_renames_its_runs(runs, change, old, new, families):
    before = hashes(runs())
    change(old, new)
    after = hashes(runs())
    assert {family for (family, seed), digest in after.items() if before[family, seed] != digest} == families


SAMPLED = {"candidates": "uniform", "negatives": {"count": 100, "seed": 3}}
TEMPORAL = {"validation_share": 0.05, "test_share": 0.1, "target": "last"}


@pytest.mark.parametrize(
    ("asked", "text", "rankings"),
    [
        (
            {"split": "leave_one_out"},
            "leave-one-out, full ranking, history masked, ties pessimistic",
            {
                "masked": "leave-one-out, full ranking, history masked, ties pessimistic",
                "unmasked": "leave-one-out, full ranking, history unmasked, ties pessimistic",
            },
        ),
        (
            {"split": "global_temporal", "temporal": TEMPORAL},
            "global temporal split (validation 0.05, test 0.1, last target), full ranking, history masked, "
            "ties pessimistic",
            {},
        ),
        (
            {"split": "leave_one_out_recbole", **SAMPLED},
            "leave-one-out (order by 32-bit timestamps, as RecBole), full ranking and among 100 uniform negatives "
            "(seed 3), history masked, ties pessimistic",
            {
                "sampled": "leave-one-out (order by 32-bit timestamps, as RecBole), ranked among 100 uniform negatives "
                "(seed 3), ties pessimistic"
            },
        ),
    ],
)
def test_a_protocol_says_what_it_is(asked, text, rankings):
    protocol = Protocol.model_validate(asked)
    assert protocol.text() == text
    assert protocol.rankings() | rankings == protocol.rankings()
    assert ("sampled" in protocol.rankings()) == ("negatives" in asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"split": "global_temporal"}, "split: global_temporal needs the key temporal"),
        ({"split": "leave_one_out", "temporal": TEMPORAL}, "split: leave_one_out does not take the key temporal"),
        ({"split": "leave_one_out", "candidates": "uniform"}, "candidates: uniform needs the key negatives"),
        (
            {"split": "leave_one_out", "negatives": SAMPLED["negatives"]},
            "candidates: full does not take the key negatives",
        ),
    ],
)
def test_parts_of_a_protocol_belong_together(asked, message):
    with pytest.raises(ValidationError, match=message):
        Protocol.model_validate(asked)


def test_the_filter_and_the_checksums_are_part_of_a_registered_dataset(runs, change):
    before = hashes(runs("public"))
    change("k_core: 5", "k_core: 6")
    filtered = hashes(runs("public"))
    registry = load_registry()
    file = registry["ml-100k"].files[0].model_copy(update={"sha256": "0" * 64})
    entry = registry["ml-100k"].model_copy(update={"files": (file, *registry["ml-100k"].files[1:])})
    other = hashes(plan_suite(load_parameters(), "public", registry | {"ml-100k": entry}))
    assert all(len({before[key], filtered[key], other[key]}) == 3 for key in before)


def test_a_title_in_the_registry_renames_no_run(runs):
    registry = load_registry()
    entry = registry["ml-100k"].model_copy(update={"title": "other", "homepage": "https://example.org"})
    other = plan_suite(load_parameters(), "public", registry | {"ml-100k": entry})
    assert hashes(other) == hashes(runs("public"))


def rows(capsys, *words):
    assert main(["plan", "--csv", *words]) == 0
    captured = capsys.readouterr()
    return captured.out.splitlines()[1:], captured.err.strip()


@pytest.fixture
def diff(repository, capsys):
    """The rows of `plan --diff` against params.yaml as it was at the beginning."""
    Path("before.yaml").write_text(Path("params.yaml").read_text())
    return lambda *words: rows(capsys, "--diff", "before.yaml", *words)


def test_diff_of_nothing(diff):
    assert diff() == ([], "no run changes")


def test_diff_lists_exactly_the_runs_of_a_training_parameter(diff, change):
    change("learning_rate: 1e-3", "learning_rate: 2e-3")
    what = "training.optimizer.learning_rate: 0.001 -> 0.002"
    expected = [f"re-run,toy,sasrec,{seed},{what}" for seed in (1, 2)]
    assert diff() == (expected, "2 runs to train")


def test_diff_names_each_changed_parameter(diff, change):
    change("regularisation: 10", "regularisation: 20, position_decay: 0.5")
    lines, _ = diff()
    assert lines == ["re-run,toy,ease,0,model.regularisation: 10.0 -> 20.0; model.position_decay: default -> 0.5"]


def test_diff_of_a_new_model(diff, change):
    change(
        "probes:\n  robustness:",
        "  markov:\n    title: M\n    architecture: {family: markov}\n    training: closed-form\n\n"
        "probes:\n  robustness:",
    )
    change("models: [popularity, ease, sasrec]", "models: [markov, popularity, ease, sasrec]")
    assert diff() == (["run,toy,markov,0,new"], "1 runs to train")


def test_diff_of_a_dropped_seed(diff, change):
    change("baselines: {datasets: [toy], seeds: [1, 2]}\n  both", "baselines: {datasets: [toy], seeds: [1]}\n  both")
    assert diff() == (["drop,toy,sasrec,2,no longer planned"], "0 runs to train")


def test_diff_of_a_changed_dataset_is_everything(diff, change):
    change("users: 40", "users: 50")
    lines, summary = diff()
    assert summary == "4 runs to train"
    assert all(re.match(r"re-run,toy,\w+,\d,dataset\.content: ", line) for line in lines)


def test_diff_of_an_experiment_that_needs_the_same_runs(diff, change):
    change(
        "      baselines: {datasets: [toy], seeds: [1, 2]}\n  both",
        "      attention: {datasets: [toy], seeds: [1, 2]}\n      baselines: {datasets: [toy], seeds: [1, 2]}\n  both",
    )
    assert diff() == ([], "no run changes")


def test_diff_of_a_renamed_model_is_nothing(diff, change):
    change("  ease:\n", "  ridge:\n")
    change("models: [popularity, ease, sasrec]", "models: [popularity, ridge, sasrec]")
    change("models: [sasrec, ease]", "models: [sasrec, ridge]")
    assert diff() == ([], "no run changes")


def test_diff_with_another_suite(diff, change):
    change("learning_rate: 1e-3", "learning_rate: 2e-3")
    lines, _ = diff("--suite", "both")
    assert [line.split(",")[:4] for line in lines] == [["re-run", "toy", "sasrec", seed] for seed in "123"]


def test_diff_writes_nothing(diff, change):
    change("learning_rate: 1e-3", "learning_rate: 2e-3")
    diff()
    assert not Path("results").exists()


def test_diff_with_a_git_revision(repository, change, capsys):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "params.yaml"], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *words], check=True)
    assert rows(capsys, "--diff") == ([], "no run changes")
    change("regularisation: 10", "regularisation: 20")
    assert rows(capsys, "--diff", "HEAD")[1] == "1 runs to train"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("nowhere", "--diff nowhere: neither a file nor a git revision that has params.yaml"),
        ("broken.yaml", "broken.yaml:1: suite: found 1, expected"),
        ("older.yaml", "older.yaml: has no suite 'small'"),
    ],
)
def test_diff_with_something_else(repository, capsys, other, message):
    text = Path("params.yaml").read_text()
    Path("broken.yaml").write_text(text.replace("suite: small", "suite: 1"))
    Path("older.yaml").write_text(text.replace("suite: small", "suite: both").replace("\n  small:", "\n  tiny:"))
    assert main(["plan", "--diff", other]) == 2
    assert capsys.readouterr().err.startswith(f"seqrepro plan: {message}")


def test_changes_of_nested_parameters():
    before = {"a": {"b": 1, "c": [1]}, "d": {"kind": "x"}, "same": {"x": 1}}
    after = {"a": {"b": 2, "c": [1, 2]}, "e": 3, "same": {"x": 1}}
    assert changes(before, after) == [
        "a.b: 1 -> 2",
        "a.c: [1] -> [1, 2]",
        "d: {'kind': 'x'} -> default",
        "e: default -> 3",
    ]


def test_diff_rows_of_no_runs(runs):
    planned = runs()
    assert [row[0] for row in diff_rows([], planned)] == ["run"] * 4
    assert [row[0] for row in diff_rows(planned, [])] == ["drop"] * 4


def test_the_run_table_says_why_and_how_far(finished, capsys):
    requests = list(finished.of("train").values())
    path_of(requests[0]).unlink()
    path_of(requests[3]).unlink()
    Path(requests[3].folder.replace("runs", "checkpoints")).mkdir(parents=True)
    lines, summary = rows(capsys)
    assert [line.split(",")[-1] for line in lines] == ["to do", "done", "done", "interrupted"]
    assert lines[2].startswith("samrec,toy,sasrec (sasrec-cross_entropy-")
    assert "1 to do, 2 done, 1 interrupted" in summary
    assert summary.startswith("suite 'small': 4 runs")


def test_the_run_table_as_text(repository, capsys):
    assert main(["plan", "--suite", "both"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["paper", "dataset", "model", "objective", "seed", "needed", "for", "state"]
    assert "hydrarec, samrec" in lines[3]
    assert "baselines, attention" in lines[3]
    assert len(lines) == 2 + 5

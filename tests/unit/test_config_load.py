"""Reading params.yaml: every fault is one line with file, line, key, what was found and what was expected."""

# ruff: noqa: E501  (the table of faults has a line for each)

import shutil
from pathlib import Path

import pytest

from seqrepro.config.faults import nearest
from seqrepro.config.load import load_parameters, parse_parameters
from seqrepro.config.plan import plan_suite
from seqrepro.config.training import Gradient
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError

ROOT = Path(__file__).parents[2]


def fault(overrides=None) -> str:
    with pytest.raises(InputError) as caught:
        load_parameters(overrides=overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def line_of(text: str) -> int:
    before, found, _ = Path("params.yaml").read_text().partition(text)
    assert found
    return before.count("\n") + 1


def test_the_repositorys_own_parameters_are_valid(monkeypatch):
    monkeypatch.chdir(ROOT)
    parameters = load_parameters()
    registry = load_registry()
    assert parameters.suite == "quick"
    assert all(plan_suite(parameters, suite, registry) for suite in parameters.suites)


# what is wrong: old text, new text, a text on the line that the message points to, path of the key, what it says
FAULTS = {
    "unknown top key": ("mirror: null", "mirrour: null", "mirrour", "mirrour", "unknown key 'mirrour'; did you mean 'mirror'?"),
    "unknown key in a model": ("title: EASE", "title: EASE\n    publishd_as: []", "publishd_as", "models.ease.publishd_as", "unknown key 'publishd_as'; did you mean 'published_as'?"),
    "unknown key in an architecture": ("width: 8", "widht: 8", "widht", "models.sasrec.architecture.widht", "unknown key 'widht'; did you mean 'width'?"),
    "unknown key in a recipe": ("batch_size: 16", "batch_size: 16, batches: 1", "batches", "training.gradient.budget.batches", "unknown key 'batches'; did you mean 'batch_size'?"),
    "unknown key in a generator": ("seed: 7", "seed: 7, sed: 7", "sed: 7}", "datasets.toy.generator.sed", "unknown key 'sed'; did you mean 'seed'?"),
    "unknown key in a perturbation": ("count: 1", "count: 1, counts: 1", "counts", "probes.robustness.perturbations[0].counts", "unknown key 'counts'; did you mean 'count'?"),
    "unknown key in a filter": ("k_core: 5", "k_cores: 5", "k_cores", "datasets.movies.filter.k_cores", "unknown key 'k_cores'; did you mean 'k_core'?"),
    "key unlike any other": ("title: EASE", "title: EASE\n    xyzzy: 1", "xyzzy", "models.ease.xyzzy", "unknown key 'xyzzy'; known: architecture, datasets, published_as, title, training"),
    "text for a number": ("layers: 1", "layers: one", "layers: one", "models.sasrec.architecture.layers", "found 'one', expected a valid integer"),
    "fraction for a whole number": ("layers: 1", "layers: 1.5", "layers", "models.sasrec.architecture.layers", "found 1.5, expected a valid integer"),
    "whole number as text": ("batch_size: 16", "batch_size: '16'", "batch_size", "training.gradient.budget.batch_size", "found '16', expected a valid integer"),
    "truth value for a number": ("heads: 2", "heads: true", "heads", "models.sasrec.architecture.heads", "found True, expected a valid integer"),
    "number for a text": ("title: Both", "title: 2", "title: 2", "suites.both.title", "found 2, expected a valid string"),
    "number for a list": ("papers: [samrec]", "papers: 7", "papers: 7", "experiments.baselines.papers", "found 7, expected a valid list"),
    "text for a mapping": ("{datasets: [movies], seeds: [1]}", "many", "baselines: many", "suites.public.experiments.baselines", "found 'many', expected"),
    "nothing for a mapping": ("kind: robustness\n    perturbations:\n      - {kind: drop_last, count: 1}\n      - {kind: insert_random, ratio: 0.2}", "", "  robustness:", "probes.robustness", "found None, expected"),
    "bidirectional model on all positions": ("family: sasrec", "family: bert4rec", "training: gradient", "models.sasrec.training", "found view all_positions; expected cloze for bert4rec and a bidirectional hydrarec, which see both sides, and for no other"),
    "pretraining without a mask": ("objective: {name: cross_entropy}", "objective: {name: cross_entropy}\n    pretraining: {name: s3_rec, epochs: 1}", "training: gradient", "models.sasrec.training", "found pretraining, which shows a mask; expected an architecture sasrec with mask_row: true"),
    "recipe for another architecture": ("objective: {name: cross_entropy}", "objective: {name: cl4srec, base: {name: cross_entropy}}", "training: gradient", "models.sasrec.training", "found objective cl4srec, which shows a mask; expected an architecture sasrec with mask_row: true"),
    "negative dropout": ("dropout: 0.1", "dropout: -0.1", "dropout", "models.sasrec.architecture.dropout", "found -0.1, expected greater than or equal to 0"),
    "dropout 1": ("dropout: 0.1", "dropout: 1", "dropout: 1", "models.sasrec.architecture.dropout", "found 1, expected less than 1"),
    "no learning": ("1e-3", "0", "adam", "training.gradient.optimizer.learning_rate", "found 0, expected greater than 0"),
    "infinite learning": ("1e-3", ".inf", "adam", "training.gradient.optimizer.learning_rate", "found inf, expected a finite number"),
    "learning that is no number": ("1e-3", ".nan", "adam", "training.gradient.optimizer.learning_rate", "found nan, expected"),
    "negative seed": ("datasets: [movies], seeds: [1]", "datasets: [movies], seeds: [1, -1]", "seeds: [1, -1]", "suites.public.experiments.baselines.seeds[1]", "found -1, expected greater than or equal to 0"),
    "no seeds": ("datasets: [movies], seeds: [1]", "datasets: [movies], seeds: []", "seeds: []", "suites.public.experiments.baselines.seeds", "found [], expected"),
    "heads that do not divide the width": ("width: 8", "width: 9", "architecture:\n      family: sasrec", "models.sasrec.architecture", "width 9 is not a multiple of heads 2"),
    "bad metric": ("batch_size: 16", "batch_size: 16, monitor: ndcg", "monitor", "training.gradient.budget.monitor", "found 'ndcg', expected"),
    "unknown paper": ("papers: [samrec]", "papers: [samrek]", "samrek", "experiments.baselines.papers[0]", "unknown value 'samrek'; did you mean 'samrec'?"),
    "unknown family": ("family: popularity", "family: popularty", "popularty", "models.popularity.architecture", "unknown 'family' 'popularty'; did you mean 'popularity'?"),
    "unknown kind of recipe": ("{kind: closed_form}", "{kind: close_form}", "close_form", "training.closed-form", "unknown 'kind' 'close_form'; did you mean 'closed_form'?"),
    "unknown perturbation": ("{kind: drop_last", "{kind: drop_lost", "drop_lost", "probes.robustness.perturbations[0]", "unknown 'kind' 'drop_lost'; did you mean 'drop_last'?"),
    "unknown split": ("split: leave_one_out", "split: leave_two_out", "leave_two_out", "protocols.leave-one-out.split", "unknown value 'leave_two_out'; did you mean 'leave_one_out'?"),
    "unknown suite": ("suite: small", "suite: smal", "suite: smal", "suite", "unknown suite 'smal'; did you mean 'small'?"),
    "unknown dataset": ("datasets: [movies]", "datasets: [movie]", "[movie]", "suites.public.experiments.baselines.datasets[0]", "unknown dataset 'movie'; did you mean 'movies'?"),
    "unknown model": ("models: [sasrec, ease]", "models: [sasrec, eas]", "eas]", "experiments.attention.models[1]", "unknown model 'eas'; did you mean 'ease'?"),
    "unknown model in a suite": ("seeds: [2, 3]", "seeds: [2], models: [sasrek]", "sasrek", "suites.both.experiments.attention.models[0]", "unknown model 'sasrek'; did you mean 'sasrec'?"),
    "unknown recipe": ("training: gradient", "training: gradiant", "gradiant", "models.sasrec.training", "unknown training recipe 'gradiant'; did you mean 'gradient'?"),
    "unknown probe": ("probes: [robustness]", "probes: [robust]", "[robust]", "experiments.baselines.probes[0]", "unknown probe 'robust'; did you mean 'robustness'?"),
    "unknown protocol": ("papers: [hydrarec]\n    protocol: leave-one-out", "papers: [hydrarec]\n    protocol: temporal", "temporal", "experiments.attention.protocol", "unknown protocol 'temporal'; known: leave-one-out"),
    "unknown experiment": ("attention: {", "atention: {", "atention: {", "suites.both.experiments.atention", "unknown experiment 'atention'; did you mean 'attention'?"),
    "missing key": ("    title: EASE\n", "", "  ease:", "models.ease.title", "is missing"),
    "missing key in a union": ("count: 1", "", "drop_last", "probes.robustness.perturbations[0].count", "is missing"),
    "missing family": ("{family: popularity}", "{}", "architecture: {}", "models.popularity.architecture", "key 'family' is missing"),
    "missing section": ("protocols:\n  leave-one-out: {split: leave_one_out}\n", "", "suite: small", "protocols", "is missing"),
    "duplicate key": ("title: EASE", "title: EASE\n    title: E", "title: E\n", None, "not valid YAML: key 'title' stands here twice"),
    "duplicate model": ("  sasrec:\n", "  ease:\n", "  ease:\n    title: SASRec", None, "key 'ease' stands here twice"),
    "bad YAML": ("{datasets: [toy], seeds: [2, 3]}", "{datasets: [toy], seeds: 2, 3]}", "3]}", None, "not valid YAML: "),
    "tab": ("    title: EASE", "\ttitle: EASE", "\ttitle: EASE", None, "not valid YAML: "),
    "unknown alias": ("title: EASE", "title: *ease", "*ease", None, "not valid YAML: found undefined alias"),
    "a list as a key": ("title: EASE", "[title]: EASE", "[title]", None, "not valid YAML: found unhashable key"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_one_line(change, name):
    old, new, pointed, dotted, message = FAULTS[name]
    change(old, new)
    text = fault()
    assert message in text
    assert text.startswith(f"params.yaml:{line_of(pointed)}: " + (f"{dotted}: " if dotted else ""))


def test_several_faults_are_a_line_each(change):
    change("dropout: 0.1", "dropout: -1")
    change("title: EASE", "titel: EASE")
    with pytest.raises(InputError) as caught:
        load_parameters()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3  # the misspelt key, the missing one, the dropout
    assert all(line.startswith("params.yaml:") for line in lines)


def test_several_broken_references_are_a_line_each(change):
    change("training: gradient", "training: gradiant")
    change("datasets: [movies]", "datasets: [movie]")
    with pytest.raises(InputError) as caught:
        load_parameters()
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "params.yaml: no such file; run this from the root of the repository"),
        (b"", "params.yaml: expected a mapping of keys, found NoneType"),
        (b"- a\n", "params.yaml: expected a mapping of keys, found list"),
        (b"suite: \x00\n", "params.yaml: not valid YAML: "),
        (b"suite: \xff\n", "params.yaml: not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_mapping(repository, content, message):
    Path("params.yaml").unlink()
    if content is not None:
        Path("params.yaml").write_bytes(content)
    assert fault().startswith(message)


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.0e-3", ".1e-2", "0.001", "+1e-3", "10e-4"])
def test_floats_as_people_write_them(change, number):
    change("1e-3", number)
    recipe = load_parameters().training["gradient"]
    assert isinstance(recipe, Gradient)
    assert recipe.optimizer.learning_rate == 0.001


def test_a_whole_number_where_a_float_is_asked(change):
    change("regularisation: 10", "regularisation: 250")
    found = load_parameters().models["ease"].architecture.canonical()
    assert repr(found["regularisation"]) == "250.0"


def test_a_date_stays_a_text(change):
    change("title: EASE", "title: 2025-01-01")
    assert load_parameters().models["ease"].title == "2025-01-01"


def test_overrides_lie_over_the_file(repository):
    before = load_parameters()
    after = load_parameters(overrides={"suite": "both", "training": {"gradient": {"budget": {"epochs": 9}}}})
    assert after.suite == "both"
    assert isinstance(after.training["gradient"], Gradient)
    assert after.training["gradient"].budget.epochs == 9
    assert after.training["gradient"].budget.batch_size == 16
    assert after.models == before.models
    assert before.suite == "small"


def test_an_override_replaces_lists(repository):
    seeds = {"suites": {"small": {"experiments": {"baselines": {"seeds": [5]}}}}}
    assert load_parameters(overrides=seeds).suites["small"].experiments["baselines"].seeds == [5]


def test_faults_in_overrides_are_found(repository):
    assert fault({"suite": "standart"}).endswith("suite: unknown suite 'standart'; known: both, public, small")
    assert "unknown key 'sute'; did you mean 'suite'?" in fault({"sute": "both"})


def test_nearest():
    assert nearest("saserc", ["sasrec", "ease"]) == "; did you mean 'sasrec'?"
    assert nearest("zzz", ["b", "a"]) == "; known: a, b"
    assert nearest("zzz", []) == "; known: none"


def test_messages_call_the_text_by_its_name():
    with pytest.raises(InputError, match=r"^HEAD~1: expected a mapping"):
        parse_parameters("1", "HEAD~1")


def test_a_registry_entry_that_is_not_there(change):
    change("entry: ml-100k", "entry: ml-100")
    with pytest.raises(InputError, match=r"^registry/datasets.yaml: no entry 'ml-100'; did you mean 'ml-100k'\?$"):
        plan_suite(load_parameters(), "public", load_registry())


def test_a_broken_registry_is_one_line(repository):
    Path("registry").unlink()
    shutil.copytree(ROOT / "registry", "registry")
    path = Path("registry/datasets.yaml")
    path.write_text(path.read_text().replace("order_source: timestamp", "order_source: time", 1))
    with pytest.raises(InputError, match=r"^registry/datasets.yaml: ml-100k.order_source: .*'time'$"):
        load_registry()

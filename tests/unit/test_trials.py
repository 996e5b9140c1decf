"""Settings laid over models, and the trials of a search: what fits, what is drawn, what is refused in one line."""

# ruff: noqa: E501  (the table of faults has a line for each)

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searches import add_search
from seqrepro.config.base import Configuration
from seqrepro.config.load import load_parameters, parse_parameters
from seqrepro.config.overrides import Setup, UnfitSetting, override, setup_of
from seqrepro.config.plan import plan_suite
from seqrepro.config.search import LogUniform, Search
from seqrepro.config.trials import trials_of
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError
from seqrepro.files import canonical_json

ROOT = Path(__file__).parents[2]
EASE = {"family": "ease", "regularisation": 10.0, "position_decay": 1.0}
CLOSED = {"kind": "closed_form", "fit_on": "train", "threads": 1}


@pytest.fixture(scope="module")
def parameters():
    return parse_parameters((ROOT / "params.yaml").read_text(), "params.yaml")


@pytest.fixture
def searching(repository):
    add_search(repository, ROOT / "registry")
    return repository


def search_of(**changes):
    spaces = {
        "ease": {"architecture.position_decay": [0.5, 0.8], "architecture.regularisation": {"log_uniform": [1, 1000]}},
        "itemknn": {"architecture.neighbours": [10, 20, 30], "architecture.shrink": [0, 1, 2]},
    }
    base = {"trials": 8, "seed": 9, "sampling": {"kind": "random", "seed": 5}, "spaces": spaces}
    return Search.model_validate(base | changes)


def ease():
    return Setup.model_validate({"architecture": EASE, "training": CLOSED})


def knn():
    return Setup.model_validate({"architecture": {"family": "itemknn"}, "training": CLOSED})


def settings(search, model="ease", setup=None, name="s"):
    return [trial.settings for trial in trials_of(name, search, model, setup or ease())]


def test_settings_change_what_they_name_and_nothing_else(parameters):
    before = setup_of(parameters, "sasrec")
    after = override(before, {"architecture.dropout": 0.3, "training.optimizer.learning_rate": 2e-3})
    tree = before.model_dump()
    tree["architecture"]["dropout"], tree["training"]["optimizer"]["learning_rate"] = 0.3, 2e-3
    assert after.model_dump() == tree
    assert override(before, {}) is before


def test_a_setting_can_replace_a_whole_part(parameters):
    wanted = {"training.objective": {"name": "gbce", "negatives": 16}, "training.optimizer.weight_decay": 0.1}
    after = override(setup_of(parameters, "sasrec"), wanted).training.canonical()
    assert after["objective"] == {"name": "gbce", "negatives": 16, "calibration": 0.75, "exclude": "target"}
    assert after["optimizer"]["weight_decay"] == 0.1


@pytest.mark.parametrize(
    ("wanted", "path", "what"),
    [
        ({"architecture.dropuot": 0.1}, "architecture.dropuot", "unknown key 'dropuot'; did you mean 'dropout'?"),
        ({"training.optimiser.beta1": 0}, "training.optimiser.beta1", "unknown key 'optimiser'; did you mean 'optimizer'?"),
        ({"architecture.dropout.x": 1}, "architecture.dropout.x", "unknown key 'x'; known: none"),
        ({"data.k_core": 5}, "data.k_core", "unknown key 'data'; known: architecture, training"),
        ({"architecture.layers": 1.5}, "architecture.layers", "found 1.5, expected a valid integer"),
        ({"architecture.dropout": 1}, "architecture.dropout", "found 1, expected less than 1"),
        ({"architecture.dropout": "0.1"}, "architecture.dropout", "found '0.1', expected a valid number"),
        ({"training.view": "all"}, "training.view", "unknown value 'all'; known: all_positions, cloze, prefixes"),
        ({"training.objective": {"name": "bce", "negtives": 3}}, "training.objective", "unknown key 'negtives'; did you mean 'negatives'?"),
        ({"architecture.heads": 3}, None, "architecture: width 64 is not a multiple of heads 3"),
    ],
)  # fmt: skip
def test_a_setting_that_does_not_fit_is_said(parameters, wanted, path, what):
    with pytest.raises(UnfitSetting) as caught:
        override(setup_of(parameters, "sasrec"), wanted)
    assert (caught.value.path, caught.value.what) == (path, what)


def test_settings_by_dataset_hold_on_that_dataset_only(searching, change):
    change(
        "    architecture: {family: ease, regularisation: 10}\n",
        "    architecture: {family: ease, regularisation: 10}\n    datasets: {movies: {architecture.regularisation: 99}}\n",
    )
    parameters, registry = load_parameters(), load_registry()
    found = {
        suite: [
            run.config["model"]["regularisation"]
            for run in plan_suite(parameters, suite, registry)
            if run.config["model"]["family"] == "ease"
        ]
        for suite in ("small", "public")
    }
    assert found == {"small": [10.0], "public": [99.0]}


def test_the_unchanged_model_is_the_first_trial():
    trials = trials_of("s", search_of(), "ease", ease())
    assert trials[0].settings == {} and trials[0].setup == ease()
    assert [trial.number for trial in trials] == list(range(8))
    for trial in trials:
        assert trial.setup == override(ease(), trial.settings)


spaces_of_ease = st.fixed_dictionaries(
    {
        "architecture.position_decay": st.lists(st.sampled_from([0.3, 0.5, 0.8, 1]), min_size=1, max_size=4, unique=True),
        "architecture.regularisation": st.tuples(st.floats(0.01, 10), st.floats(20, 1e4)).map(lambda b: {"log_uniform": list(b)}),
    }
)  # fmt: skip


@given(spaces_of_ease, st.integers(1, 12), st.integers(0, 5), st.integers(0, 1000))
def test_draws(space, trials, more, seed):
    """Different, inside the space, the same again, independent of order and of others, and kept when there are more."""

    def drawn(spaces, number):
        return settings(search_of(spaces=spaces, trials=number, sampling={"kind": "random", "seed": seed}))

    found = drawn({"ease": space}, trials)
    configurations = [canonical_json(override(ease(), one).canonical()) for one in found]
    assert len(set(configurations)) == len(found) == trials
    low, high = space["architecture.regularisation"]["log_uniform"]
    for one in found[1:]:
        assert low <= one["architecture.regularisation"] <= high
        assert one["architecture.position_decay"] in space["architecture.position_decay"]
    turned = dict(reversed(space.items()))
    assert drawn({"other": {}, "ease": turned}, trials) == found
    assert drawn({"ease": space}, trials + more)[:trials] == found


def test_draws_depend_on_the_search_the_model_and_the_seed():
    spaces = dict.fromkeys(("ease", "ridge"), search_of().spaces["ease"])
    search = search_of(spaces=spaces)
    other = search_of(spaces=spaces, sampling={"kind": "random", "seed": 6})
    found = [settings(search), settings(search, "ridge"), settings(search, name="t"), settings(other)]
    assert len({canonical_json(one[1:]) for one in found}) == 4


def test_a_log_uniform_draw_is_rounded_and_uniform_in_the_logarithm():
    space = LogUniform(log_uniform=[10, 2000])
    assert (space.at(0), space.at(0.5), space.at(1 - 2**-53)) == (10.0, 141.4, 2000.0)
    search = search_of(trials=1000, spaces={"ease": {"architecture.regularisation": space}})
    shares = sorted(math.log(one["architecture.regularisation"] / 10) / math.log(200) for one in settings(search)[1:])
    gap = max(abs(share - (i + 0.5) / len(shares)) for i, share in enumerate(shares))
    assert gap < 0.06  # Kolmogorov's distance; beyond 0.0615 with probability 0.001


def test_a_list_is_drawn_from_evenly():
    lists = {"architecture.neighbours": list(range(1, 1001)), "architecture.shrink": [0, 1, 2, 3]}
    found = settings(search_of(trials=2001, spaces={"itemknn": lists}), "itemknn", knn())[1:]
    counts = [sum(one["architecture.shrink"] == value for one in found) for value in range(4)]
    assert sum(counts) == 2000 and all(abs(count - 500) < 75 for count in counts)  # 3.9 standard deviations


def test_a_grid_is_complete_and_in_order():
    search = search_of(trials=10, sampling={"kind": "grid"})
    found = settings(search, "itemknn", knn())
    expected = [{"architecture.neighbours": n, "architecture.shrink": s} for n in (10, 20, 30) for s in (0, 1, 2)]
    assert found == [{}, *expected]


def test_a_grid_that_holds_the_unchanged_model_has_it_once():
    lists = {"architecture.neighbours": [50, 100, 200], "architecture.shrink": [0]}  # 100 and 0 are the defaults
    search = search_of(trials=3, sampling={"kind": "grid"}, spaces={"itemknn": lists})
    assert [one.get("architecture.neighbours") for one in settings(search, "itemknn", knn())] == [None, 50, 200]


@pytest.mark.parametrize(("trials", "kind"), [(9, "grid"), (11, "grid"), (11, "random")])
def test_a_space_of_another_size_is_refused(trials, kind):
    sampling = {"kind": kind, "seed": 1} if kind == "random" else {"kind": kind}
    with pytest.raises(UnfitSetting) as caught:
        settings(search_of(trials=trials, sampling=sampling), "itemknn", knn())
    assert caught.value.what == (
        f"found 10 different configurations, the unchanged one included, expected as many as trials: {trials}"
    )


def test_a_random_search_may_use_up_its_space():
    found = settings(search_of(trials=10), "itemknn", knn())
    assert len({canonical_json(one) for one in found}) == 10


GRID = "sampling: {kind: grid}"
DRAWS = "sampling: {kind: random, seed: 5}"
DROPOUT = "architecture.dropout: [0, 0.2, 0.4]"
RATE = "training.optimizer.learning_rate: {log_uniform: [1e-4, 1e-2]}"
SASREC = "searches.tries.spaces.sasrec"
# what is wrong: old text, new text, a text on the line that the message points to, path of the key, what it says
FAULTS = {
    "path": (DROPOUT, "architecture.dropuot: [0]", "dropuot", f"{SASREC}.architecture.dropuot", "unknown key 'dropuot'; did you mean 'dropout'?"),
    "path of a recipe": (RATE, "training.optimizer.rate: [1]", "optimizer.rate", f"{SASREC}.training.optimizer.rate", "unknown key 'rate'; did you mean 'name'?"),
    "value": (DROPOUT, "architecture.dropout: [0, 1.5]", "1.5", f"{SASREC}.architecture.dropout", "found 1.5, expected less than 1"),
    "bound": (RATE, "architecture.layers: {log_uniform: [1, 9]}", "[1, 9]", f"{SASREC}.architecture.layers", "found 1.0, expected a valid integer"),
    "values that do not go together": (DROPOUT, "architecture.heads: [3]", "sasrec:\n        arch", SASREC, "architecture: width 8 is not a multiple of heads 3"),
    "no values": (DROPOUT, "architecture.dropout: []", "dropout: []", f"{SASREC}.architecture.dropout", "found [], expected"),
    "no list": (DROPOUT, "architecture.dropout: 0.2", "dropout: 0.2\n        training", f"{SASREC}.architecture.dropout", "found 0.2, expected"),
    "unknown key of a range": (RATE, "training.optimizer.learning_rate: {log_uniform: [1, 2], base: 2}", "base: 2", f"{SASREC}.training.optimizer.learning_rate.base", "unknown key 'base'; known: log_uniform"),
    "bounds in the wrong order": (RATE, "training.optimizer.learning_rate: {log_uniform: [2, 1]}", "[2, 1]", f"{SASREC}.training.optimizer.learning_rate.log_uniform", "found [2.0, 1.0], expected a lower bound and a higher one"),
    "one bound": (RATE, "training.optimizer.learning_rate: {log_uniform: [2]}", "[2]", f"{SASREC}.training.optimizer.learning_rate.log_uniform", "found [2], expected"),
    "a range in a grid": (DRAWS, GRID, "log_uniform: [1, 1000]", "searches.tries.spaces.ease.architecture.regularisation", "found log_uniform in a grid, expected a list of values"),
    "too few": (DROPOUT + "\n        " + RATE, DROPOUT, "sasrec:\n        arch", SASREC, "found 4 different configurations, the unchanged one included, expected as many as trials: 5"),
    "sampling": (DRAWS, "sampling: {kind: randm, seed: 5}", "randm", "searches.tries.sampling", "unknown 'kind' 'randm'; did you mean 'random'?"),
    "draws without a seed": (DRAWS, "sampling: {kind: random}", "sampling: {kind: random}", "searches.tries.sampling.seed", "is missing"),
    "model": ("      sasrec:\n        " + DROPOUT, "      sasrek:\n        " + DROPOUT, "sasrek", "searches.tries.spaces.sasrek", "unknown model 'sasrek'; did you mean 'sasrec'?"),
    "search": ("search: tries", "search: trys", "trys", "experiments.tuned.search", "unknown search 'trys'; did you mean 'tries'?"),
    "model without a space": ("models: [ease, sasrec]", "models: [ease, popularity]", "search: tries", "experiments.tuned.search", "search 'tries' has no space of model 'popularity'"),
    "model of a suite without a space": ("tuned: {datasets: [toy], seeds: [1, 2]}", "tuned: {datasets: [toy], seeds: [1, 2], models: [popularity]}", "search: tries", "experiments.tuned.search", "search 'tries' has no space of model 'popularity'"),
    "seed of a final run": ("    seed: 9\n", "    seed: 2\n", "tuned: {datasets", "suites.tuning.experiments.tuned.seeds", "found 2, the seed of the trials of search 'tries'; expected others"),
    "dataset of settings": ("    title: EASE\n", "    title: EASE\n    datasets: {toys: {}}\n", "toys", "models.ease.datasets.toys", "unknown dataset 'toys'; did you mean 'toy'?"),
    "setting of a dataset": ("    title: EASE\n", "    title: EASE\n    datasets: {toy: {architecture.regularisation: 0}}\n", "toy: {arch", "models.ease.datasets.toy.architecture.regularisation", "found 0, expected greater than 0"),
}  # fmt: skip


FURTHER = {"too few": ("trials: 4", "trials: 5"), "a range in a grid": (RATE, "training.optimizer.learning_rate: [1]")}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_one_line(searching, change, name):
    old, new, pointed, dotted, message = FAULTS[name]
    change(old, new)
    if name in FURTHER:
        change(*FURTHER[name])
    with pytest.raises(InputError) as caught:
        load_parameters()
    before, found, _ = Path("params.yaml").read_text().partition(pointed)
    assert found and "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"params.yaml:{before.count(chr(10)) + 1}: {dotted}: {message}")


def test_the_classes_are_configurations():
    assert issubclass(Search, Configuration)
    assert search_of().canonical()["spaces"]["ease"]["architecture.regularisation"] == {"log_uniform": [1.0, 1000.0]}

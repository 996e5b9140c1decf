"""The names of runs are frozen: parameters that were written once keep their canonical form and their hash.

`run_identity.json` holds its own parameters and registry, so editing `params.yaml` or `registry/` changes nothing here.
A run that this file knows must never get another name; a new model family or a new kind of dataset is added to it:
to its parameters by hand, and to its runs by `python tests/golden/test_run_identity.py`, which changes no run that it
has.
"""

import json
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import get_args

import pytest

from seqrepro.config.architectures.attention import AnyAttention
from seqrepro.config.datasets import Dataset
from seqrepro.config.disturbances import TrainingData
from seqrepro.config.generators import Generator
from seqrepro.config.parameters import Architecture, Parameters
from seqrepro.config.plan import plan_suite
from seqrepro.config.protocols import Protocol
from seqrepro.config.training import Gradient, Objective, Optimizer, Recipe
from seqrepro.data.registry import Entry
from seqrepro.files import canonical_json, sha256_text

FROZEN = Path(__file__).with_name("run_identity.json").resolve()
GOLDEN = json.loads(FROZEN.read_text("utf-8"))
FIELDS = ("dataset", "label", "seed", "config", "config_hash", "folder")


def tags(union, key):
    """The values that discriminate a union."""
    return {get_args(member.model_fields[key].annotation)[0] for member in get_args(get_args(union)[0])}


def choices(configuration, field):
    """The values that a field of literals can have."""
    return set(get_args(configuration.model_fields[field].annotation))


def plan(folder):
    """All runs of the golden parameters; files of users stand in a folder."""
    for name, text in GOLDEN["files"].items():
        (Path(folder) / name).write_text(text)
    parameters = Parameters.model_validate(GOLDEN["parameters"])
    registry = {name: Entry.model_validate_json(json.dumps(entry)) for name, entry in GOLDEN["registry"].items()}
    with chdir(folder):
        runs = plan_suite(parameters, parameters.suite, registry)
    return [{name: getattr(run, name) for name in FIELDS} for run in runs]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    return plan(tmp_path_factory.mktemp("golden"))


def test_every_run_keeps_its_canonical_form(planned):
    assert [run["config"] for run in planned] == [run["config"] for run in GOLDEN["runs"]]


def test_every_run_keeps_its_name(planned):
    assert [(run["config_hash"], run["folder"], run["seed"]) for run in planned] == [
        (run["config_hash"], run["folder"], run["seed"]) for run in GOLDEN["runs"]
    ]


@pytest.mark.parametrize("run", GOLDEN["runs"], ids=lambda run: f"{run['label']}-{run['dataset']}-{run['seed']}")
def test_the_canonical_text_has_its_hash(run):
    assert canonical_json(run["config"]) == run["canonical"]
    assert sha256_text(run["canonical"]) == run["config_hash"]
    assert run["folder"] == f"results/runs/{run['dataset']}/{run['label']}-{run['config_hash'][:8]}"


def test_all_kinds_are_frozen():
    """A new family, recipe, objective, optimizer, view, protocol, generator or kind of dataset belongs here."""
    configs = [run["config"] for run in GOLDEN["runs"]]
    assert tags(Architecture, "family") == {config["model"]["family"] for config in configs}
    assert tags(Recipe, "kind") == {config["training"]["kind"] for config in configs}
    attentions = {config["model"]["attention"]["name"] for config in configs if "attention" in config["model"]}
    assert tags(AnyAttention, "name") == attentions
    objectives = {config["training"]["objective"]["name"] for config in configs if "objective" in config["training"]}
    assert tags(Objective, "name") == objectives
    optimizers = {config["training"]["optimizer"]["name"] for config in configs if "optimizer" in config["training"]}
    assert tags(Optimizer, "name") == optimizers
    datasets, protocols = GOLDEN["parameters"]["datasets"].values(), GOLDEN["parameters"]["protocols"].values()
    assert tags(Dataset, "source") == {dataset["source"] for dataset in datasets}
    assert tags(Generator, "kind") == {dataset["generator"]["kind"] for dataset in datasets if "generator" in dataset}
    assert choices(Gradient, "view") == {config["training"].get("view", "all_positions") for config in configs}
    seen = {config["training"]["data"]["kind"] for config in configs if "data" in config["training"]}
    assert tags(TrainingData, "kind") == seen
    recipes = [config["training"] for config in configs if config["training"]["kind"] == "gradient"]
    assert choices(Gradient, "precision") == {recipe["precision"] for recipe in recipes}
    assert choices(Protocol, "split") == {protocol["split"] for protocol in protocols}
    assert choices(Protocol, "candidates") == {protocol.get("candidates", "full") for protocol in protocols}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        added = plan(made)[len(GOLDEN["runs"]) :]
    GOLDEN["runs"] += [run | {"canonical": canonical_json(run["config"])} for run in added]
    FROZEN.write_text(json.dumps(GOLDEN, indent=2, ensure_ascii=False) + "\n", "utf-8")

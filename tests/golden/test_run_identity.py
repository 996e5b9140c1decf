"""The names of runs are frozen: parameters that were written once keep their canonical form and their hash.

`run_identity.json` holds its own parameters and registry, so editing `params.yaml` or `registry/` changes nothing here.
A run that this file knows must never get another name; a new model family or a new kind of dataset is added to it.
"""

import json
from pathlib import Path
from typing import get_args

import pytest

from seqrepro.config.datasets import Dataset
from seqrepro.config.parameters import Architecture, Parameters
from seqrepro.config.plan import plan_suite
from seqrepro.config.training import Recipe
from seqrepro.data.registry import Entry
from seqrepro.files import canonical_json, sha256_text

GOLDEN = json.loads(Path(__file__).with_name("run_identity.json").read_text("utf-8"))
FIELDS = ("dataset", "label", "seed", "config", "config_hash", "folder")


def tags(union, key):
    """The values that discriminate a union."""
    return {get_args(member.model_fields[key].annotation)[0] for member in get_args(get_args(union)[0])}


@pytest.fixture(scope="module")
def planned():
    """All runs of the golden parameters."""
    parameters = Parameters.model_validate(GOLDEN["parameters"])
    registry = {name: Entry.model_validate_json(json.dumps(entry)) for name, entry in GOLDEN["registry"].items()}
    runs = plan_suite(parameters, parameters.suite, registry)
    return [{name: getattr(run, name) for name in FIELDS} for run in runs]


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
    """A new family, recipe or dataset kind belongs in the golden file."""
    configs = [run["config"] for run in GOLDEN["runs"]]
    assert tags(Architecture, "family") == {config["model"]["family"] for config in configs}
    assert tags(Recipe, "kind") == {config["training"]["kind"] for config in configs}
    assert tags(Dataset, "source") == {dataset["source"] for dataset in GOLDEN["parameters"]["datasets"].values()}

"""How many numbers models learn, in the tables and in the report, and that the table of items is reckoned rightly."""

import csv
from importlib import import_module
from pathlib import Path

import pytest
import torch

from seqrepro.config.load import load_parameters
from seqrepro.config.suite_plan import item_table

ROOT = Path(__file__).parents[2]
PARAMETERS = load_parameters(ROOT / "params.yaml")
N_ITEMS = 7


SIZED = [name for name, one in PARAMETERS.models.items() if item_table(one.architecture.canonical())]


@pytest.mark.parametrize("name", SIZED)
def test_the_item_table_of_each_network_is_that_of_the_model_as_it_is_built(name):
    architecture = PARAMETERS.models[name].architecture.canonical()
    network = import_module(f"seqrepro.models.{architecture['family']}").build(architecture, N_ITEMS, torch.Generator())
    told = item_table(architecture)
    assert network.items.weight.numel() == (N_ITEMS + told["more_rows"]) * told["width"]


def test_closed_forms_have_no_item_table():
    names = [name for name, model in PARAMETERS.models.items() if not item_table(model.architecture.canonical())]
    assert {PARAMETERS.models[name].training for name in names} == {"closed-form", "closed-form-all"}


def test_the_table_holds_each_configuration(compared_suite):
    root, _ = compared_suite
    with (root / "results/standard/tables/parameters.csv").open(newline="") as stream:
        rows = {row["model"]: row for row in csv.DictReader(stream) if row["dataset"] == "beauty"}
    counts = ("n_items", "parameters", "item_table", "without_item_table")
    assert [rows["sasrec"][name] for name in counts] == ["200", "1000", "804", "196"]
    assert [rows["ease"][name] for name in counts] == ["200", "1000", "0", "1000"]
    assert [rows["hydrarec"][name] for name in counts] == ["", "", "", ""]
    text = (root / "results/standard/tables/parameters.md").read_text()
    assert "| SASRec | 1,000 | 804 | 196 |" in text
    assert "| HydraRec | not run | not run | not run |" in text

"""The JSON schema of params.yaml is in step with the classes, and accepts what they accept."""

import json
from pathlib import Path

import pytest
import yaml

from seqrepro.cli import main
from seqrepro.config.load import _Loader
from seqrepro.config.schema import SCHEMA, write_schema

ROOT = Path(__file__).parents[2]


def test_the_file_is_in_step_with_the_classes(tmp_path):
    write_schema(tmp_path / "schema.json")
    assert (ROOT / SCHEMA).read_bytes() == (tmp_path / "schema.json").read_bytes(), "run `seqrepro schema`"


def test_the_verb_writes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["schema"]) == 0
    assert SCHEMA.read_bytes() == (ROOT / SCHEMA).read_bytes()


def test_params_yaml_points_to_it():
    first = (ROOT / "params.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA.as_posix()}"


@pytest.fixture(scope="module")
def validator():
    """An independent reading of the schema."""
    jsonschema = pytest.importorskip("jsonschema", reason="snakemake brings jsonschema")
    schema = json.loads((ROOT / SCHEMA).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def tree():
    return yaml.load((ROOT / "params.yaml").read_text(), _Loader)


def test_it_accepts_params_yaml(validator):
    assert list(validator.iter_errors(tree())) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("models", "sasrec", "architecture", "dropout"), -0.1),
        (("models", "sasrec", "architecture", "widht"), 8),
        (("models", "sasrec", "architecture", "family"), "sasrek"),
        (("training", "cross-entropy", "budget", "epochs"), 0),
        (("datasets", "ml-100k", "filter", "k_core"), "5"),
        (("nothing",), 1),
    ],
)
def test_it_refuses_what_the_classes_refuse(validator, place, value):
    parameters = tree()
    *parents, last = place
    inside = parameters
    for part in parents:
        inside = inside[part]
    inside[last] = value
    assert not validator.is_valid(parameters)

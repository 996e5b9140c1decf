"""The three lists of versions agree: requirements.in, requirements.lock, environment.yml; and so does this machine."""

import ast
import importlib.metadata
import re
import runpy
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
tool = runpy.run_path(str(ROOT / "tools/lock.py"))


def requirements():
    """The names in requirements.in."""
    return {line for line in (ROOT / "requirements.in").read_text().splitlines() if line and line[0] != "#"}


def imported(path):
    """The packages that a module imports from elsewhere, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_environment_is_what_the_lock_says():
    assert (ROOT / "environment.yml").read_text() == tool["environment"](LOCK)


def test_environment_installs_the_lock_and_torch_by_pip():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert {"python=3.11", "make", "pip"} <= {item for item in dependencies if isinstance(item, str)}
    installed = next(item for item in dependencies if isinstance(item, dict))["pip"]
    assert [pin for pin in installed if not pin.startswith("torch==")] == tool["pins"](LOCK)
    assert sum(pin.startswith("torch==") for pin in installed) == 1


def test_makefile_and_environment_name_one_torch():
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^TORCH \?= (\S+)$", makefile, re.MULTILINE).group(1) == tool["TORCH"]


def test_every_requirement_is_locked_with_hashes():
    locked = {pin.split("==")[0].split("[")[0] for pin in tool["pins"](LOCK)}
    assert requirements() <= locked
    assert LOCK.count("--hash=sha256:") >= len(locked)
    assert "torch" not in locked
    assert "://" not in LOCK


def test_what_the_product_imports_is_asked_for_and_not_there_by_chance():
    owners = importlib.metadata.packages_distributions()
    packages = {name for path in (ROOT / "src").rglob("*.py") for name in imported(path)} - sys.stdlib_module_names
    packages -= {"triton"}  # comes with builds of torch for GPUs, and is imported there alone
    wanted = {*requirements(), "torch", "seqrepro"}  # torch has its own line in the Makefile
    owned = {name: {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners.get(name, ())} for name in packages}
    assert {name: found for name, found in owned.items() if not found & wanted} == {}


def test_this_machine_has_the_locked_versions():
    for pin in tool["pins"](LOCK):
        name, version = pin.split(" ;")[0].split("==")
        if ";" not in pin:
            assert importlib.metadata.version(name.split("[")[0]) == version

"""The documentation is in step with the code: links, verbs, targets, parameters; and it speaks of the project alone."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from seqrepro.cli import STEPS, VERBS
from seqrepro.config.parameters import Parameters

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
MACHINE = ["sub" + "agent", "cl" + "aude", "/wo" + "rk/", "/sha" + "red/", "session" + "-"]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def code(page: Path) -> str:
    """What stands in code blocks and between backticks."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), re.DOTALL))


def text_files() -> list[str]:
    """Files of the repository, committed or about to be, that are text."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    there = [file for file in listed if file and (ROOT / file).is_file() and not file.startswith(".ci/")]
    return [file for file in there if b"\0" not in (ROOT / file).read_bytes()]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_point_to_files(page):
    links = [link.split("#")[0] for link in LINK.findall(page.read_text())]
    relative = [link for link in links if link and "://" not in link and not link.startswith("mailto:")]
    assert [link for link in relative if not (page.parent / link).exists()] == []


def test_every_page_is_on_the_map():
    docs = ROOT / "docs"
    linked = {(docs / link).resolve() for link in LINK.findall((docs / "index.md").read_text())}
    assert [name(page) for page in docs.rglob("*.md") if page.resolve() not in linked and page.name != "index.md"] == []


def test_every_verb_is_described():
    described = re.findall(r"^\| `([a-z]+)` \|", (ROOT / "docs/reference/cli.md").read_text(), re.MULTILINE)
    assert set(described) == {*STEPS, *VERBS}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_call_only_verbs_and_targets_that_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bseqrepro ([a-z]+)", code(page))) - {*STEPS, *VERBS} == set()
    assert set(re.findall(r"(?:^|[`(])make ([a-z][a-z-]+)", code(page), re.MULTILINE)) - set(targets) == set()


def test_every_parameter_is_described():
    page = (ROOT / "docs/reference/params.md").read_text()
    schema = Parameters.model_json_schema()
    keys = {key for part in (schema, *schema["$defs"].values()) for key in part["properties"]}
    assert sorted(key for key in keys if f"`{key}`" not in page and f"`{key}:" not in page) == []


def test_the_schema_file_is_what_the_classes_say():
    written = json.loads((ROOT / "workflow/schemas/params.schema.json").read_text())
    dialect = written.pop("$schema")
    assert dialect == "https://json-schema.org/draft/2020-12/schema"
    assert written == Parameters.model_json_schema()


def test_files_speak_of_the_project_alone():
    pattern = re.compile("|".join(map(re.escape, MACHINE)), re.IGNORECASE)
    found = [
        f"{file}:{number}: {match.group()}"
        for file in text_files()
        for number, line in enumerate((ROOT / file).read_text("utf-8", errors="replace").splitlines(), start=1)
        if (match := pattern.search(line))
    ]
    assert found == []

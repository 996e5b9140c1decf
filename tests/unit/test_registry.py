"""The registry: its schema, its errors, and what the identity of a dataset depends on."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError

REGISTRY = Path(__file__).parents[2] / "registry" / "datasets.yaml"
ENTRY: dict[str, Any] = {
    "title": "Toy",
    "family": "toy",
    "variant": "all",
    "terms": "free",
    "citation": "nobody",
    "homepage": "https://example.org/toy",
    "format": "s3rec_sequences",
    "order_source": "source",
    "provenance": "third-party",
    "expected": {"raw": {"users": 2, "items": 3, "interactions": 6}},
    "files": [
        {
            "name": "toy.txt",
            "sha256": "0" * 64,
            "sources": [{"kind": "url", "url": "https://example.org/toy.txt", "provenance": "third-party"}],
        }
    ],
}


def write(path: Path, entry: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"toy": entry}))
    return path


def content(tmp_path: Path, **changes: Any) -> str:
    return load_registry(write(tmp_path / "datasets.yaml", ENTRY | changes))["toy"].content()


def test_the_registry_in_the_repository_is_valid():
    entries = load_registry(REGISTRY)
    assert {"ml-100k", "amazon-2014-beauty-s3rec", "amazon-2014-beauty-s3rec-sequences"} <= set(entries)
    assert entries["ml-100k"].family == "ml-100k"
    assert entries["amazon-2014-beauty-s3rec"].family == "beauty"
    for name, entry in entries.items():
        assert entry.name == name
        assert (REGISTRY.parents[1] / "src/seqrepro/data/formats" / f"{entry.format}.py").is_file()


def test_the_two_beauty_variants_must_have_the_same_counts():
    entries = load_registry(REGISTRY)
    assert entries["amazon-2014-beauty-s3rec"].expected == entries["amazon-2014-beauty-s3rec-sequences"].expected


def test_content_ignores_titles_and_sources(tmp_path):
    moved = [{**ENTRY["files"][0], "sources": [{"kind": "mirror", "path": "toy/x.txt", "provenance": "archived"}]}]
    assert content(tmp_path) == content(tmp_path, title="Another", terms="none", files=moved)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "user_item_timestamp_tsv"},
        {"order_source": "timestamp"},
        {"files": [{**ENTRY["files"][0], "sha256": "1" * 64}]},
        {"files": [{**ENTRY["files"][0], "sha256": None}]},
        {"files": [{**ENTRY["files"][0], "name": "other.txt"}]},
    ],
)
def test_content_follows_what_determines_the_data(tmp_path, changes):
    assert content(tmp_path) != content(tmp_path, **changes)


def test_preparation_takes_the_counts_of_the_filter(tmp_path):
    entry = load_registry(REGISTRY)["ml-100k"]
    assert entry.preparation({"k_core": 5})["expected"] == {"users": 943, "items": 1349, "interactions": 99287}
    assert entry.preparation({})["expected"] == {"users": 943, "items": 1682, "interactions": 100000}
    assert entry.preparation({"k_core": 7})["expected"] is None
    assert entry.preparation({})["filter"] == {}
    assert entry.raw_paths()[0] == "data/raw/ml-100k/u.data"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"colour": "red"}, "toy.colour"),
        ({"title": 3}, "toy.title"),
        ({"order_source": "random"}, "toy.order_source"),
        ({"expected": {"full": {"users": 1, "items": 1, "interactions": 1}}}, "toy.expected.full"),
        ({"files": []}, "toy.files"),
        ({"files": [{**ENTRY["files"][0], "sha256": "abc"}]}, "toy.files.0.sha256"),
        ({"files": [{**ENTRY["files"][0], "name": "../toy.txt"}]}, "toy.files.0.name"),
        (
            {
                "files": [
                    {**ENTRY["files"][0], "sources": [{"kind": "mirror", "path": "../x", "provenance": "archived"}]}
                ]
            },
            "toy.files.0.sources.0.mirror.path",
        ),
        (
            {
                "files": [
                    {**ENTRY["files"][0], "sources": [{"kind": "url", "url": "file:///x", "provenance": "primary"}]}
                ]
            },
            "toy.files.0.sources.0.url.url",
        ),
    ],
)
def test_a_broken_entry_is_one_line_with_its_key(tmp_path, changes, key):
    path = write(tmp_path / "datasets.yaml", ENTRY | changes)
    with pytest.raises(InputError) as caught:
        load_registry(path)
    assert str(caught.value).startswith(f"{path}: {key}")
    assert "\n" not in str(caught.value)


REFERENCE: dict[str, Any] = {"entry": "other", "ids": "same", "expected": {"users": 2, "equal": 2}}


def test_what_only_describes_an_entry_does_not_change_its_content(tmp_path):
    told = {
        "time_unit": "day",
        "counts": "published",
        "comparable": False,
        "caveat": "made up",
        "references": [REFERENCE],
    }
    assert content(tmp_path) == content(tmp_path, **told)
    entry = load_registry(tmp_path / "datasets.yaml")["toy"]
    assert entry.references[0].expected.equal == 2
    assert "options" not in entry.preparation({})


def test_options_and_git_names_are_part_of_the_content(tmp_path):
    unknown = ENTRY["files"][0] | {"sha256": None}
    contents = {
        content(tmp_path),
        content(tmp_path, options={"imputation": "low"}),
        content(tmp_path, options={"imputation": "high"}),
        content(tmp_path, files=[unknown]),
        content(tmp_path, files=[unknown | {"git_blob_sha1": "1" * 40}]),
    }
    assert len(contents) == 5
    given = load_registry(write(tmp_path / "datasets.yaml", ENTRY | {"options": {"imputation": "low"}}))["toy"]
    assert given.preparation({})["options"] == {"imputation": "low"}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"ids": "guess"}, "toy.references.0.ids"),
        ({"ids": "maps"}, "toy.references.0: Value error, user_map and item_map go with `ids: maps`"),
        ({"user_map": ENTRY["files"][0]}, "toy.references.0: Value error, user_map and item_map go with"),
        ({"expected": {"users": 2, "equal": 2, "equals": 2}}, "toy.references.0.expected.equals"),
    ],
)
def test_a_broken_reference(tmp_path, change, key):
    with pytest.raises(InputError) as caught:
        load_registry(write(tmp_path / "datasets.yaml", ENTRY | {"references": [REFERENCE | change]}))
    assert f"datasets.yaml: {key}" in str(caught.value)


def test_the_registry_in_the_repository_is_consistent():
    entries = load_registry(REGISTRY)
    page = (REGISTRY.parents[1] / "docs/reference/datasets.md").read_text()
    for name, entry in entries.items():
        assert f"`{name}`" in page or f"`{name.rsplit('-', 1)[0]}-low`" in page
        assert entry.comparable or entry.caveat
        assert all(reference.entry in entries for reference in entry.references)
        assert (entry.time_unit is None) == (
            entry.order_source == "source" and entry.format.endswith(("pairs", "s3rec_sequences"))
        )
        if entry.counts == "computed":
            assert all(file.known for file in entry.files)
        for reference in entry.references:
            if (found := reference.expected) is not None:
                assert found.users == found.equal + found.ties + found.other


def test_datasets_that_say_they_are_not_comparable():
    entries = load_registry(REGISTRY)
    assert {name for name, entry in entries.items() if not entry.comparable} == {
        f"ml-1m-assembled-{imputation}" for imputation in ("low", "mid", "high")
    }
    assert not any(entry.published_variants for entry in entries.values() if not entry.comparable)


def test_a_checksum_must_be_given_or_be_null(tmp_path):
    files = [{key: value for key, value in ENTRY["files"][0].items() if key != "sha256"}]
    with pytest.raises(InputError, match=r"toy\.files\.0\.sha256: Field required"):
        content(tmp_path, files=files)


@pytest.mark.parametrize(("text", "reason"), [("[1, 2]", "mapping"), ("a: [", "YAML"), ("toy: 3", "toy: expected")])
def test_a_file_that_is_no_registry(tmp_path, text, reason):
    path = tmp_path / "datasets.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        load_registry(path)


def test_a_missing_registry(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_registry(tmp_path / "none.yaml")

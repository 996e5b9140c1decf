import logging
from dataclasses import replace

import pytest
import torch

from seqrepro.training.checkpoint import CheckpointStore, Identity

IDENTITY = Identity(config="a", data="b", code="c")


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints", IDENTITY)


def state(number):
    return {"weights": torch.full((3,), float(number)), "progress": {"step": number, "best": -float("inf")}}


def test_an_empty_folder_gives_nothing(store):
    assert store.load() is None


def test_the_newest_state_comes_back(store):
    for number in (1, 2, 10):
        store.save(number, state(number))
    loaded = store.load()
    assert loaded["progress"] == {"step": 10, "best": -float("inf")}
    assert loaded["weights"].tolist() == [10.0] * 3


def test_two_generations_are_kept(store):
    for number in (1, 2, 3):
        store.save(number, state(number))
    names = {path.name for path in store.folder.iterdir()}
    assert names == {f"step-{n:09d}.{end}" for n in (2, 3) for end in ("pt", "sha256")}


@pytest.mark.parametrize("damage", ["truncate", "flip", "no digest"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(store, damage, caplog):
    store.save(1, state(1))
    store.save(2, state(2))
    newest = store.folder / "step-000000002.pt"
    content = bytearray(newest.read_bytes())
    if damage == "truncate":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    else:
        newest.with_suffix(".sha256").unlink()
    assert store.load()["progress"]["step"] == 1
    assert "step-000000002.pt: checkpoint is damaged" in caplog.text


@pytest.mark.parametrize("key", ["config", "data", "code"])
def test_a_checkpoint_of_something_else_is_refused_and_logged(store, key, caplog):
    store.save(7, state(7))
    other = CheckpointStore(store.folder, replace(IDENTITY, **{key: "other"}))
    with caplog.at_level(logging.WARNING):
        assert other.load() is None
    assert f"checkpoint is of another {key}" in caplog.text
    other.save(1, state(1))  # an older step than the refused one must survive
    assert other.load()["progress"]["step"] == 1


def test_a_checkpoint_holds_no_code(store):
    store.save(1, state(1))
    content = torch.load(store.folder / "step-000000001.pt", weights_only=True)
    assert content["identity"] == {"config": "a", "data": "b", "code": "c"}


def test_remove_leaves_nothing(store):
    store.save(1, state(1))
    store.remove()
    assert not store.folder.exists()
    store.remove()

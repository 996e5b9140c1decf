import errno
import logging
import multiprocessing
import os
import random
import time
from dataclasses import replace

import pytest
import torch

from seqrepro.errors import SeqReproError
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


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_the_digest(path):
    path.with_suffix(".sha256").unlink()


def spoil_the_digest(path):
    path.with_suffix(".sha256").write_bytes(b"\xff" * 64)  # not even text


DAMAGES = [truncate, empty, flip_a_bit, lose_the_digest, spoil_the_digest]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(store, damage, caplog):
    store.save(1, state(1))
    store.save(2, state(2))
    damage(store.folder / "step-000000002.pt")
    assert store.load()["progress"]["step"] == 1
    (line,) = caplog.messages
    assert line.endswith("checkpoint step-000000002.pt is damaged; step-000000001.pt is used")
    store.save(2, state(2))
    assert store.load()["progress"]["step"] == 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_two_damaged_checkpoints_are_one_line_and_a_new_start(store, damage, caplog):
    for number in (1, 2):
        store.save(number, state(number))
        damage(store.folder / f"step-00000000{number}.pt")
    assert store.load() is None
    (line,) = caplog.messages
    both = "step-000000002.pt is damaged, step-000000001.pt is damaged"
    assert line.endswith(f"checkpoint {both}; the training starts anew")
    assert list(store.folder.glob("*.pt")) == []


def test_a_disk_that_cannot_flush_leaves_the_checkpoint_before(store, monkeypatch):
    store.save(1, state(1))

    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(SeqReproError, match=r"step-000000002.pt: not written: the disk reports an error"):
            store.save(2, state(2))
    assert {path.name for path in store.folder.iterdir()} == {"step-000000001.pt", "step-000000001.sha256"}
    assert store.load()["progress"]["step"] == 1


def save_for_ever(store, done):
    """Save states of 2 MB; `done` holds the last step that was saved."""
    step = done.value
    while True:
        step += 1
        store.save(step, state(step) | {"large": torch.full((500_000,), float(step))})
        done.value = step


def test_killed_in_the_middle_of_a_write(store):
    """Whatever a kill leaves: a whole state of the last step that was saved, or of the one that was being saved."""
    fork, pause, halves = multiprocessing.get_context("fork"), random.Random(1), 0
    done = fork.Value("q", 0, lock=False)
    for _ in range(12):
        before = done.value
        child = fork.Process(target=save_for_ever, args=(store, done))
        child.start()
        while done.value == before and child.is_alive():
            time.sleep(0.0005)
        time.sleep(pause.uniform(0, 0.02))
        child.kill()
        child.join()
        halves += len(list(store.folder.glob(".*.partial")))
        loaded = store.load()
        step = loaded["progress"]["step"]
        assert step in (done.value, done.value + 1)
        assert loaded["large"].eq(step).all()
        assert not list(store.folder.glob(".*.partial"))
        done.value = step
    assert halves > 0, "no kill fell into a write"


@pytest.mark.parametrize("key", ["config", "data", "code"])
def test_a_checkpoint_of_something_else_is_refused_and_logged(store, key, caplog):
    store.save(7, state(7))
    other = CheckpointStore(store.folder, replace(IDENTITY, **{key: "other"}))
    with caplog.at_level(logging.WARNING):
        assert other.load() is None
    assert caplog.messages == [
        f"{store.folder}: checkpoint step-000000007.pt is of another {key}; the training starts anew"
    ]
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

"""A training that is killed and started again leaves the same bytes as one that is not."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pyarrow as pa
import pytest

from made_data import GRADIENT, SASREC, random_rows, sharp, train_request, write_prepared
from seqrepro.files import sha256_file, write_parquet
from seqrepro.training import loop, train
from seqrepro.training.checkpoint import CheckpointStore

DETERMINISTIC = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
TRAINING = {**GRADIENT, "budget": {"epochs": 4, "patience": 4, "batch_size": 10, "monitor": "ndcg@10"}}  # 6 steps each
NEVER = 10**9
SCRIPT = """
import json, sys
from seqrepro.request import Request
from seqrepro.training import loop, train
loop.CHECKPOINT_SECONDS = 0.0
print("ready", flush=True)
train.run(Request(**json.loads(sys.argv[1])))
"""


def train_until(request, last_step, checkpoint_seconds):
    """Train, and be killed before the step after `last_step`."""
    take_step = loop.Trainer._step

    def step(trainer):
        if trainer.progress.step == last_step:
            os.kill(os.getpid(), signal.SIGKILL)
        take_step(trainer)

    loop.CHECKPOINT_SECONDS = checkpoint_seconds
    loop.Trainer._step = step
    train.run(request)


def start(request, last_step=NEVER, checkpoint_seconds=0.0):
    """A forked process that trains."""
    arguments = (request, last_step, checkpoint_seconds)
    child = multiprocessing.get_context("fork").Process(target=train_until, args=arguments)
    child.start()
    return child


def assert_killed(child):
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


def digests(folder):
    return [sha256_file(folder / name) for name in DETERMINISTIC]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    inputs = write_prepared(folder / "data", random_rows(60, 30, longest=12), 30)
    request = train_request(inputs, SASREC, TRAINING, str(folder / "runs/undisturbed"))
    train.run(request)
    return folder, inputs, digests(request.output)


@pytest.mark.parametrize(
    ("last_step", "checkpoint_seconds"),
    [(9, 0.0), (9, 60.0), (18, 60.0)],
    ids=["inside an epoch, at the last batch", "inside an epoch, at its start", "between epochs"],
)
def test_killed_at_a_step(undisturbed, last_step, checkpoint_seconds):
    folder, inputs, expected = undisturbed
    request = train_request(inputs, SASREC, TRAINING, str(folder / f"runs/step-{last_step}-{checkpoint_seconds}"))
    assert_killed(start(request, last_step, checkpoint_seconds))
    newest = max(train.checkpoint_folder(request.output).glob("step-*.pt")).stem
    assert newest == f"step-{last_step if checkpoint_seconds == 0 else last_step // 6 * 6:09d}"
    assert not (request.output / "metrics.json").exists()
    train.run(request)
    assert digests(request.output) == expected
    assert not train.checkpoint_folder(request.output).exists()


BERT4REC = SASREC | {"family": "bert4rec"}
FIRST = {
    "name": "s3_rec",
    "epochs": 2,
    "batch_size": 200,
    "mask_ratio": 0.2,
    "aap": 0.2,
    "mip": 1.0,
    "map": 1.0,
    "sp": 0.5,
}
CONTRAST = {"name": "cl4srec", "base": {"name": "cross_entropy"}, "weight": 0.1, "temperature": 1.0, "cosine": False}
CONTRAST |= {"crop": 0.6, "mask": 0.3, "reorder": 0.6}
OTHERS = {  # what a checkpoint must also know: how many prefixes were used; where negatives and directions go on; ...
    "prefixes": ({"view": "prefixes", "last": 6}, 31),
    "pretraining": ({"pretraining": FIRST}, 1),
    "pretraining, at its end": ({"pretraining": FIRST}, 4),
    "after the pretraining": ({"pretraining": FIRST}, 6),
    "cloze": ({"view": "cloze", "masking": {"ratio": 0.3, "last_share": 0.1}}, 9),
    "augmentation": ({"objective": CONTRAST}, 9),
    "negatives": ({"objective": {"name": "bce", "negatives": 3, "exclude": "history"}}, 9),
    "sam": ({"optimizer": sharp("sam", masks="fresh")}, 9),
    "looksam": ({"optimizer": sharp("looksam")}, 10),  # of the steps 9 to 12 only the first has a second pass
    "random_sam": ({"optimizer": sharp("random_sam")}, 9),
    "noise in the training": ({"data": {"kind": "insert_random", "ratio": 0.2}}, 9),
    "some of the users": ({"data": {"kind": "users", "share": 0.7}}, 7),
}


def write_items(folder):
    """items.parquet: each of the 30 items has two of four attributes."""
    lists = pa.array([[str(item % 2), str(2 + item % 3 % 2)] for item in range(1, 31)], pa.list_(pa.string()))
    write_parquet(folder / "items.parquet", pa.table({"item": pa.array(range(1, 31), pa.int32()), "attributes": lists}))
    return str(folder / "items.parquet")


@pytest.mark.parametrize("name", OTHERS)
def test_killed_inside_an_epoch_of_another_recipe(undisturbed, name):
    folder, inputs, _ = undisturbed
    changes, step = OTHERS[name]
    inputs = [*inputs, write_items(folder / "data")] if "pretraining" in changes else inputs
    model = BERT4REC if name == "cloze" else SASREC | {"mask_row": True}
    whole = train_request(inputs, model, TRAINING | changes, str(folder / f"runs/{name}"))
    train.run(whole)
    request = train_request(inputs, model, TRAINING | changes, str(folder / f"runs/{name}-killed"))
    assert_killed(start(request, step))
    train.run(request)
    assert digests(request.output) == digests(whole.output)


def test_killed_at_random_moments(undisturbed):
    folder, inputs, expected = undisturbed
    request = train_request(inputs, SASREC, TRAINING, str(folder / "runs/random"))
    pause = random.Random(4)
    for _ in range(3):
        child = start(request)
        time.sleep(pause.uniform(0.05, 0.4))
        child.kill()
        assert_killed(child)
    train.run(request)
    assert digests(request.output) == expected


def test_killed_in_a_fresh_interpreter(undisturbed):
    folder, inputs, expected = undisturbed
    request = train_request(inputs, SASREC, TRAINING, str(folder / "runs/fresh"))
    command = [sys.executable, "-c", SCRIPT, json.dumps(request.as_json())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout.readline() == b"ready\n"
    while not list(train.checkpoint_folder(request.output).glob("step-*.sha256")) and child.poll() is None:
        time.sleep(0.01)
    child.kill()
    assert child.wait(60) == -signal.SIGKILL
    train.run(request)
    assert digests(request.output) == expected


def test_a_checkpoint_of_other_code_is_not_used(undisturbed, caplog):
    folder, inputs, expected = undisturbed
    request = train_request(inputs, SASREC, TRAINING, str(folder / "runs/code"))
    assert_killed(start(replace(request, code="older"), 9))
    train.run(request)
    assert digests(request.output) == expected
    assert "is of another code; the training starts anew" in caplog.text


def test_a_run_that_fails_while_writing_goes_on_from_its_last_epoch(undisturbed, monkeypatch):
    folder, inputs, expected = undisturbed
    request = train_request(inputs, SASREC, TRAINING, str(folder / "runs/writing"))
    with monkeypatch.context() as patch:
        patch.setattr(train, "write_run", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            train.run(request)
    saved = CheckpointStore(train.checkpoint_folder(request.output), train._identity(request)).load()
    assert len(saved["progress"]["log"]) == 4
    monkeypatch.setattr(loop.Trainer, "_step", lambda _: pytest.fail("a finished training took another step"))
    train.run(request)
    assert digests(request.output) == expected

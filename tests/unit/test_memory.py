"""A training that runs out of memory ends in one line, leaves nothing half-written, and can go on."""

import json
import os
import subprocess
import sys

import pytest
import torch

from made_data import CLOSED_FORM, GRADIENT, SASREC, random_rows, train_request, write_prepared
from seqrepro.errors import InputError
from seqrepro.files import sha256_file, write_json
from seqrepro.models.ease import EASE
from seqrepro.training import loop, memory, train

DETERMINISTIC = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
TRAINING = {**GRADIENT, "budget": {"epochs": 4, "patience": 4, "batch_size": 10, "monitor": "ndcg@10"}}  # 6 steps each
ON_GPU = "CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has a total capacity of 139.81 GiB of which ..."
ON_CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
)
FAILURES = {
    "on a GPU": (torch.OutOfMemoryError(ON_GPU), " and 20.5 GiB more asked for"),
    "in main memory": (RuntimeError(f"{ON_CPU} 34359738368 bytes. Error code 12"), " and 32.0 GiB more asked for"),
    "inside of cuBLAS": (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), ""),
    "of Python": (MemoryError(), ""),
}
LIMITED = """
import resource, sys
import torch._dynamo  # an optimizer does so when it is built
import seqrepro.training.train, seqrepro.commands.step, seqrepro.models.sasrec, seqrepro.training.optimizers.adam
from seqrepro.cli import main
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**28, held + 2**28))
sys.exit(main(["train", sys.argv[1]]))
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data"), random_rows(60, 30, longest=12), 30)


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory):
    request = train_request(inputs, SASREC, TRAINING, str(tmp_path_factory.mktemp("runs") / "undisturbed"))
    train.run(request)
    return digests(request)


def digests(request):
    return [sha256_file(request.output / name) for name in DETERMINISTIC]


def fail_at(step, error, monkeypatch):
    """Let the step after that many fail so."""
    take_step = loop.Trainer._step

    def taken(trainer):
        if trainer.progress.step == step:
            raise error
        take_step(trainer)

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop.Trainer, "_step", taken)


@pytest.mark.parametrize("name", FAILURES)
def test_it_is_one_line_and_the_training_goes_on_from_its_checkpoint(name, inputs, undisturbed, tmp_path, monkeypatch):
    error, asked = FAILURES[name]
    request = train_request(inputs, SASREC, TRAINING, str(tmp_path / "runs/run"))
    with monkeypatch.context() as patch:
        fail_at(9, error, patch)
        with pytest.raises(InputError) as caught:
            train.run(request)
    line = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in line
    assert line.startswith("training: out of memory on ")
    assert f" GiB held{asked}; found batch_size 10, objective cross_entropy, 30 items; expected a smaller" in line
    assert {path.name for path in request.output.iterdir()} == {"log.jsonl"}  # the finished epoch
    assert (train.checkpoint_folder(request.output) / "step-000000009.pt").is_file()
    train.run(request)
    assert digests(request) == undisturbed


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("no memory")])
def test_other_errors_stay_what_they_are(error, inputs, tmp_path, monkeypatch):
    request = train_request(inputs, SASREC, TRAINING, str(tmp_path / "runs/run"))
    fail_at(0, error, monkeypatch)
    with pytest.raises(type(error), match=str(error)):
        train.run(request)
    assert not memory.is_exhausted(error)


def test_a_closed_form_names_its_items(inputs, tmp_path, monkeypatch):
    request = train_request(inputs, {"family": "ease", "regularisation": 10.0}, CLOSED_FORM, str(tmp_path / "runs/run"))
    monkeypatch.setattr(EASE, "fit", lambda *_: torch.empty(2**50))
    with pytest.raises(
        InputError, match=r"4194304\.0 GiB more .* expected fewer than 30 items, or another model than ease"
    ):
        train.run(request)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and an address space that can be limited")
def test_a_process_with_little_memory_says_it_in_one_line(inputs, tmp_path):
    """The activations of the inner width, [60, 9, 2^18], are beyond the 256 MiB that are left."""
    model = SASREC | {"inner_width": 2**18}
    training = TRAINING | {"budget": TRAINING["budget"] | {"batch_size": 60}}
    request = train_request(inputs, model, training, str(tmp_path / "runs/run"))
    write_json(tmp_path / "request.json", request.as_json())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "request.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("seqrepro train: training: out of memory on ")
    assert done.stderr.count("\n") == 1
    assert "found batch_size 60, objective cross_entropy, 30 items" in done.stderr
    assert not request.output.exists() or not any(request.output.iterdir())
    assert json.loads((tmp_path / "request.json").read_text())["step"] == "train"

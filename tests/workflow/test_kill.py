"""kill -9 in the middle of training; the same command goes on and ends with the same bytes."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def training_process(folder: Path) -> int | None:
    """The process id of a training job of this workspace that is in the middle: it has written checkpoints."""
    steps = [int(path.stem.split("-")[1]) for path in (folder / "results/checkpoints").rglob("step-*.pt")]
    if max(steps, default=0) < 10:
        return None
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                here = (entry / "cwd").readlink() == folder
            except OSError:
                continue
            if here and b"train" in command and any(part.endswith(b"seqrepro") for part in command):
                return int(entry.name)
    return None


def first_epoch(log: Path) -> int:
    """The first epoch of a training job's own log: above 1 if it went on from a checkpoint."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return int(json.loads(lines[0])["epoch"])


def test_kill_9_of_a_training_job_then_the_same_command(workspace, tmp_path):
    workspace.edit("params.yaml", "epochs: 3\n      patience: 3", "epochs: 60\n      patience: 60")
    undisturbed = workspace.copy(tmp_path / "undisturbed")
    undisturbed.snakemake("results/quick/tables/metrics.csv")

    command = ["snakemake", "--cores", "1", "results/quick/tables/metrics.csv"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen(command, cwd=workspace.folder, env=workspace.environment(), **quiet)
    wait_for(lambda: training_process(workspace.folder) is not None)
    os.kill(training_process(workspace.folder), signal.SIGKILL)
    assert running.wait() != 0

    workspace.run(*command)
    assert max(map(first_epoch, (workspace.folder / "logs/train").rglob("sasrec-*/*.log"))) > 1
    assert workspace.deterministic() == undisturbed.deterministic()
    assert not list((workspace.folder / "results/checkpoints").rglob("*.pt"))

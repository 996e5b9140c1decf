"""Trainings that are killed at random moments and started again until they end leave the bytes of one that was not.

A kill falls a random time after a phase of the training was entered for the n-th time; the phase it really falls into
is what the killed process had noted last. `python tests/unit/test_kills.py` prints the table of docs/reliability.md.
"""

import ctypes
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from made_data import GRADIENT, SASREC, random_rows, sharp, train_request, write_prepared
from seqrepro.files import sha256_file
from seqrepro.training import checkpoint, loop, train

DETERMINISTIC = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
PHASES = {
    "training step": (loop.Trainer, "_step"),
    "validation": (loop.Trainer, "_validate"),
    "checkpoint write": (loop.Trainer, "_save"),
    "checkpoint read": (checkpoint.CheckpointStore, "load"),
    "final ranking": (loop, "rank_split"),
    "final write": (train, "write_run"),
    "removal of checkpoints": (checkpoint.CheckpointStore, "remove"),
}
NAMES = ("start", *PHASES, "between")
DURING = ("training step", "validation", "checkpoint write", "checkpoint read")
AT_THE_END = ("final ranking", "final write", "final write", "removal of checkpoints")
CHECKPOINT_SECONDS = (0.0, 0.0, 0.01, 60.0)  # after every step, after a few, after every epoch
BUDGET = {"epochs": 8, "patience": 8, "batch_size": 10, "monitor": "ndcg@10"}
RECIPES = {
    "all_positions": GRADIENT | {"budget": BUDGET},
    "prefixes": GRADIENT
    | {
        "objective": {"name": "bce", "negatives": 2, "exclude": "target"},
        "budget": BUDGET | {"batch_size": 40, "stopping": "recbole"},
        "view": "prefixes",
        "last": 8,
    },
    **{name: GRADIENT | {"budget": BUDGET, "optimizer": sharp(name)} for name in ("sam", "looksam", "random_sam")},
}
FORK = multiprocessing.get_context("fork")


class Watch:
    """Memory shared with a training process: where it is, how often it was there, and from which step it went on."""

    def __init__(self):
        self.phase = FORK.RawValue(ctypes.c_int, 0)
        self.entered = FORK.RawArray(ctypes.c_int, len(NAMES))
        self.seconds = FORK.RawArray(ctypes.c_double, len(NAMES))
        self.resumed = FORK.RawValue(ctypes.c_int, -1)

    def install(self):
        """Replace the functions that are phases by ones that note when they are entered and left."""
        for name, (owner, attribute) in PHASES.items():
            setattr(owner, attribute, self._noted(NAMES.index(name), getattr(owner, attribute)))
        load = checkpoint.CheckpointStore.load

        def noted_load(store):
            state = load(store)
            self.resumed.value = 0 if state is None else state["progress"]["step"]
            return state

        checkpoint.CheckpointStore.load = noted_load

    def _noted(self, phase, function):
        def noted(*arguments, **named):
            self.phase.value = phase
            self.entered[phase] += 1
            started = time.perf_counter()
            result = function(*arguments, **named)
            self.seconds[phase] = time.perf_counter() - started
            self.phase.value = NAMES.index("between")
            return result

        return noted


def train_watched(request, watch, checkpoint_seconds):
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    watch.install()
    loop.CHECKPOINT_SECONDS = checkpoint_seconds
    train.run(request)


def start(request, checkpoint_seconds):
    watch = Watch()
    child = FORK.Process(target=train_watched, args=(request, watch, checkpoint_seconds))
    child.start()
    return child, watch


class Killer:
    """Kills trainings of one recipe, and counts."""

    def __init__(self, folder, recipe, seed):
        self.folder, self.training, self.draw = Path(folder), RECIPES[recipe], random.Random(seed)
        self.inputs = write_prepared(self.folder / "data", random_rows(60, 30, longest=12), 30)
        self.phases, self.kills, self.resumed, self.anew, self.halves, self.rounds = Counter(), 0, 0, 0, 0, 0
        undisturbed, self.typical = self._request("undisturbed"), None
        child, self.typical = start(undisturbed, 0.0)
        child.join()
        assert child.exitcode == 0
        self.expected = self._digests(undisturbed)

    def round(self, during, at_the_end):
        """Kill one training so many times before and in its end, then let it finish and compare."""
        self.rounds += 1
        request = self._request(f"round-{self.rounds}")
        for phases, count in ((DURING, during), (AT_THE_END, at_the_end)):
            for _ in range(count):
                while not self._kill_once(request, self.draw.choice(phases)):
                    pass  # it came to its end before the kill; the next try trains anew
        child, watch = start(request, 0.0)
        child.join()
        assert child.exitcode == 0
        self._note_restart(watch)
        assert self._digests(request) == self.expected
        assert not train.checkpoint_folder(request.output).exists()
        assert {path.name for path in request.output.iterdir()} == {*DETERMINISTIC, "timing.json", "log.jsonl"}

    def _kill_once(self, request, phase):
        index, nth = NAMES.index(phase), 1 if phase != "training step" else self.draw.randint(1, 5)
        pause = self.draw.uniform(0, self.typical.seconds[index])
        child, watch = start(request, self.draw.choice(CHECKPOINT_SECONDS))
        while watch.entered[index] < nth and child.is_alive():
            time.sleep(0.0002)
        time.sleep(pause)
        child.kill()
        child.join()
        self._note_restart(watch)
        if child.exitcode == 0:
            return False
        assert child.exitcode == -signal.SIGKILL
        self.kills += 1
        self.phases[NAMES[watch.phase.value]] += 1
        places = (request.output, train.checkpoint_folder(request.output))
        self.halves += any(any(place.glob(".*.partial")) for place in places)
        return True

    def _note_restart(self, watch):
        self.resumed += watch.resumed.value > 0
        self.anew += watch.resumed.value == 0

    def _request(self, name):
        return train_request(self.inputs, SASREC, self.training, str(self.folder / "runs" / name))

    def _digests(self, request):
        return [sha256_file(request.output / name) for name in DETERMINISTIC]


def summary(killers):
    """The table of the phases, and one line of counts."""
    phases = sum((killer.phases for killer in killers), Counter())
    lines = ["| phase | kills |", "| --- | --- |", *(f"| {name} | {phases[name]} |" for name in NAMES if phases[name])]
    counts = {name: sum(getattr(killer, name) for killer in killers) for name in ("kills", "rounds", "resumed", "anew")}
    return "\n".join([*lines, str(counts | {"half-written files left": sum(killer.halves for killer in killers)})])


def kill_often(folder, kills):
    """Kill trainings of all recipes, each at least so many times, and return who did it."""
    killers = [Killer(Path(folder) / recipe, recipe, seed) for seed, recipe in enumerate(RECIPES)]
    for killer in killers:
        while killer.kills < kills:
            killer.round(during=min(7, kills - killer.kills), at_the_end=min(3, kills - killer.kills))
    return killers


@pytest.mark.parametrize("recipe", RECIPES)
def test_five_kills(tmp_path, recipe):
    killer = Killer(tmp_path, recipe, seed=5)
    killer.round(during=4, at_the_end=1)
    assert killer.kills == 5
    assert killer.resumed > 0


@pytest.mark.slow
def test_a_hundred_kills(tmp_path):
    killers = kill_often(tmp_path, 20)
    print(summary(killers))
    assert sum(killer.kills for killer in killers) >= 100
    assert all(sum(killer.phases[name] for killer in killers) > 0 for name in (*DURING[:3], "final write"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(summary(kill_often(made, int(sys.argv[1]) if sys.argv[1:] else 20)))

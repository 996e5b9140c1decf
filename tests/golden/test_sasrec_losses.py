"""The first losses of a tiny SASRec, frozen: a change of model, objective, optimizer or randomness shows here.

float32 on the CPU. The tolerance of 1e-5 relative covers other processors and other builds of torch, whose sums round
differently; dropout draws the same numbers everywhere. To freeze anew after an intended change:
`python tests/golden/test_sasrec_losses.py`.
"""

import json
import sys
from pathlib import Path

import pytest

from made_data import GRADIENT, SASREC, random_rows, sequences_of
from seqrepro.data.splits import leave_one_out
from seqrepro.training import machine
from seqrepro.training.checkpoint import CheckpointStore, Identity
from seqrepro.training.loop import Trainer

FROZEN = Path(__file__).parent / "sasrec_losses.json"
STEPS = 10


def first_losses(folder: Path) -> list[float]:
    """The losses of the first ten steps with seed 3."""
    split = leave_one_out(sequences_of(random_rows(200, 50, seed=9), 50))
    config = {"model": SASREC, "training": GRADIENT}
    store = CheckpointStore(folder, Identity("", "", ""))
    trainer = Trainer(config, split, 3, machine.prepare(GRADIENT), store)
    trainer.model.train()
    for _ in range(STEPS):
        trainer._step()
    return trainer.progress.losses


def test_first_losses(tmp_path):
    assert first_losses(tmp_path) == pytest.approx(json.loads(FROZEN.read_text()), rel=1e-5)


if __name__ == "__main__":
    FROZEN.write_text(json.dumps(first_losses(Path(sys.argv[0]).parent), indent=2) + "\n")

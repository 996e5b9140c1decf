"""The first losses of tiny decoders in HSTU's recipe, frozen: a change of model, objective or randomness shows here.

Tolerance as in `test_sasrec_losses.py`. To freeze anew after an intended change: `python
tests/golden/test_decoder_losses.py`.
"""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from made_data import GRADIENT, random_rows, sequences_of
from seqrepro.data.splits import make_split
from seqrepro.training import machine
from seqrepro.training.loop import Trainer

FROZEN = Path(__file__).with_name("decoder_losses.json")
SAMPLED = {"proposal": "uniform", "correction": "none", "shared": False, "temperature": 1.0, "l2_normalise": False}
RECIPE = GRADIENT | {"objective": {"name": "sampled_softmax", "negatives": 20, **SAMPLED}}
SHAPE = {"width": 8, "layers": 2, "heads": 2, "dropout": 0.2, "max_length": 10, "cosine_temperature": 0.05}
MODELS = {
    "hstu": SHAPE | {"family": "hstu"},
    "hstu, next": SHAPE | {"family": "hstu", "query_time": "next"},
    "llama": SHAPE | {"family": "llama"},
    "simplified hstu": SHAPE | {"family": "llama", "block": "simplified_hstu"},
}


def first_losses(model):
    """The losses of the first six steps with seed 3."""
    rows = sequences_of(random_rows(200, 50, seed=9), 50)
    gaps = torch.randint(0, 10**6, (len(rows.values),), generator=torch.Generator().manual_seed(1))
    split = make_split({"split": "leave_one_out", "model": model}, dataclasses.replace(rows, timestamps=gaps.cumsum(0)))
    trainer = Trainer({"model": model, "training": RECIPE}, split, 3, machine.prepare(RECIPE), None)
    trainer.take_steps(6)
    return trainer.progress.losses


@pytest.mark.parametrize("name", MODELS)
def test_first_losses(name):
    assert first_losses(MODELS[name]) == pytest.approx(json.loads(FROZEN.read_text())[name], rel=1e-5)


if __name__ == "__main__":
    FROZEN.write_text(json.dumps({name: first_losses(model) for name, model in MODELS.items()}, indent=2) + "\n")

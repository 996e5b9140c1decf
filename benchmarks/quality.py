"""Time to quality: until the validation NDCG@10 on Beauty reaches 0.040, ours against RecBole, one after the other.

    SEQREPRO_MIRROR=... python benchmarks/quality.py [--sides ours recbole] [--max-hours 10] --out .../quality.json

Needs the environment of `make bench-environment`; runs for hours. The quality, 0.040, was fixed before anything was
measured. Both train the same network from the same weights on one thread, each by its own rules: ours 256 users a step
and all positions, RecBole 2,048 prefixes a step (its defaults); Adam, learning rate 0.001, dropouts 0.5.

An epoch's time is that of its training and of its validation by the side's own evaluation. Whether the quality is
reached is asked of our ranking for both, full catalogue, history not masked, as RecBole ranks; this is not timed.
Each epoch is printed, and the result so far is written.
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import Turn, arguments, finish, mirror, take_turn, workplace, write_result
from machine import machine
from ours import SETTINGS, OurSteps, configuration
from prepare import DATASETS, write_raw

from seqrepro.data.splits import Split
from seqrepro.evaluation.metrics import mean
from seqrepro.evaluation.ranking import rank_all

DATASET, METRIC, QUALITY = "beauty", "ndcg@10", 0.040


class Ours:
    """Our trainer and our ranking."""

    def __init__(self, split: Split, weights: dict[str, torch.Tensor]) -> None:
        self.split, self.steps = split, OurSteps(configuration(SETTINGS[DATASET]), split, weights)
        self.model, self.steps_an_epoch = self.steps.model, self.steps.steps_an_epoch
        self.run = self.steps.run

    def validate(self) -> int:
        """Rank the validation items; the number of users."""
        self.model.eval()
        rank_all(self.model, *self.split.evaluation("validation"), likelihood=False)
        return len(self.split.targets["validation"])


class RecBole:
    """RecBole's trainer and evaluation, and its network's weights in ours."""

    def __init__(self, config: Any, model: Any, parts: list[Any], ours: Any) -> None:
        import peers
        from recbole.data.dataloader import FullSortEvalDataLoader

        self.steps, self.ours, self.to_ours = (
            peers.RecBoleSteps(config, model, parts[0]),
            ours,
            peers.oracle.to_our_names,
        )
        self.steps_an_epoch, self.run = len(self.steps.loader), self.steps.run
        self.validation = FullSortEvalDataLoader(config, parts[1], None)

    @property
    def model(self) -> Any:
        """Our network with RecBole's weights."""
        self.ours.load_state_dict(self.to_ours(self.steps.model.state_dict()))
        return self.ours

    def validate(self) -> int:
        """RecBole's own validation; the number of users."""
        self.steps.trainer._valid_epoch(self.validation)
        return len(self.validation.dataset)


def make_sides(folder: Path) -> tuple[dict[str, Any], Split]:
    """Both sides with the same weights."""
    import peers
    from recbole.model.sequential_recommender import SASRec

    write_raw(folder, DATASET, DATASETS[DATASET](mirror()))
    config = peers.recbole_config(folder, DATASET, SETTINGS[DATASET])
    pair = peers.recbole_pair(config, SETTINGS[DATASET], dropout=True)
    theirs = SASRec(config, pair.parts[0])
    weights = {name: tensor.clone() for name, tensor in peers.oracle.to_our_names(theirs.state_dict()).items()}
    ours = Ours(pair.split, weights)
    return {"ours": ours, "recbole": RecBole(config, theirs, pair.parts, pair.ours.float())}, pair.split


def quality_of(model: Any, split: Split) -> float:
    """Validation NDCG@10 of a network of ours."""
    model.eval()
    ranks = rank_all(model, *split.evaluation("validation"), likelihood=False)
    return mean(METRIC, ranks.unmasked_worst, split.train.n_items)


def epochs(side: Any, split: Split, limits: dict[str, float], name: str, show: Any) -> dict[str, Any]:
    """Train until the quality is reached or a limit is, and show each epoch."""
    log: list[dict[str, Any]] = []
    spent = Turn(0, 0.0, 0.0)
    while True:
        train, valid = take_turn(partial(side.run, side.steps_an_epoch)), take_turn(side.validate)
        seconds, processor = (getattr(train, key) + getattr(valid, key) for key in ("seconds", "processor"))
        spent = Turn(spent.work + train.work, spent.seconds + seconds, spent.processor + processor)
        quality = quality_of(side.model, split)
        line = {"epoch": len(log) + 1, METRIC: round(quality, 5), "targets": spent.work}
        line |= {"seconds": round(spent.seconds, 1), "processor_seconds": round(spent.processor, 1)}
        line |= {"of_which_validation_seconds": round(valid.seconds, 2)}
        log.append(line)
        found = {"reached": quality >= QUALITY, "epochs": log}
        show(found)
        print(f"{name}: {line}", flush=True)
        if found["reached"] or len(log) >= limits["epochs"] or spent.seconds > limits["seconds"]:
            return found


def main() -> None:
    """Train one side after the other, print, and write after each epoch if asked to."""
    given = arguments(
        __doc__, device=False, sides=["ours", "recbole"], max_hours=10.0, max_epochs=1000, seed=0, steps=0
    )
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    result: dict[str, Any] = {"dataset": DATASET, "metric": METRIC, "quality": QUALITY, "sides": {}, "threads": 1}
    result |= {"machine": machine("recbole", "torch")}
    limits = {"epochs": given.max_epochs or math.inf, "seconds": 3600 * given.max_hours}
    with workplace() as folder:
        sides, split = make_sides(folder)
        for name in given.sides:
            side = sides[name]
            side.steps_an_epoch = given.steps or side.steps_an_epoch  # fewer only to try the script

            def show(found: dict[str, Any], name: str = name) -> None:
                result["sides"][name] = found
                write_result(given, result)

            epochs(side, split, limits, name, show)
    finish(given, result)


if __name__ == "__main__":
    main()

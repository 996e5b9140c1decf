"""Full-ranking evaluation of all test users side by side with RecBole, with the same weights.

    SEQREPRO_MIRROR=... python benchmarks/evaluation.py [--repeats 5] [--out benchmarks/results/evaluation.json]

Needs the environment of `make bench-environment`. Ours is the ranking that a run ends with: masked and unmasked ranks,
both bounds under ties, and the likelihood. RecBole's is its trainer's `evaluate` with its defaults: the ten best items
and five metrics, history not masked. The weights are those of some steps of training, so that there are hits. First
both give the same hit rate and NDCG at 10 in float64, or the benchmark stops; then they take turns in float32, on one
thread. `ours, as in validation` is without the likelihood. With `--device cuda` only ours runs.
"""

from pathlib import Path
from typing import Any

import torch
from common import arguments, finish, mirror, summary, take_turns, workplace
from machine import machine
from ours import SETTINGS, OurSteps, configuration, read_split
from prepare import DATASETS, write_raw

from seqrepro.data.splits import Split
from seqrepro.evaluation.metrics import mean
from seqrepro.evaluation.ranking import Ranks, rank_all

TRAINING_STEPS = {"beauty": 200, "ml-1m": 10}
METRICS = {"hit@10": "hit_rate@10", "ndcg@10": "ndcg@10"}  # RecBole's name: ours


class Ours:
    """The ranking of a finished run."""

    def __init__(self, model: Any, split: Split, likelihood: bool = True) -> None:
        self.model, self.split, self.likelihood = model.eval(), split, likelihood

    def ranks(self) -> Ranks:
        """Of all test users."""
        return rank_all(self.model, *self.split.evaluation("test"), likelihood=self.likelihood)

    def run(self) -> int:
        """The number of users."""
        return len(self.ranks().masked_worst)

    def metrics(self) -> dict[str, float]:
        """By RecBole's names, history not masked."""
        worst, n_items = self.ranks().unmasked_worst, self.split.train.n_items
        return {theirs: mean(ours, worst, n_items) for theirs, ours in METRICS.items()}


class RecBole:
    """RecBole's evaluation."""

    def __init__(self, config: Any, model: Any, test: Any) -> None:
        from recbole.data.dataloader import FullSortEvalDataLoader
        from recbole.trainer import Trainer

        self.trainer, self.loader, self.users = (
            Trainer(config, model),
            FullSortEvalDataLoader(config, test, None),
            len(test),
        )

    def metrics(self) -> dict[str, float]:
        """What it reports."""
        found = self.trainer.evaluate(self.loader, load_best_model=False)
        return {name: float(found[name]) for name in METRICS}

    def run(self) -> int:
        """The number of users."""
        self.metrics()
        return self.users


def parts_with_recbole(folder: Path, name: str, steps: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Both sides with the same weights, and the metrics on which they agree."""
    import peers
    from recbole.model.sequential_recommender import SASRec

    write_raw(folder, name, DATASETS[name](mirror()))
    config = peers.recbole_config(folder, name, SETTINGS[name], metric_decimal_place=12)
    pair = peers.recbole_pair(config, SETTINGS[name])
    model = trained(pair.split, name, steps).model
    theirs = SASRec(config, pair.parts[0])
    theirs.load_state_dict(peers.to_recbole(model.state_dict()))
    parts = two_rankings(model, pair.split) | {"recbole": RecBole(config, theirs, pair.parts[2])}
    return parts, same_metrics(name, parts)


def same_metrics(name: str, parts: dict[str, Any]) -> dict[str, float]:
    """The metrics in float64, which must be equal; the networks are in float32 again after that."""
    networks = (parts["ours"].model, parts["recbole"].trainer.model)
    for network in networks:
        network.double()
    ours, theirs = parts["ours"].metrics(), parts["recbole"].metrics()
    for network in networks:
        network.float()
    if any(abs(ours[key] - theirs[key]) > 1e-9 for key in METRICS):
        raise SystemExit(f"{name}: not the same metrics: {ours}, RecBole {theirs}")
    print(f"{name}: equal metrics {ours}", flush=True)
    return ours


def trained(split: Split, name: str, steps: int, device: str = "cpu") -> OurSteps:
    """A network after some steps."""
    part = OurSteps(configuration(SETTINGS[name], device=device), split)
    part.run(steps)
    return part


def our_parts(name: str, steps: int, device: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Ours alone, on a device."""
    part = trained(read_split(name), name, steps, device)
    parts = two_rankings(part.model, part.trainer.split)
    return parts, parts["ours"].metrics()


def two_rankings(model: Any, split: Split) -> dict[str, Any]:
    """That at the end of a run, and that of validation."""
    return {"ours": Ours(model, split), "ours, as in validation": Ours(model, split, likelihood=False)}


def main() -> None:
    """Show equality, measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=5, datasets=list(TRAINING_STEPS), training_steps=0)
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name in given.datasets:
        steps = given.training_steps or TRAINING_STEPS[name]
        with workplace() as folder:
            if given.device == "cpu":
                parts, metrics = parts_with_recbole(folder, name, steps)
            else:
                parts, metrics = our_parts(name, steps, given.device)
            take_turns({key: part.run for key, part in parts.items()}, 1, given.device)  # does not count
            turns = take_turns({key: part.run for key, part in parts.items()}, given.repeats, given.device)
        users = turns["ours"][0].work
        found[name] = {"users": users, "metrics": metrics, "parts": {k: summary(t, "users") for k, t in turns.items()}}
    packages = ("recbole", "torch") if given.device == "cpu" else ("torch",)
    described = machine(*packages, device=given.device)
    finish(given, {"datasets": found, "repeats": given.repeats, "threads": 1, "machine": described})


if __name__ == "__main__":
    main()

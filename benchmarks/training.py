"""Training throughput side by side with RecBole and RecTools: targets a second of one and the same SASRec.

    SEQREPRO_MIRROR=... python benchmarks/training.py [--repeats 5] [--out benchmarks/results/training.json]

Needs the environment of `make bench-environment`. All train the same network (D = 64, 2 blocks, 2 heads, inner width
256; window and dropouts by dataset) from the same weights with Adam and the cross-entropy over the full catalogue, in
float32, on one thread, in one process, taking turns. First their scores, losses and gradients are shown to be equal at
dropout 0 in float64, or the benchmark stops.

- `ours`: 256 users a step, all positions at once.
- `ours, prefixes`: as RecBole trains, 2,048 prefixes a step; what is left without all positions.
- `recbole`: its trainer, its loader and its defaults, 2,048 prefixes a step.
- `rectools`: its trainer, loader and loss, 256 users a step, with our layers plugged in.
- `recbole, mended`: without torch's anomaly detection, which importing its models switches on.
- `rectools, as shipped`: its own layers, which are another network; no part of the ratios of like with like.

A part's turn is so many steps; a step counts the targets that it learns from. On one thread, the processor time of a
turn shows what other work on the machine took from it. With `--device cuda` only our own parts run, with `--precision`
(fp32, tf32, bf16).
"""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import arguments, finish, mirror, summary, take_turns, workplace
from machine import machine
from ours import SETTINGS, USERS_A_STEP, OurSteps, configuration, read_split
from prepare import DATASETS, write_raw

STEPS = {  # of a turn, by part and dataset; a part without a number does not run there
    "beauty": {
        "ours": 44,
        "ours, prefixes": 12,
        "recbole": 3,
        "recbole, mended": 3,
        "rectools": 4,
        "rectools, as shipped": 4,
    },
    "ml-1m": {"ours": 3, "recbole": 1, "recbole, mended": 1, "rectools": 1, "rectools, as shipped": 1},
}


def parts_with_peers(folder: Path, name: str) -> dict[str, Any]:
    """All ways to train, from the same initial weights, once they are shown to be equal."""
    import peers
    from recbole.model.sequential_recommender import SASRec

    settings = SETTINGS[name]
    write_raw(folder, name, DATASETS[name](mirror()))
    config = peers.recbole_config(folder, name, settings, dropout=False)
    pair = peers.recbole_pair(config, settings)
    if not (folder / "made").exists():
        peers.show_recbole_equal(pair, folder)
    peers.show_rectools_equal(pair.ours, pair.split.train, settings)
    print(f"{name}: equal scores, losses and gradients at dropout 0", flush=True)
    config = peers.recbole_config(folder, name, settings)
    theirs = SASRec(config, pair.parts[0])
    weights = peers.oracle.to_our_names(theirs.state_dict())
    weights = {key: tensor.clone() for key, tensor in weights.items()}
    model, shipped = (
        peers.rectools_model(pair.split.train, settings, USERS_A_STEP, ours=same, dropout=True)
        for same in (True, False)
    )
    return {
        "ours": OurSteps(configuration(settings), pair.split, weights),
        "ours, prefixes": OurSteps(configuration(settings, "prefixes", peers.PREFIXES_A_STEP), pair.split, weights),
        "recbole": peers.RecBoleSteps(config, theirs, pair.parts[0]),
        "recbole, mended": peers.RecBoleSteps(config, deepcopy(theirs), pair.parts[0], anomaly=False),
        "rectools": peers.RecToolsSteps(model, weights),
        "rectools, as shipped": peers.RecToolsSteps(shipped),
    }


def our_parts(name: str, device: str, precision: str) -> dict[str, Any]:
    """Ours alone."""
    split, settings = read_split(name), SETTINGS[name]
    return {
        "ours": OurSteps(configuration(settings, device=device, precision=precision), split),
        "ours, prefixes": OurSteps(configuration(settings, "prefixes", 2048, device, precision), split),
    }


def measure(parts: dict[str, Any], steps: dict[str, int], repeats: int, device: str) -> dict[str, Any]:
    """Targets a second of each part: the median of its turns, after one step that does not count."""
    parts = {name: part for name, part in parts.items() if name in steps}
    for part in parts.values():
        part.run(1)
    turns = take_turns({name: partial(part.run, steps[name]) for name, part in parts.items()}, repeats, device)
    return {
        name: summary(turns[name], "targets")
        | {"examples_a_step": part.examples_a_step, "steps_a_turn": steps[name], "parameters": parameters(part)}
        for name, part in parts.items()
    }


def parameters(part: Any) -> int:
    """How many values the network of a part has."""
    network = part.module if hasattr(part, "module") else part.model
    return sum(weight.numel() for weight in network.parameters())


def main() -> None:
    """Show equality, measure, print, and write the result if asked to."""
    given = arguments(__doc__, repeats=5, datasets=list(STEPS), one_step=False, precision="fp32")
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name in given.datasets:
        with workplace() as folder:
            if given.device == "cpu":
                parts = parts_with_peers(folder, name)
            else:
                parts = our_parts(name, given.device, given.precision)
            steps = {part: 1 if given.one_step else count for part, count in STEPS[name].items()}
            found[name] = SETTINGS[name] | {"parts": measure(parts, steps, given.repeats, given.device)}
            del parts
    packages = ("recbole", "rectools", "torch") if given.device == "cpu" else ("torch",)
    described = machine(*packages, device=given.device)
    finish(
        given,
        {"datasets": found, "repeats": given.repeats, "threads": 1, "precision": given.precision, "machine": described},
    )


if __name__ == "__main__":
    main()

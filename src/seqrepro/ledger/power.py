"""The margin of a control, and the power of its test, by simulation before anything is trained.

Many users are drawn from the generator; the last item of each is the target. From the law of the generator,

    history    P(next | all that came before)                     what the Bayes-optimal predictor knows
    items      the same without times
    unordered  P(next | last item, the w - 1 before it in unknown order) = sum_o P(w items in order o) P(next | o) / sum
    last       P(next | last item)            nothing    P(next)            chance    the uniform law

With the ranking by one of these laws, ties in random order, user u gains g_u, and in expectation sum_x P(x | history)
gain(rank of x). The gap of two laws is the difference of the expected gains, averaged. A test is then simulated as
often as is asked: U users with their pairs of gains (for a share `reach` the better law, for the others the other one;
for a share `noise` the gain of another user), a normal seed effect for each of S seeds of a trained model, and the test
that judges the real runs (bounds.py). The power is the share of simulations that pass.

Shapes: B users of the pool, U users of a test, S seeds, V items, w window.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from seqrepro.config.parameters import Parameters
from seqrepro.data.interactions import Int64
from seqrepro.data.synthetic.law import Seen, generate, next_item, rows
from seqrepro.data.synthetic.look_alike import LIKE
from seqrepro.data.synthetic.streams import Float64, starts_of
from seqrepro.errors import InputError
from seqrepro.evaluation.metrics import user_values
from seqrepro.ledger.bounds import BOUNDS
from seqrepro.ledger.parts import Gain, Knowledge
from seqrepro.ledger.statistics import Sample

POOL, REPETITIONS = 20_000, 1_000
Law = Callable[[dict[str, Any], Seen, int], Float64]


@dataclass(frozen=True)
class Simulated:
    """What the simulation found, each with its Monte Carlo error."""

    gap: float
    gap_error: float
    share: float
    share_error: float
    power: float
    power_error: float


@dataclass(frozen=True)
class Ranked:
    """What each user [B] gains when items are ranked by a law."""

    gains: Float64
    expected: Float64  # given the history


def simulate(
    part: Gain, parameters: Parameters, pool: int = POOL, repetitions: int = REPETITIONS, seed: int = 0
) -> Simulated:
    """Gap, share and power of a part, from the law of its data.

    Raises:
        InputError: data that nobody generated, or something that its law does not say.
    """
    stated = part.power
    generator = _generator(part, parameters)
    stream = np.random.default_rng(seed)
    seen, targets = _pool(generator, pool)
    truth = next_item(generator, seen)
    ranked = {
        name: _rank(LAWS[name](generator, seen, stated.window or 0), truth, targets, part.metric, stream)
        for name in dict.fromkeys([*stated.knows, *(stated.scale or [])])
    }
    gap, gap_error = _mean(_gap(ranked, stated.knows))
    scale, scale_error = _mean(_gap(ranked, stated.scale or stated.knows))
    if scale <= 0:
        raise InputError(f"{part.id}: found no gain of {' over '.join(stated.scale or stated.knows)} to scale by")
    passed = _power(part, parameters, ranked, generator["users"], repetitions, stream)
    share = part.margin / scale
    error = sqrt(max(passed * (1 - passed), 1 / repetitions) / repetitions)
    return Simulated(gap, gap_error, share, share * scale_error / scale, passed, error)


def agrees(part: Gain, found: Simulated) -> bool:
    """Whether what is stated lies within 4 Monte Carlo errors, and half a unit of the last digit, of what was found."""
    stated = part.power
    pairs = (
        (stated.gap, found.gap, found.gap_error, 5e-4),
        (stated.share, found.share, found.share_error, 5e-3),
        (stated.power, found.power, found.power_error, 5e-3),
    )
    return all(abs(told - value) <= 4 * error + rounding for told, value, error, rounding in pairs)


def _generator(part: Gain, parameters: Parameters) -> dict[str, Any]:
    name = part.datasets[0]
    dataset = parameters.datasets.get(name)
    if dataset is None or dataset.source != "generated":
        raise InputError(f"params.yaml: datasets.{name}: expected generated data, which controls are about")
    return dataset.generator.canonical()


def _pool(generator: dict[str, Any], users: int) -> tuple[Seen, Int64]:
    """Users of the generator's law: what came before their last item, and that item [B]."""
    drawn = generate(generator | {"users": users})
    items, lengths = drawn.items.to_numpy(), np.bincount(drawn.users.to_numpy())[1:]
    ends = starts_of(lengths) + lengths - 1
    known = np.delete(np.arange(len(items)), ends)
    assert drawn.timestamps is not None
    return Seen(items[known], lengths - 1, drawn.timestamps[known]), items[ends]


def _rank(laws: Float64, truth: Float64, targets: Int64, metric: str, stream: Generator) -> Ranked:
    """Gains under the ranking by `laws` [B, V], most probable first, with the true laws [B, V]."""
    order = np.lexsort((stream.random(laws.shape), -laws), axis=1)
    size = laws.shape[1]
    by_rank = user_values(metric, torch.arange(1, size + 1), size).numpy()
    gains = by_rank[np.argmax(order == targets[:, None] - 1, axis=1)]
    return Ranked(gains, np.take_along_axis(truth, order, axis=1) @ by_rank)


def _unordered(generator: dict[str, Any], seen: Seen, window: int) -> Float64:
    shown = seen.last(window)
    if not shown.all():
        raise InputError(f"power.window: found {window}, expected at most the {seen.lengths.min()} items of all users")
    total: Float64 = np.zeros((len(shown), generator["items"]))
    for order in permutations(range(window - 1)):
        arranged = shown[:, [*order, window - 1]]
        total += _chance(generator, arranged)[:, None] * next_item(generator, rows(arranged))
    law: Float64 = total / total.sum(axis=1, keepdims=True)
    return law


def _chance(generator: dict[str, Any], items: Int64) -> Float64:
    """The probability [B] of items [B, w] in this order."""
    chances = np.ones(len(items))
    for step in range(items.shape[1]):
        chances *= next_item(generator, rows(items[:, :step]))[np.arange(len(items)), items[:, step] - 1]
    return chances


def _newest(generator: dict[str, Any], seen: Seen, count: int) -> Float64:
    kept = generator.get("repeats")
    if generator["kind"] == "look_alike" and not (LIKE[generator["like"]]["repeats"] if kept is None else kept):
        raise InputError("power.knows: where items do not recur, only history and chance can be known")
    return next_item(generator, rows(seen.last(count)))


LAWS: dict[Knowledge, Law] = {
    "history": lambda generator, seen, _: next_item(generator, seen),
    "items": lambda generator, seen, _: next_item(generator, replace(seen, times=None)),
    "unordered": _unordered,
    "last": lambda generator, seen, _: _newest(generator, seen, 1),
    "nothing": lambda generator, seen, _: _newest(generator, seen, 0),
    "chance": lambda generator, seen, _: np.full((len(seen.lengths), generator["items"]), 1 / generator["items"]),
}


def _gap(ranked: dict[Knowledge, Ranked], pair: list[Knowledge]) -> Float64:
    return ranked[pair[0]].expected - ranked[pair[1]].expected


def _mean(values: Float64) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / sqrt(len(values)))


def _power(
    part: Gain,
    parameters: Parameters,
    ranked: dict[Knowledge, Ranked],
    users: int,
    repetitions: int,
    stream: Generator,
) -> float:
    names = (part.model, part.against[0])
    trained = [parameters.training[parameters.models[name].training].kind for name in names]
    pairs = np.column_stack([ranked[name].gains for name in part.power.knows])
    passed = 0
    for _ in range(repetitions):
        drawn = _draw(part, pairs, users, stream)
        samples = {
            name: _with_seeds(gains, part, kind == "gradient", stream)
            for name, gains, kind in zip(names, drawn.T, trained, strict=True)
        }
        passed += _passes(part, samples)
    return passed / repetitions


def _passes(part: Gain, samples: dict[str, Sample]) -> bool:
    bounds = BOUNDS["gain"](part, part.datasets[0], lambda model, _: samples[model])
    return all(bound.state == "holds" for bound in bounds)


def _draw(part: Gain, pairs: Float64, users: int, stream: Generator) -> Float64:
    """Gains [U, 2] of the model and of the other."""
    drawn = pairs[stream.integers(len(pairs), size=users)]
    short = stream.random(users) >= part.power.reach
    drawn[short, 0] = drawn[short, 1]
    apart = stream.random(users) < part.power.noise
    drawn[apart, 0] = stream.permutation(drawn[:, 0])[apart]
    return drawn


def _with_seeds(gains_U: Float64, part: Gain, trained: bool, stream: Generator) -> Sample:
    if not trained:
        return Sample(gains_U[:, None], deterministic=True)
    return Sample(gains_U[:, None] + part.power.seed_sd * stream.standard_normal(part.seeds))

"""Turns: several things timed in one process, each in blocks, there and back, and the interval of a ratio of times.

A round of two sides is own - other - other - own, so that a machine that slows down hits all sides alike.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from scipy import stats

CONFIDENCE = 0.95
Triple = tuple[float, float, float]  # a value with both ends of its interval


@dataclass
class Side:
    """Something that can be done again and again, and the seconds of its blocks."""

    work: Callable[[int], object]  # does it so many times
    times: int  # in a block
    device: torch.device
    seconds: list[float] = field(default_factory=list)

    def block(self) -> None:
        """Do it by the clock."""
        self.seconds.append(self.timed(self.times))

    def timed(self, times: int) -> float:
        """The seconds of doing it so many times."""
        wait(self.device)
        started = time.perf_counter()
        self.work(times)
        wait(self.device)
        return time.perf_counter() - started

    def calibrate(self, seconds: float) -> None:
        """Let a block take about so long: do it once unseen, once by the clock, and reckon how often it fits."""
        self.work(1)
        self.times = max(1, round(seconds / self.timed(1)))

    @property
    def each(self) -> list[float]:
        """Seconds of doing it once, for each block."""
        return [seconds / self.times for seconds in self.seconds]


def take_turns(sides: Sequence[Side], rounds: int) -> None:
    """Let the sides take blocks, there and back, so many rounds."""
    for _ in range(rounds):
        for side in [*sides, *reversed(sides)]:
            side.block()


def seconds_in_turns(
    forms: Mapping[str, Callable[[int], object]], rounds: int, block_seconds: float, device: torch.device
) -> dict[str, list[float]]:
    """The seconds of doing each form once, a number a block of about so long, two blocks a round."""
    sides = {name: Side(form, 1, device) for name, form in forms.items()}
    for side in sides.values():
        side.calibrate(block_seconds)
    take_turns(list(sides.values()), rounds)
    return {name: side.each for name, side in sides.items()}


def interval(own: list[float], other: list[float]) -> Triple:
    """The geometric mean of the ratios of pairs of positive numbers, and its 95 % interval.

    The interval is that of Student's t on the logarithms, for at least two pairs.
    """
    logs = [math.log(mine / theirs) for mine, theirs in zip(own, other, strict=True)]
    mean, error = statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1)) * error
    return math.exp(mean), math.exp(mean - reach), math.exp(mean + reach)


def wait(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

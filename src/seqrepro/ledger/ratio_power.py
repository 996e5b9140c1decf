"""The power of a control about what a probe measures, by simulation before anything is trained.

No law of the data says what a probe will measure. So a true ratio r of two models is assumed, and a standard deviation
s between seeds of the logarithm of each: log v = N(0, s), log w = N(log r, s) for each seed. The test that judges the
real runs (measured.py) is simulated so. Its p value is multiplied by the number of tests of the family, which is at
least as strict as Holm's adjustment. The power is the share of simulations that pass.
"""

from dataclasses import dataclass, replace
from math import exp, log, sqrt

import numpy as np
from numpy.random import Generator

from seqrepro.ledger.claims import Claims
from seqrepro.ledger.measured import Runs, bounds_of_measured
from seqrepro.ledger.measurements import Measurement
from seqrepro.ledger.parts import Measured, RatioPower

REPETITIONS = 4_000


@dataclass(frozen=True)
class Simulated:
    """A power, and its Monte Carlo error."""

    power: float
    error: float


def tests_of(family: str, claims: Claims) -> int:
    """How many p values of measured numbers are adjusted together."""
    parts = [part for claim in claims.claims if claim.family == family for part in claim.parts]
    return sum(len(part.against) for part in parts if isinstance(part, Measured) and part.direction)


def simulate_ratio(part: Measured, tests: int, repetitions: int = REPETITIONS, seed: int = 0) -> Simulated:
    """The power of a part that states one; `tests` p values are adjusted together."""
    assert part.power is not None
    stream = np.random.default_rng(seed)
    passed = sum(_passes(part, part.power, tests, stream) for _ in range(repetitions)) / repetitions
    return Simulated(passed, sqrt(max(passed * (1 - passed), 1 / repetitions) / repetitions))


def agrees(stated: RatioPower, found: Simulated) -> bool:
    """Whether what is stated lies within 4 Monte Carlo errors, and half a unit of the last digit, of what was found."""
    return abs(stated.power - found.power) <= 4 * found.error + 5e-3


def _passes(part: Measured, stated: RatioPower, tests: int, stream: Generator) -> bool:
    sign = 1 if part.direction == "lower" else -1
    shifts = {part.model: 0.0, **dict.fromkeys(part.against, sign * log(stated.ratio))}
    runs = {name: _drawn(part, shift, stated.seed_sd, stream) for name, shift in shifts.items()}
    bounds = [replace(bound, p=min(1.0, tests * bound.estimate.p)) for bound in bounds_of_measured(part, runs)]
    return all(bound.state == "holds" for bound in bounds)


def _drawn(part: Measured, shift: float, seed_sd: float, stream: Generator) -> Runs:
    values = [exp(shift + seed_sd * draw) for draw in stream.standard_normal(part.seeds)]
    return Runs([[Measurement(part.measure, None, value)] for value in values])

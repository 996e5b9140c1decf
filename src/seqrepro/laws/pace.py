"""How long an epoch of training takes at a shape that was not run, from the runs that were.

    ln(seconds) = a + b ln(operations)

by least squares over the runs of a panel. It holds for the machine and the number of threads of these runs, and is as
disturbed as they were by other work there; the error says by how much.
"""

from dataclasses import dataclass

import numpy as np

from seqrepro.errors import InputError
from seqrepro.laws.projection import Vector


@dataclass(frozen=True)
class Pace:
    """The fitted line."""

    a: float
    b: float
    error: float  # typical factor between a run and the line, minus 1

    def seconds(self, operations: Vector) -> Vector:
        """Seconds of an epoch of so many operations, any shape."""
        return np.asarray(np.exp(self.a + self.b * np.log(operations)), dtype=np.float64)


def pace(operations: Vector, seconds: Vector) -> Pace:
    """The line through the runs [R].

    Raises:
        InputError: fewer than three different amounts of operations, or seconds that are not positive.
    """
    if len(np.unique(operations)) < 3:
        raise InputError(f"budget seconds: runs of {len(np.unique(operations))} different costs, expected at least 3")
    if not (seconds > 0).all():
        raise InputError(f"budget seconds: found a run of {seconds.min():g} seconds, expected some time")
    b, a = np.polyfit(np.log(operations), np.log(seconds), 1)
    rest = np.log(seconds) - a - b * np.log(operations)
    return Pace(float(a), float(b), float(np.expm1(np.sqrt((rest**2).mean()))))

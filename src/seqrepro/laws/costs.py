"""What a shape costs: the numbers that a network of N blocks and width d learns, and the operations of its training.

Both are counted on networks that are built, so that they hold for any model: one of one block and one of two at each
width. All blocks of a network are alike, so either count is linear in N, and two say all of them.

Operations are those of matrix products and attention, forward for one row of the longest history and of all items,
three times: a step backward takes as many again for the inputs and for the weights. An epoch is so many rows.

Shapes: N depths, D widths.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seqrepro.laws.projection import Vector
from seqrepro.probes.fresh import fresh

FORWARD_AND_BACKWARD = 3
CPU = torch.device("cpu")
Config = dict[str, Any]


@dataclass(frozen=True)
class Costs:
    """Of shapes, all arrays alike."""

    parameters: Vector  # numbers that are learned
    operations: Vector  # of one epoch of training


def costs(of_depth: dict[int, dict[int, Config]], depths: Vector, n_items: int, rows: float) -> Costs:
    """The costs [D, N] of all widths at all depths.

    Args:
        of_depth: by width, the configuration of a run at one block and at two.
        depths: [N] numbers of blocks.
        n_items: of the catalogue.
        rows: histories that an epoch trains on.

    Raises:
        InputError: the network is not one over histories.
    """
    counted = np.array([[counts(one[depth], n_items) for depth in (1, 2)] for one in of_depth.values()], np.float64)
    first, second = counted[:, 0], counted[:, 1]  # [D, 2]
    found = first[:, None] + (second - first)[:, None] * (depths - 1)[None, :, None]
    return Costs(found[..., 0], found[..., 1] * rows)


def counts(config: Config, n_items: int) -> tuple[int, int]:
    """What one network learns, and the operations of training on one row."""
    own = fresh(config, n_items, 1, config["model"]["max_length"], CPU)
    learned = sum(weight.numel() for weight in own.model.parameters())
    return learned, FORWARD_AND_BACKWARD * own.training_operations()

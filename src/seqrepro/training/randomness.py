"""Randomness by purpose: each use of random numbers has its own generator, derived from the run's one seed.

Drawing more numbers for one purpose does not shift the numbers of another. Dropout cannot be given a generator, so it
has torch's global one for itself.
"""

import hashlib

import torch
from torch import Tensor

GENERATORS = ("init", "shuffle", "negatives", "masking", "augmentation", "perturbation")
OF_THE_BATCH = ("negatives", "masking", "augmentation")  # what else a loss is computed from than weights and rows
DROPOUT = ("dropout", "dropout_cuda")


def seed_for(seed: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose, from the first bytes of sha256('<seed>:<purpose>')."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """A fresh CPU generator for one purpose."""
    return torch.Generator().manual_seed(seed_for(seed, purpose))


class Randomness:
    """The generators of one run: one a purpose on the CPU, and torch's global one for dropout."""

    init: torch.Generator
    shuffle: torch.Generator
    negatives: torch.Generator
    masking: torch.Generator
    augmentation: torch.Generator
    perturbation: torch.Generator

    def __init__(self, seed: int) -> None:
        for name in GENERATORS:
            setattr(self, name, generator_for(seed, name))
        torch.manual_seed(seed_for(seed, "dropout"))

    def state(self) -> dict[str, Tensor]:
        """The states of all generators."""
        states = {name: getattr(self, name).get_state() for name in GENERATORS}
        states["dropout"] = torch.get_rng_state()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            states["dropout_cuda"] = torch.cuda.get_rng_state()
        return states

    def load(self, states: dict[str, Tensor]) -> None:
        """Put the generators whose states are given where `state` found them."""
        for name in states.keys() & set(GENERATORS):
            getattr(self, name).set_state(states[name])
        if "dropout" in states:
            torch.set_rng_state(states["dropout"])
        if "dropout_cuda" in states:
            torch.cuda.set_rng_state(states["dropout_cuda"])

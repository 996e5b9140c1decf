"""The spectral density of a symmetric matrix, by stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017).

    rho(x) = (1 / n) sum_i delta(x - lambda_i)  ~  mean over runs of sum_j w_j delta(x - theta_j)

For a random start of norm 1, theta_j are the eigenvalues of the tridiagonal matrix of Lanczos and w_j the squares of
the first entries of its eigenvectors. With m steps the first 2 m - 1 moments of the start's own spectral measure are
exact; over starts its mean is rho. The delta functions are drawn as Gaussians.

Shapes: n the size of the matrix, m steps, r runs, G points.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seqrepro.probes.curvature.lanczos import Product, lanczos


@dataclass(frozen=True)
class Spectrum:
    """Where the spectrum is, and how much of it."""

    nodes: Tensor  # [at most r m]
    weights: Tensor  # of the same shape; they sum to 1

    def smooth(self, smoothing: float, points: int) -> tuple[Tensor, Tensor]:
        """Places [G] and density [G]; the integral is 1.

        Args:
            smoothing: standard deviation of the Gaussians, as a share of the width of the spectrum.
            points: G.
        """
        low, high = float(self.nodes.min()), float(self.nodes.max())
        deviation = smoothing * max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-12)
        places = torch.linspace(low - 4 * deviation, high + 4 * deviation, points, dtype=torch.float64)
        bells = torch.exp(-0.5 * ((places[:, None] - self.nodes) / deviation) ** 2)
        return places, bells @ self.weights / (deviation * math.sqrt(2 * math.pi))


def spectrum(product: Product, size: int, runs: int, steps: int, generator: torch.Generator) -> Spectrum:
    """The spectral measure of a matrix of that size, as the mean of some runs of some steps each."""
    nodes, weights = [], []
    for _ in range(runs):
        start = torch.randn(size, generator=generator, dtype=torch.float64)
        values, vectors = lanczos(product, start, steps, generator, lambda _: False).ritz()
        nodes.append(values)
        weights.append(vectors[0] ** 2 / runs)
    return Spectrum(torch.cat(nodes), torch.cat(weights))

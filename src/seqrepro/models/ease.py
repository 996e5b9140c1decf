"""EASE: embarrassingly shallow autoencoder (Steck 2019, equations 7 and 8).

min_B |X - X B|^2 + lambda |B|^2 with B_jj = 0      X in {0, 1}^(users x items), G = X^T X
P = (G + lambda I)^-1; B_ij = -P_ij / P_jj, B_jj = 0
score_j = sum_i w_i B_ij      w_i = position_decay^(number of later items of the user)

The inverse is computed from the Cholesky factor in float64, B is kept in float32: 8 V^2 bytes three times while fitting
(3.5 GB at V = 12,101), 4 V^2 bytes afterwards and in the saved weights.

Shapes: B rows of a batch, V items.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.config.architectures.ease import EASEParameters
from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.models.histories import cooccurrence_blocks, item_weights


class EASE:
    """The weight matrix B, [V, V]; row and column i stand for item i + 1."""

    def __init__(self, parameters: EASEParameters) -> None:
        self.parameters = parameters
        self.weights: Tensor

    def fit(self, train: Sequences) -> None:
        """Solve the ridge problem."""
        inverse = _inverse(_gram(train), self.parameters.regularisation)
        scale = inverse.diagonal().neg().clone()
        self.weights = inverse.div_(scale).float()
        self.weights.fill_diagonal_(0.0)

    def score(self, histories: Sequences) -> Tensor:
        """Scores [B, V+1]: weighted sums of the rows of B that belong to each history."""
        pairs = item_weights(histories, self.parameters.position_decay)
        offsets = offsets_of(torch.bincount(pairs.rows, minlength=pairs.n_rows))[:-1]
        scores = F.embedding_bag(pairs.items - 1, self.weights, offsets, mode="sum", per_sample_weights=pairs.weights)
        return F.pad(scores, (1, 0))

    def state(self) -> dict[str, Tensor]:
        """The weight matrix."""
        return {"weights": self.weights}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over the weight matrix."""
        self.weights = state["weights"]


def _gram(train: Sequences) -> Tensor:
    gram = torch.empty(train.n_items, train.n_items, dtype=torch.float64)
    for first, block in cooccurrence_blocks(train):
        begin = max(first, 1)
        gram[:, begin - 1 : first - 1 + block.shape[1]] = block[1:, begin - first :]
    return gram


def _inverse(gram: Tensor, regularisation: float) -> Tensor:
    gram.diagonal().add_(regularisation)
    torch.linalg.cholesky(gram, out=gram)
    return torch.cholesky_inverse(gram).T.contiguous()  # symmetric; LAPACK leaves its columns contiguous


def build(parameters: dict[str, Any], n_items: int) -> EASE:
    """An unfitted EASE model."""
    return EASE(EASEParameters.model_validate(parameters))

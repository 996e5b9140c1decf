"""InfoNCE between two views of the same rows, with the rest of the batch as negatives (NT-Xent).

Z = [z^1_1 .. z^1_B, z^2_1 .. z^2_B],   S = Z Z^T / temperature,   i' = the other view of row i
l_i = -log( exp S_{i,i'} / sum_{j != i} exp S_{i,j} ),   loss = (1 / 2B) sum over the 2B rows of l_i

Source: Chen et al. 2020 (SimCLR), as CL4SRec uses it (Xie et al. 2022). The similarity is the inner product, or with
`cosine` that of vectors of norm 1. No row is left out of the negatives, not even one of the same user or with the same
next item, and the gradient goes through both views. If all vectors are equal the loss is log(2B - 1).

Shapes: B rows, D width.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.errors import InputError


def info_nce(first: Tensor, second: Tensor, temperature: float = 1.0, cosine: bool = False) -> Tensor:
    """Mean over the 2B vectors.

    Args:
        first: one view of each row [B, D].
        second: the other view of each row [B, D].
        temperature: similarities are divided by it; above 0.
        cosine: compare directions instead of vectors.

    Raises:
        InputError: the views differ in shape, or there is no other row to tell from.
    """
    if first.shape != second.shape or len(first) < 2:
        found = f"{list(first.shape)} and {list(second.shape)}"
        raise InputError(f"info_nce: views of shapes {found}; expected the same, and at least 2 rows")
    views = torch.cat([first, second])  # [2B, D]
    if cosine:
        views = F.normalize(views, dim=1)
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    products = (views @ views.T).to(views.dtype)  # autocast may have left them narrower
    similarity = (products / temperature).masked_fill(itself, -torch.inf)  # [2B, 2B]
    return F.cross_entropy(similarity, torch.arange(len(views), device=views.device).roll(len(first)))

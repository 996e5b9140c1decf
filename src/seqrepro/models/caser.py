"""Caser: convolutions over the embeddings of the newest L items (Tang & Wang 2018), in RecBole's form.

    M = E[s_1..s_m], 0, 0, ...                                [L, D], filled up with zeros
    v_k = sum over l of w_kl M_l + b_k                        vertical filters, by dimension: K_v vectors of D
    u_ik = max over t of relu(<F_ik, M_{t..t+i-1}> + c_ik)    horizontal filters of heights i = 1..L: K_h numbers each
    z = relu(W_1 drop([v; u]) + b_1)
    h = relu(W_2 [z; P_u] + b_2)                              P_u: an embedding of the user
    score(j | s_1..s_m, u) = <h, E_j>                         tied item embeddings

It differs from the authors' code in what it is trained on (each prefix predicts one item, not windows of 5 items the
next 3), in the map W_2 (there [z; P_u] is scored by an output table of 2 D with biases), and in the size of L. What is
particular about the form:

- h is not negative, so an item can have a high score by its positive components only.
- `padding: right`, as in RecBole: the vertical filters give a weight to a place counted from the oldest item, so that
  the newest item has another one in each length of history. With `left` it always has the last.
- Horizontal filters see padding. It is 0 here; in RecBole it is a row of E, which is drawn, and trained by the softmax.
- A user's embedding is trained on his own rows only. It needs a table that is as long as the largest user id (`users`),
  and tells nothing of a user who was not trained on: his row is as it was drawn. Without `users` there is no P_u.
- RecBole adds a penalty to the loss: 1e-4 times the sum of the norms, not squared, of all tables, maps and filters.
  The loss belongs to the recipe here; objective `penalised` has it.

One representation is computed of a history, so a row cannot give targets at all positions: it takes `view: prefixes`.
L filters of L heights are many, and are computed all at once by a Fourier transform: of a history about
K_h D L^2 products of complex numbers, where sums over windows take K_h D L^3 / 6 of real ones.

Initial weights: N(0, 1 / D^2) for both tables, Xavier-normal for the two maps with biases 0, torch's default for the
filters, uniform up to 1 / sqrt(inputs).

Parameters: (V + 1) D + (U + 1) D, and K_v (L + 1) + K_h (D L (L + 1) / 2 + L) + (K_v D + K_h L) D + D + 2 D^2 + D;
the latter are 703,708 at D = 64, L = 50, K_v = 4, K_h = 8. Without users they have D^2 less.

Shapes: B rows, L length, D width, V items, U users, K_v and K_h filters, K = L K_h, F = floor(L / 2) + 1 frequencies.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn import init

from seqrepro.config.architectures.caser import CaserParameters
from seqrepro.data.sequences import Sequences
from seqrepro.errors import InputError
from seqrepro.models.interfaces import SequentialModel
from seqrepro.models.layers import draw_uniform


class Caser(SequentialModel):
    """Convolutions over item embeddings, and an embedding of the user; it has one representation a history."""

    def __init__(self, parameters: CaserParameters, n_items: int) -> None:
        super().__init__()
        p = parameters
        self.max_length, self.padding = p.max_length, p.padding
        self.items = nn.Embedding(n_items + 1, p.width, padding_idx=0)
        self.users = nn.Embedding(p.users + 1, p.width, padding_idx=0) if p.users else None
        self.vertical = nn.Linear(p.max_length, p.vertical)
        heights = range(1, p.max_length + 1)
        self.horizontal = nn.ParameterList(torch.zeros(p.horizontal, p.width, height) for height in heights)
        self.horizontal_bias = nn.Parameter(torch.zeros(p.max_length * p.horizontal))
        self.joined = nn.Linear(p.vertical * p.width + p.horizontal * p.max_length, p.width)
        self.output = nn.Linear(2 * p.width if p.users else p.width, p.width)
        self.dropout = nn.Dropout(p.dropout)

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """There is none.

        Raises:
            InputError: always; a recipe that asks for it does not fit.
        """
        raise InputError(
            "caser has one representation a history, not one a position; expected a recipe of view prefixes"
        )

    def last_hidden(self, histories: Sequences) -> Tensor:
        """The representation [B, D] of each history and its user.

        Raises:
            InputError: a user that the table has no row for.
        """
        shown_BL = self._shown(histories)
        matrix_BDL = (self.items(shown_BL) * (shown_BL != 0)[:, :, None]).transpose(1, 2)
        along = self._horizontal(matrix_BDL)  # [B, L K_h]
        across = self.vertical(matrix_BDL).transpose(1, 2).flatten(1)  # [B, K_v D]
        joined = F.relu(self.joined(self.dropout(torch.cat([across, along], dim=1))))
        known = [] if self.users is None else [self.users(self._rows_of(histories.users, self.users))]
        return F.relu(self.output(torch.cat([joined, *known], dim=1)))

    def item_table(self) -> Tensor:
        """Item embeddings [V+1, D]; row 0 is padding."""
        return self.items.weight

    def _horizontal(self, matrix_BDL: Tensor) -> Tensor:
        """The largest response of each horizontal filter [B, L K_h], by the convolution theorem.

        Filters are filled up with zeros to the height L. Where a filter of height i begins at one of the first
        L - i + 1 places, no item from the other end of the circle comes under its own rows.
        """
        length, places = self.max_length, torch.arange(self.max_length, device=matrix_BDL.device)
        whole = torch.cat([F.pad(filters, (0, length - filters.shape[2])) for filters in self.horizontal])  # [K, D, L]
        spectra_FDK = torch.fft.rfft(whole).conj().permute(2, 1, 0)
        products_FBK = torch.fft.rfft(matrix_BDL).permute(2, 0, 1) @ spectra_FDK
        responses_BKL = torch.fft.irfft(products_FBK.permute(1, 2, 0), n=length)
        inside_LL = places < length - places[:, None]  # by height - 1, and by place
        inside_KL = inside_LL.repeat_interleave(len(whole) // length, dim=0)
        return (F.relu(responses_BKL + self.horizontal_bias[:, None]) * inside_KL).amax(2)

    def _shown(self, histories: Sequences) -> Tensor:
        """The newest items, filled up to [B, L]."""
        padded, lengths = histories.last(self.max_length)
        whole = F.pad(padded, (0, self.max_length - padded.shape[1]))
        if self.padding == "right":
            return whole
        places = torch.arange(self.max_length, device=lengths.device) + lengths[:, None]
        return whole.gather(1, places % self.max_length)

    def _rows_of(self, users: Tensor, table: nn.Embedding) -> Tensor:
        largest = int(users.max()) if len(users) else 0
        if largest >= table.num_embeddings:
            rows = table.num_embeddings - 1
            raise InputError(f"model.users: found {rows} and a user {largest}; expected at least the largest user id")
        return users


@torch.no_grad()
def draw(model: Caser, generator: torch.Generator) -> None:
    """Draw all weights, in the order of the modules and from the generator alone."""
    for table in filter(None, (model.items, model.users)):
        init.normal_(table.weight, 0.0, 1 / table.embedding_dim, generator)
        table.weight[0].zero_()
    for weight in model.vertical.parameters():
        draw_uniform(weight, model.max_length, generator)
    biases = model.horizontal_bias.view(model.max_length, -1)
    for filters, bias in zip(model.horizontal, biases, strict=True):
        for weight in (filters, bias):
            draw_uniform(weight, filters[0].numel(), generator)
    for layer in (model.joined, model.output):
        init.xavier_normal_(layer.weight, generator=generator)
        layer.bias.zero_()


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> Caser:
    """Caser for a catalogue of `n_items`, initialised from the generator alone."""
    model = Caser(CaserParameters.model_validate(parameters), n_items)
    draw(model, generator)
    return model

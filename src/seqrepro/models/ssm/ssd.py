"""Structured state-space duality (Dao & Gu 2024): a recurrence with one decay a head, in three forms.

    h_t = exp(a_t) h_{t-1} + v_t k_t^T,   y_t = h_t q_t                    of each head; h [P, N], h_{-1} = `state`
    a_t = delta_t A <= 0,  v_t = delta_t x_t,  k = B,  q = C,  and D x_t is added to y_t        (`ssd`)

The dual is an attention whose weights decay, with keys k, queries q and values v; all heads have the same keys and
queries. Three forms give the same numbers:

- `recurrent`: the equation above, position after position. `step` is one of them.
- `quadratic`: y_i = sum over j <= i of exp(S_i - S_j) (q_i . k_j) v_j, S_t = a_0 + ... + a_t: one matrix a head.
- `chunked`: quadratic within chunks of Q positions; between them the state is handed on. Time L (Q + N P / Q) a head.

Rows may hold several segments one behind the other: the decay at the first position of each but the first is 0, that
is, nothing is handed on. A given state belongs to the first.

What must not be done: the factors exp(S_i) exp(-S_j) overflow, and exp before the mask gives inf * 0 in gradients; so
the difference is taken and masked first. S is summed within a chunk only, in 32 bits or more, whatever autocast says.

Shapes: B rows, L length, H heads, P width of a head, N width of a state, Q length of a chunk.
"""

from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.models.attention.interface import running, wide

CHUNK = 32  # Q
WHOLE = 64  # the longest row for which one matrix is faster than chunks
Form = Literal["recurrent", "quadratic", "chunked"]


def ssd(
    x: Tensor,
    delta: Tensor,
    rate: Tensor,
    keys: Tensor,
    queries: Tensor,
    skip: Tensor,
    segments: Tensor | None = None,
    state: Tensor | None = None,
    form: Form | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """The outputs of whole rows, and the state behind them.

    Args:
        x: [B, L, H, P], L at least 1.
        delta: steps, after the softplus, [B, L, H]. With 0 a position changes no state.
        rate: A, negative, [H].
        keys: B of the papers, [B, L, N].
        queries: C of the papers, [B, L, N].
        skip: D of the papers, [H].
        segments: a number a position, the same within a segment only, [B, L]; None: each row is one.
        state: what stands before the rows, [B, H, P, N]; None: zeros.
        form: None: quadratic for short rows, chunked for long ones.
        chunk: Q.

    Returns:
        [B, L, H, P] in the type of x, and [B, H, P, N] in 32 bits or more.
    """
    with wide(x, delta, rate, keys, queries, skip) as (x_, delta_, rate_, keys_, queries_, skip_):
        mixed, after = decaying(
            delta_ * rate_, x_ * delta_[..., None], keys_, queries_, segments, state, form=form, chunk=chunk
        )
        return (mixed + x_ * skip_[:, None]).to(x.dtype), after


def step(
    x: Tensor, delta: Tensor, rate: Tensor, keys: Tensor, queries: Tensor, skip: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The output [B, H, P] at the next position of a row, and the state after it; inputs as in `ssd` without L."""
    with wide(x, delta, rate, keys, queries, skip) as (x_, delta_, rate_, keys_, queries_, skip_):
        after = _next(state, delta_ * rate_, x_ * delta_[..., None], keys_)
        return (_read(after, queries_) + x_ * skip_[:, None]).to(x.dtype), after


def decaying(
    log_decay: Tensor,
    values: Tensor,
    keys: Tensor,
    queries: Tensor,
    segments: Tensor | None = None,
    state: Tensor | None = None,
    form: Form | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """The recurrence with any decays and values; all inputs in 32 bits or more.

    Args:
        log_decay: a, at most 0, [B, L, H].
        values: v, [B, L, H, P].
        keys: k, [B, L, N].
        queries: q, [B, L, N].
        segments: as in `ssd`, and so are the others.
        state: as in `ssd`.
        form: as in `ssd`.
        chunk: as in `ssd`.

    Returns:
        y, [B, L, H, P], and the state behind the rows, [B, H, P, N].
    """
    chosen = form or ("quadratic" if keys.shape[1] <= WHOLE else "chunked")
    cuts = None if segments is None else _cuts(segments)
    if chosen != "chunked":
        return (_recurrent if chosen == "recurrent" else _quadratic)(log_decay, values, keys, queries, cuts, state)
    parts = [torch.split(one, chunk, dim=1) for one in (log_decay, values, keys, queries)]
    cut_parts = [None] * len(parts[0]) if cuts is None else torch.split(cuts, chunk, dim=1)
    mixed = []
    for a, v, k, q, own_cuts in zip(*parts, cut_parts, strict=True):
        outputs, state = _quadratic(a, v, k, q, own_cuts, state)
        mixed.append(outputs)
    return torch.cat(mixed, dim=1), cast(Tensor, state)


def _recurrent(
    log_decay: Tensor, values: Tensor, keys: Tensor, queries: Tensor, cuts: Tensor | None, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    if state is None:
        state = values.new_zeros(*values[:, 0].shape, keys.shape[2])
    outputs = []
    for t in range(keys.shape[1]):
        handed = state if cuts is None else state * ~cuts[:, t, None, None, None]
        state = _next(handed, log_decay[:, t], values[:, t], keys[:, t])
        outputs.append(_read(state, queries[:, t]))
    return torch.stack(outputs, dim=1), state


def _quadratic(
    log_decay: Tensor, values: Tensor, keys: Tensor, queries: Tensor, cuts: Tensor | None, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """A whole row, or a chunk of one."""
    sums, values = running(log_decay, True).transpose(1, 2), values.transpose(1, 2)  # S [B, H, L], [B, H, L, P]
    wall, first = _reach(cuts, sums)
    decays = (sums[..., None] - sums[:, :, None]).add_(wall).exp_()  # [B, H, L, L]
    mixed = ((queries @ keys.mT)[:, None] * decays) @ values
    after = (values * decays[:, :, -1, :, None]).mT @ keys[:, None]
    if state is not None:
        left = (sums.exp() * first)[..., None]  # of the state, [B, H, L, 1]
        mixed = mixed + (queries[:, None] @ state.mT) * left
        after = after + state * left[:, :, -1:]
    return mixed.transpose(1, 2), after


def _cuts(segments: Tensor) -> Tensor:
    """Where a segment begins to which nothing is handed on, [B, L] bool."""
    return F.pad(segments[:, 1:] != segments[:, :-1], (1, 0))


def _reach(cuts: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
    """0 where j reaches i, else -inf, [B or 1, 1, L, L]; whether the state reaches i, [B or 1, 1, L] bool."""
    length = like.shape[-1]
    wall = like.new_full((1, 1, length, length), -torch.inf).triu(1)
    if cuts is None:
        return wall, torch.ones_like(wall[..., 0], dtype=torch.bool)
    number = cuts.cumsum(1)[:, None]  # of the segment, in this chunk
    return wall.where(number[..., None] == number[:, :, None], -torch.inf), number == 0


def _next(state: Tensor, log_decay: Tensor, values: Tensor, keys: Tensor) -> Tensor:
    """[B, H, P, N], from [B, H, P, N], [B, H], [B, H, P] and [B, N]."""
    return state * log_decay.exp()[..., None, None] + values[..., None] * keys[:, None, None]


def _read(state: Tensor, queries: Tensor) -> Tensor:
    """[B, H, P], from [B, H, P, N] and [B, N]."""
    return (state @ queries[:, None, :, None])[..., 0]

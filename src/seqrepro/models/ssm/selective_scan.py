"""The selective scan of Mamba-1 (Gu & Dao 2023): a recurrence with a decay a channel and state, in three forms.

    h_t[e, n] = exp(delta_t[e] A[e, n]) h_{t-1}[e, n] + delta_t[e] x_t[e] k_t[n]          h_{-1} = `state`
    y_t[e] = sum over n of h_t[e, n] q_t[n] + D[e] x_t[e]                                 k = B, q = C in the papers

The decay is exact for a step of length delta, the input is not (Euler's rule). Rows may hold several segments one
behind the other: the decay at the first position of each but the first is 0. A given state belongs to the first.

- `sequential`: the equation, position after position. `step` is one of them.
- `associative`: pairs (a, b) under (a, b), (a', b') -> (a' a, a' b + b'), combined in log2 L rounds (Hillis & Steele).
  Nothing is divided by products of decays, which reach exp(-4000).
- `chunked`: by rows and chunks that fit into a cache. Of the L states of a row only that before each chunk is kept; the
  way back computes the others again. With w = dl/dy and g = dl/dh,

      g_t = w_t q_t^T + a_{t+1} g_{t+1},    p_t = g_t a_t h_{t-1}                    a_t = exp(delta_t A), v = delta x
      dl/dq = w^T h,  dl/dk = v^T g,  dl/dv = g k,  dl/d delta = sum over n of p A,  dl/dA = sum over t of delta p

The first two forms keep several times B L E N numbers for the way back, the third B (L / Q) E N. Where gradients are to
be differentiated once more, it goes back by the first form.

Shapes: B rows, L length, E channels, N width of a state, Q length of a chunk.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from seqrepro.models.attention.interface import wide

CHUNK = 16  # Q
TILE = 2**18  # numbers of Q E N for as many rows as are computed at once on a CPU
Form = Literal["sequential", "associative", "chunked"]


def selective_scan(
    x: Tensor,
    delta: Tensor,
    rate: Tensor,
    keys: Tensor,
    queries: Tensor,
    skip: Tensor,
    segments: Tensor | None = None,
    state: Tensor | None = None,
    form: Form = "chunked",
) -> tuple[Tensor, Tensor]:
    """The outputs of whole rows, and the state behind them.

    Args:
        x: [B, L, E], L at least 1.
        delta: steps, after the softplus, [B, L, E]. With 0 a position changes no state.
        rate: A, negative, [E, N].
        keys: B of the papers, [B, L, N].
        queries: C of the papers, [B, L, N].
        skip: D of the papers, [E].
        segments: a number a position, the same within a segment only, [B, L]; None: each row is one.
        state: what stands before the rows, [B, E, N]; None: zeros.
        form: how it is computed.

    Returns:
        [B, L, E] in the type of x, and [B, E, N] in 32 bits or more.
    """
    with wide(x, delta, rate, keys, queries, skip) as (x_, delta_, rate_, keys_, queries_, skip_):
        if state is None:
            state = x_.new_zeros(x.shape[0], *rate.shape)
        cuts = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0)) if segments is not None else None
        mixed, after = FORMS[form](delta_, x_ * delta_, rate_, keys_, queries_, state, cuts)
        return (mixed + x_ * skip_).to(x.dtype), after


def step(
    x: Tensor, delta: Tensor, rate: Tensor, keys: Tensor, queries: Tensor, skip: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The output [B, E] at the next position of a row, and the state after it; inputs as above without L."""
    x_, delta_, keys_, queries_ = (one[:, None] for one in (x, delta, keys, queries))
    mixed, after = selective_scan(x_, delta_, rate, keys_, queries_, skip, None, state, "sequential")
    return mixed[:, 0], after


def _terms(delta: Tensor, values: Tensor, rate: Tensor, keys: Tensor, cuts: Tensor | None) -> tuple[Tensor, Tensor]:
    """The decays a and the inputs b of h_t = a_t h_{t-1} + b_t, [B, L, E, N] each."""
    decays = (delta[..., None] * rate).exp_()
    if cuts is not None:
        decays = decays * ~cuts[..., None, None]
    return decays, values[..., None] * keys[..., None, :]


def _sequential(
    delta: Tensor, values: Tensor, rate: Tensor, keys: Tensor, queries: Tensor, state: Tensor, cuts: Tensor | None
) -> tuple[Tensor, Tensor]:
    decays, inputs = _terms(delta, values, rate, keys, cuts)
    mixed = []
    for a, b, q in zip(decays.unbind(1), inputs.unbind(1), queries.unbind(1), strict=True):
        state = a * state + b
        mixed.append((state @ q[..., None])[..., 0])
    return torch.stack(mixed, dim=1), state


def _associative(
    delta: Tensor, values: Tensor, rate: Tensor, keys: Tensor, queries: Tensor, state: Tensor, cuts: Tensor | None
) -> tuple[Tensor, Tensor]:
    a, b = _terms(delta, values, rate, keys, cuts)
    length, reach = keys.shape[1], 1
    while reach < length:
        earlier_a, earlier_b = a[:, :-reach], b[:, :-reach]
        b = torch.cat([b[:, :reach], a[:, reach:] * earlier_b + b[:, reach:]], dim=1)
        a = torch.cat([a[:, :reach], a[:, reach:] * earlier_a], dim=1)
        reach *= 2
    states = a * state[:, None] + b
    return (states @ queries[..., None])[..., 0], states[:, -1]


def _chunked(
    delta: Tensor, values: Tensor, rate: Tensor, keys: Tensor, queries: Tensor, state: Tensor, cuts: Tensor | None
) -> tuple[Tensor, Tensor]:
    rows = max(1, TILE // (CHUNK * rate.numel())) if rate.device.type == "cpu" else len(keys)
    tiles = [torch.split(one, rows) for one in (delta, values, keys, queries, state)]
    cut_tiles = [None] * len(tiles[0]) if cuts is None else torch.split(cuts, rows)
    done = [
        _Recomputed.apply(d, v, rate, k, q, h, own_cuts)  # type: ignore[no-untyped-call]
        for d, v, k, q, h, own_cuts in zip(*tiles, cut_tiles, strict=True)
    ]
    mixed, after = zip(*done, strict=True)
    return torch.cat(mixed), torch.cat(after)


class _Recomputed(torch.autograd.Function):
    """Chunk after chunk; the way back is written out above."""

    @staticmethod
    def forward(
        ctx: Any,
        delta: Tensor,
        values: Tensor,
        rate: Tensor,
        keys: Tensor,
        queries: Tensor,
        state: Tensor,
        cuts: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        mixed, between = torch.empty_like(values), [state]
        for at in _chunks(keys):
            _, states = _states(delta, values, rate, keys, cuts, between[-1], at)
            mixed[:, at] = (states @ queries[:, at, :, None])[..., 0]
            between.append(states[:, -1].clone())
        after = between.pop()
        ctx.save_for_backward(cuts, delta, values, rate, keys, queries, *between)
        return mixed, after

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        cuts, delta, values, rate, keys, queries, *between = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_differentiable_way_back([delta, values, rate, keys, queries, between[0]], cuts, outer), None
        return *_way_back(delta, values, rate, keys, queries, cuts, between, *outer), None


def _way_back(
    delta: Tensor,
    values: Tensor,
    rate: Tensor,
    keys: Tensor,
    queries: Tensor,
    cuts: Tensor | None,
    between: list[Tensor],
    of_mixed: Tensor,
    carried: Tensor,
) -> list[Tensor]:
    """The gradients of all inputs, from those of the outputs [B, L, E] and of the last state [B, E, N]."""
    of_delta, of_values, of_rate, of_keys, of_queries = map(torch.zeros_like, (delta, values, rate, keys, queries))
    for at, state in reversed(list(zip(_chunks(keys), between, strict=True))):
        decays, states = _states(delta, values, rate, keys, cuts, state, at)
        w, d = of_mixed[:, at], delta[:, at, :, None]
        g = w[..., None] * queries[:, at, None]
        g[:, -1] += carried
        for t in range(g.shape[1] - 1, 0, -1):
            g[:, t - 1].addcmul_(decays[:, t], g[:, t])
        carried = decays[:, 0] * g[:, 0]
        of_queries[:, at] = (w[:, :, None] @ states)[:, :, 0]
        of_keys[:, at] = (values[:, at, None] @ g)[:, :, 0]
        of_values[:, at] = (g @ keys[:, at, :, None])[..., 0]
        p = torch.cat([state[:, None], states[:, :-1]], dim=1).mul_(decays).mul_(g)
        of_delta[:, at] = (p * rate).sum(-1)
        of_rate += p.mul_(d).sum((0, 1))
    return [of_delta, of_values, of_rate, of_keys, of_queries, carried]


def _differentiable_way_back(
    inputs: list[Tensor], cuts: Tensor | None, outer: tuple[Tensor, ...]
) -> list[Tensor | None]:
    """The same gradients, of inputs that have one, by way of the sequential form."""
    again = _sequential(*inputs, cuts)  # type: ignore[call-arg]
    wanted = [one for one in inputs if one.requires_grad]
    found = iter(torch.autograd.grad(again, wanted, outer, create_graph=True))
    return [next(found) if one.requires_grad else None for one in inputs]


def _states(
    delta: Tensor, values: Tensor, rate: Tensor, keys: Tensor, cuts: Tensor | None, state: Tensor, at: slice
) -> tuple[Tensor, Tensor]:
    """The decays and the states of a chunk, [B, Q, E, N] each."""
    decays, states = _terms(delta[:, at], values[:, at], rate, keys[:, at], None if cuts is None else cuts[:, at])
    states[:, 0].addcmul_(decays[:, 0], state)
    for t in range(1, states.shape[1]):
        states[:, t].addcmul_(decays[:, t], states[:, t - 1])
    return decays, states


def _chunks(keys: Tensor) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, keys.shape[1], CHUNK)]


FORMS = {"sequential": _sequential, "associative": _associative, "chunked": _chunked}

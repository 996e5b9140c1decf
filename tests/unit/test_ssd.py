"""State-space duality: three forms beside the sum over pairs, what may not overflow, and what segments hand on.

Shapes: B rows, L length, H heads, P width of a head, N width of a state.
"""

from math import log

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import made_data  # noqa: F401  (one thread)
from seqrepro.models.ssm.ssd import decaying, ssd, step

B, H, P, N = 3, 2, 4, 5
FORMS = ("recurrent", "quadratic", "chunked")
LENGTHS = (1, 5, 8, 19)  # beside chunks of 8


def draw(*shape: int, seed: int = 1, dtype=torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def inputs(length: int, rows: int = B, dtype=torch.float64) -> list[Tensor]:
    """x, delta, rate, keys, queries, skip."""
    x, step_, keys, queries = (
        draw(rows, length, *one, seed=seed) for seed, one in enumerate([(H, P), (H,), (N,), (N,)])
    )
    made = [x, F.softplus(step_), -draw(H, seed=5).exp(), keys, queries, draw(H, seed=6)]
    return [one.to(dtype) for one in made]


def segments_of(length: int, rows: int = B) -> Tensor:
    """Borders anywhere; the first row has none, the last one at every position."""
    segments = (draw(rows, length, seed=7) > 0.8).cumsum(1)
    segments[0], segments[-1] = 4, torch.arange(length)
    return segments


def state_of(rows: int = B) -> Tensor:
    return draw(rows, H, P, N, seed=8)


def summed(x, delta, rate, keys, queries, skip, segments, state) -> tuple[Tensor, Tensor]:
    """The sum over pairs, with each product of decays written out."""
    rows, length = keys.shape[:2]
    states = []
    for b in range(rows):
        of_row = []
        for i in range(length):
            total = torch.zeros(H, P, N, dtype=x.dtype)
            for j in range(-1, i + 1):
                came_from = segments[b, max(j, 0)]
                if came_from != segments[b, i]:
                    continue
                left = torch.ones(H, dtype=x.dtype)
                for k in range(j + 1, i + 1):
                    left = left * (delta[b, k] * rate).exp()
                added = state[b] if j < 0 else (delta[b, j, :, None] * x[b, j])[..., None] * keys[b, j]
                total = total + left[:, None, None] * added
            of_row.append(total)
        states.append(torch.stack(of_row))
    h = torch.stack(states)
    return torch.einsum("blhpn,bln->blhp", h, queries) + skip[:, None] * x, h[:, -1]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_the_sum_over_pairs(form, length):
    for segments in (torch.zeros(B, length), segments_of(length)):
        expected = summed(*inputs(length), segments, state_of())
        found = ssd(*inputs(length), segments, state_of(), form, chunk=8)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_without_segments_and_state(form, length):
    plain = ssd(*inputs(length), form=form, chunk=8)
    given = ssd(*inputs(length), torch.zeros(B, length), torch.zeros(B, H, P, N).double(), "recurrent")
    for one, other in zip(plain, given, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [64, 65])
def test_the_form_follows_the_length(length):
    chosen, expected = (
        ssd(*inputs(length), form=form)[0] for form in (None, "quadratic" if length < 65 else "chunked")
    )
    assert torch.equal(chosen, expected)
    assert not torch.equal(chosen, ssd(*inputs(length), form="chunked" if length < 65 else "quadratic")[0])


@pytest.mark.parametrize("form", FORMS)
def test_gradients_beside_finite_differences(form):
    """Of all inputs and the state, of first and of second order."""
    given = [*inputs(3, rows=2), draw(2, H, P, N, seed=8)]
    segments = torch.tensor([[0, 0, 0], [1, 1, 2]])

    def mixed(*values):
        return ssd(*values[:-1], segments, values[-1], form, chunk=2)

    assert torch.autograd.gradcheck(mixed, [one.requires_grad_() for one in given])


@pytest.mark.parametrize("form", FORMS)
def test_second_gradients_beside_finite_differences(form):
    def mixed(log_decay, values):
        return decaying(-log_decay.exp(), values[..., None], values, values, form=form, chunk=2)

    given = [draw(1, 3, 1, seed=seed).requires_grad_() for seed in (1, 2)]
    assert torch.autograd.gradgradcheck(mixed, given)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_the_same_in_all_forms(form):
    segments = segments_of(21)

    def gradients(chosen):
        given = [one.requires_grad_() for one in (*inputs(21), state_of())]
        mixed, after = ssd(*given[:-1], segments, given[-1], chosen, chunk=8)
        return torch.autograd.grad(mixed.square().sum() + after.sum(), given)

    for one, other in zip(gradients(form), gradients("recurrent"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("form", ["quadratic", "chunked"])
def test_large_decays_give_no_nan(form):
    """exp(S_i) exp(-S_j) would be 0 * inf here, and exp before the mask inf * 0 in the way back."""
    x, delta, rate, *others = inputs(200, dtype=torch.float32)
    given = [one.requires_grad_() for one in (x, delta * 0 + 60.0, rate * 0 - 16.0, *others)]
    mixed, after = ssd(*given, form=form)
    gradients = torch.autograd.grad(mixed.square().sum() + after.sum(), given)
    assert all(one.isfinite().all() for one in (mixed, after, *gradients))
    exact = ssd(*(one.detach().double() for one in given), form="recurrent")[0]
    torch.testing.assert_close(mixed.double(), exact, rtol=1e-5, atol=1e-3)


def test_sums_of_long_rows_keep_their_digits():
    """Sums of S over a whole row of 2048 lose them in 32 bits; sums within a chunk do not."""
    given = inputs(2048, rows=1, dtype=torch.float32)
    exact = ssd(*(one.double() for one in given), form="chunked")[0]
    chunked = (ssd(*given, form="chunked")[0] - exact).abs().max()
    whole = (ssd(*given, form="quadratic")[0] - exact).abs().max()
    print(chunked, whole, exact.abs().max())
    assert whole > 10 * chunked


@pytest.mark.parametrize("form", FORMS)
def test_autocast_narrows_nothing_but_the_outputs_type(form):
    """Narrow inputs are widened; what is inside stays in 32 bits."""
    given = inputs(40, dtype=torch.float32)
    narrow_x = [given[0].bfloat16(), *given[1:]]
    with torch.autocast("cpu", torch.bfloat16):
        mixed, after = ssd(*narrow_x, form=form)
    assert (mixed.dtype, after.dtype) == (torch.bfloat16, torch.float32)
    expected, state = ssd(narrow_x[0].float(), *given[1:], form=form)
    assert torch.equal(mixed, expected.bfloat16())
    assert torch.equal(after, state)


@pytest.mark.parametrize("form", FORMS)
def test_rows_can_be_cut_anywhere(form):
    """Half a row, then the rest from its state; borders of segments before, behind and at the cut."""
    segments = segments_of(20)
    whole, after = ssd(*inputs(20), segments, state_of(), form, chunk=8)
    first = [one[:, :11] if one.dim() > 1 else one for one in inputs(20)]
    rest = [one[:, 11:] if one.dim() > 1 else one for one in inputs(20)]
    mixed, between = ssd(*first, segments[:, :11], state_of(), form, chunk=8)
    same = (segments[:, 11] == segments[:, 10]).double()[:, None, None, None]
    later, last = ssd(*rest, segments[:, 11:], between * same, form, chunk=8)
    torch.testing.assert_close(torch.cat([mixed, later], 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, after, rtol=1e-12, atol=1e-12)


def test_steps_are_the_whole_row():
    x, delta, rate, keys, queries, skip = inputs(20)
    whole, after = ssd(x, delta, rate, keys, queries, skip)
    state, outputs = torch.zeros(B, H, P, N, dtype=torch.float64), []
    for t in range(20):
        output, state = step(x[:, t], delta[:, t], rate, keys[:, t], queries[:, t], skip, state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, after, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_a_step_of_zero_changes_no_state_and_softplus_is_never_zero(form):
    """So padding is put behind the softplus, if at all."""
    x, delta, *others = inputs(9)
    stays = ssd(x, delta.index_fill(1, torch.tensor([6, 7, 8]), 0.0), *others, form=form, chunk=4)[1]
    before = [one[:, :6] if one.dim() > 1 else one for one in (x, delta, *others)]
    torch.testing.assert_close(stays, ssd(*before, form=form, chunk=4)[1], rtol=1e-12, atol=1e-12)
    assert F.softplus(torch.zeros(())) == pytest.approx(log(2))


@pytest.mark.parametrize("form", FORMS)
def test_segments_are_rows_of_their_own(form):
    """Packed into one row or not; and in another order."""
    lengths = [3, 1, 12, 5]
    given = inputs(sum(lengths), rows=1)
    segments = torch.arange(4).repeat_interleave(torch.tensor(lengths))[None]
    packed = ssd(*given, segments, form=form, chunk=8)[0]
    parts = zip(*(one.split(lengths, dim=1) for one in (given[0], given[1], given[3], given[4])), strict=True)
    alone = [ssd(x, delta, given[2], keys, queries, given[5], form=form)[0] for x, delta, keys, queries in parts]
    torch.testing.assert_close(packed, torch.cat(alone, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_seen_ahead(form):
    x, *others = inputs(20)
    changed = torch.cat([x[:, :12], 3 * x[:, 12:] + 1], 1)
    assert torch.equal(
        ssd(x, *others, form=form, chunk=8)[0][:, :12], ssd(changed, *others, form=form, chunk=8)[0][:, :12]
    )

"""The selective scan: closed forms, three forms beside each other, gradients, segments and memory.

Shapes: B rows, L length, E channels, N width of a state.
"""

from math import log

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import made_data  # noqa: F401  (one thread)
from seqrepro.models.ssm import selective_scan as module
from seqrepro.models.ssm.selective_scan import FORMS, selective_scan, step

B, E, N = 5, 3, 4
LENGTHS = (1, 4, 5, 8, 19)  # beside chunks of 4


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of 4 positions, tiles of two rows."""
    monkeypatch.setattr(module, "CHUNK", 4)
    monkeypatch.setattr(module, "TILE", 2 * 4 * E * N)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(length: int, rows: int = B) -> list[Tensor]:
    """x, delta, rate, keys, queries, skip."""
    x, delta, keys, queries = (draw(rows, length, width, seed=seed) for seed, width in enumerate([E, E, N, N], start=1))
    return [x, F.softplus(delta), -draw(E, N, seed=5).exp(), keys, queries, draw(E, seed=6)]


def segments_of(length: int, rows: int = B) -> Tensor:
    """Borders anywhere; the first row has none, the last one at every position."""
    segments = (draw(rows, length, seed=7) > 0.5).cumsum(1)
    segments[0], segments[-1] = 4, torch.arange(length)
    return segments


def both(form, length, segments=None):
    """Outputs, last states and all gradients."""
    given = [one.requires_grad_() for one in (*inputs(length), draw(B, E, N, seed=8))]
    mixed, after = selective_scan(*given[:-1], segments, given[-1], form)
    return mixed, after, *torch.autograd.grad(mixed.sin().sum() + after.sin().sum(), given)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", ["associative", "chunked"])
def test_all_forms_are_the_same(form, length):
    for segments in (None, segments_of(length)):
        for one, other in zip(both(form, length, segments), both("sequential", length, segments), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("form", FORMS)
def test_a_closed_form(form):
    """A = -1, delta = ln 2, x = 1: y_t = 2 ln 2 (1 - 2^-t) by Euler's rule; an exact input would go to 1."""
    ones = torch.ones(1, 20, 1, dtype=torch.float64)
    delta = F.softplus(0 * ones)
    mixed, after = selective_scan(ones, delta, -ones[0, :1], ones, ones, 0 * ones[0, 0], form=form)
    expected = 2 * log(2) * (1 - 0.5 ** torch.arange(1, 21, dtype=torch.float64))
    torch.testing.assert_close(mixed[0, :, 0], expected, rtol=1e-12, atol=0)
    assert [round(one, 6) for one in mixed[0, :5, 0].tolist()] == [0.693147, 1.039721, 1.213008, 1.299651, 1.342973]
    assert after.item() == pytest.approx(expected[-1].item(), rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_the_limits(form):
    """Nothing in, nothing out; steps of almost 0 freeze the state; long ones leave only the newest input."""
    x, delta, rate, keys, queries, skip = inputs(9)
    assert not selective_scan(0 * x, delta, rate, keys, queries, skip, form=form)[0].any()
    state = draw(B, E, N, seed=8)
    frozen = selective_scan(x, F.softplus(0 * delta - 30), rate, keys, queries, skip, None, state, form)[1]
    torch.testing.assert_close(frozen, state, rtol=1e-10, atol=1e-10)
    long = selective_scan(x, 0 * delta + 1e4, rate, keys, queries, skip, None, state, form)[1]
    torch.testing.assert_close(long, 1e4 * x[:, -1, :, None] * keys[:, -1, None], rtol=1e-12, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_beside_finite_differences(form):
    """Of first and of second order, with segments and a state; rows of several chunks and tiles."""
    segments = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0], [2, 1, 1, 1, 1, 3]])
    given = [one.requires_grad_() for one in (*inputs(6, rows=3), draw(3, E, N, seed=8))]
    assert torch.autograd.gradcheck(lambda *v: selective_scan(*v[:-1], segments, v[-1], form), given, fast_mode=True)
    assert torch.autograd.gradgradcheck(
        lambda *v: selective_scan(*v[:-1], segments, v[-1], form), given, fast_mode=True
    )


@pytest.mark.parametrize("form", FORMS)
def test_second_gradients_of_some_inputs(form):
    """As a probe of curvature asks for them: no state is given, and the first inputs are no weights."""
    x, delta, rate, *others = inputs(6, rows=3)
    rate.requires_grad_()
    mixed, _ = selective_scan(x, delta, rate, *others, form=form)
    (first,) = torch.autograd.grad(mixed.square().sum(), rate, create_graph=True)
    (found,) = torch.autograd.grad(first.square().sum(), rate)
    moved = []
    for side in (1, -1):
        near = (rate.detach() + side * 1e-5 * found.detach().sign()).requires_grad_()
        mixed, _ = selective_scan(x, delta, near, *others, form=form)
        moved.append(torch.autograd.grad(mixed.square().sum(), near)[0].square().sum())
    assert ((moved[0] - moved[1]) / 2e-5).item() == pytest.approx(found.abs().sum().item(), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_large_decays_are_finite(form):
    """Sums of delta A reach -4,400 at 200 positions; in 32 bits nothing may be divided by their exponentials."""
    x, _, _, keys, queries, skip = (one.float() for one in inputs(200))
    delta, rate = torch.full_like(x, 0.69), torch.full((E, N), -32.0)
    given = [one.requires_grad_() for one in (x, delta, rate, keys, queries, skip)]
    mixed, after = selective_scan(*given, form=form)
    gradients = torch.autograd.grad(mixed.square().sum() + after.sum(), given)
    assert all(one.isfinite().all() for one in (mixed, after, *gradients))
    exact = selective_scan(*(one.detach().double() for one in given))[0]
    torch.testing.assert_close(mixed.double(), exact, rtol=1e-5, atol=1e-5)


def test_steps_are_the_whole_row():
    x, delta, rate, keys, queries, skip = inputs(9)
    whole, after = selective_scan(x, delta, rate, keys, queries, skip)
    state, outputs = torch.zeros(B, E, N, dtype=torch.float64), []
    for t in range(9):
        output, state = step(x[:, t], delta[:, t], rate, keys[:, t], queries[:, t], skip, state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, after, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_segments_are_rows_of_their_own(form):
    lengths = [3, 1, 12, 5]
    x, delta, rate, keys, queries, skip = inputs(sum(lengths), rows=1)
    segments = torch.arange(4).repeat_interleave(torch.tensor(lengths))[None]
    packed = selective_scan(x, delta, rate, keys, queries, skip, segments, form=form)[0]
    parts = zip(*(one.split(lengths, dim=1) for one in (x, delta, keys, queries)), strict=True)
    alone = [selective_scan(a, b, rate, c, d, skip, form=form)[0] for a, b, c, d in parts]
    torch.testing.assert_close(packed, torch.cat(alone, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_autocast_narrows_nothing_inside(form):
    x, *others = (one.float() for one in inputs(9))
    with torch.autocast("cpu", torch.bfloat16):
        mixed, after = selective_scan(x.bfloat16(), *others, form=form)
    assert (mixed.dtype, after.dtype) == (torch.bfloat16, torch.float32)
    expected, state = selective_scan(x.bfloat16().float(), *others, form=form)
    assert torch.equal(mixed, expected.bfloat16())
    assert torch.equal(after, state)


def test_what_is_kept_for_the_way_back():
    """Of the chunked form no tensor with all states, and all together less than one such tensor."""

    def kept(form):
        sizes = []

        def note(one):
            sizes.append(one.numel())
            return one

        x, keys = draw(B, 64, 16).requires_grad_(), draw(B, 64, 16, seed=2)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda one: one):
            mixed = selective_scan(x, x.exp(), -draw(16, 16).exp(), keys, keys, keys[0, 0], form=form)[0]
        mixed.sum().backward()
        return sizes

    all_states = B * 64 * 16 * 16
    assert max(kept("chunked")) <= B * 64 * 16
    assert sum(kept("chunked")) < all_states
    assert sum(kept("sequential")) > 2 * all_states

"""Perturbations and combinations of gradients, for any vectors, in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrepro.training.optimizers.asam import adaptive_ascent
from seqrepro.training.optimizers.gsam import surrogate
from seqrepro.training.optimizers.looksam import reused, sharp_part
from seqrepro.training.optimizers.random_sam import random_ascent
from seqrepro.training.sharpness import across, along

NUMBERS = st.one_of(st.just(0.0), st.floats(1e-3, 1e3), st.floats(-1e3, -1e-3))
LENGTHS = st.floats(1e-3, 10)


@st.composite
def vectors(draw, count):
    """So many vectors of the same length, none of them zero."""
    size = draw(st.integers(2, 8))
    values = st.lists(NUMBERS, min_size=size, max_size=size).filter(any)
    return [torch.tensor(draw(values), dtype=torch.float64) for _ in range(count)]


def close(value, expected):
    return value == pytest.approx(expected, rel=1e-9)


@given(vectors(1), LENGTHS)
def test_a_perturbation_has_its_norm_and_its_direction(found, rho):
    (gradient,) = found
    moved = along(gradient, rho)
    assert close(moved.norm().item(), rho)
    assert close(torch.dot(moved, gradient).item(), (rho * gradient.norm()).item())


@given(vectors(2))
def test_a_vector_is_its_two_parts(found):
    vector, direction = found
    part = across(vector, direction)
    assert abs(torch.dot(part, direction).item()) <= 1e-12 * (vector.norm() * direction.norm()).item()
    along_it = (torch.dot(vector, direction) / direction.norm()).item()
    assert close(part.norm().item() ** 2 + along_it**2, vector.norm().item() ** 2)
    assert not across(vector, vector).any()


@given(vectors(2), LENGTHS, st.floats(0, 1), st.integers(0, 2**8 - 1))
def test_asam_has_norm_rho_in_scaled_weights(found, rho, eta, bits):
    weights, gradient = found
    scaled = torch.tensor([bool(bits >> place & 1) for place in range(len(weights))])
    scale = torch.where(scaled, weights.abs() + eta, 1.0)
    moved = adaptive_ascent(weights, gradient, rho, eta, scaled)
    if (scale * gradient).norm() > 1e-6:
        assert close(torch.where(scale > 0, moved / scale, 0.0).norm().item(), rho)
        best = torch.dot(gradient, moved).item()  # over all e with ||T^-1 e|| = rho
        assert close(best, rho * (scale * gradient).norm().item())


@given(vectors(2), st.floats(1e-2, 1e2))
def test_asam_does_not_see_how_a_network_is_scaled(found, factor):
    """Where the loss is the same at c w, g is g / c there and e is c e; eta aside."""
    weights, gradient = found
    everywhere = torch.ones(len(weights), dtype=torch.bool)
    if (weights * gradient).norm() > 1e-6:
        moved = adaptive_ascent(weights, gradient, 0.5, 0.0, everywhere)
        scaled = adaptive_ascent(factor * weights, gradient / factor, 0.5, 0.0, everywhere)
        torch.testing.assert_close(scaled, factor * moved, rtol=1e-9, atol=0)


@given(vectors(1), LENGTHS, st.integers(0, 2**31))
def test_a_random_direction_has_the_norm_and_the_support_of_the_gradient(found, rho, seed):
    (gradient,) = found
    moved = random_ascent(gradient, gradient, rho, torch.Generator().manual_seed(seed))
    assert close(moved.norm().item(), rho)
    assert torch.equal(moved != 0, gradient != 0)


@given(vectors(2), st.floats(0, 2))
def test_gsam_leaves_what_is_along_the_perturbed_gradient(found, alpha):
    first, second = found
    gradient = surrogate(first, second, alpha)
    assert close(torch.dot(gradient, second).item(), (second.norm() ** 2).item())
    assert close((gradient - second).norm().item(), (alpha * across(first, second)).norm().item())


@given(vectors(3), st.floats(0.01, 2))
def test_looksam_adds_alpha_times_the_norm_of_the_gradient(found, alpha):
    first, second, later = found
    kept = sharp_part(first, second)
    if kept.norm() > 1e-9 * second.norm():
        added = reused(later, kept, alpha) - later
        assert added.norm().item() == pytest.approx(alpha * later.norm().item(), rel=1e-6)
    assert torch.equal(reused(later, sharp_part(first, first), alpha), later)

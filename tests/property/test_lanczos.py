"""Lanczos on random symmetric matrices, against a dense eigensolver."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrepro.probes.curvature.lanczos import eigenpairs, lanczos

VALUES = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 3))


@st.composite
def matrices(draw, values=VALUES):
    """A symmetric matrix with a drawn spectrum: eigenvalues may repeat, be 0, or all be negative."""
    spectrum = torch.tensor(draw(st.lists(values, min_size=1, max_size=25)), dtype=torch.float64)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    turn = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum), generator=generator, dtype=torch.float64)).Q
    matrix = turn @ spectrum.diag() @ turn.T
    return (matrix + matrix.T) / 2, spectrum.sort().values


def all_of(matrix):
    size, generator = len(matrix), torch.Generator().manual_seed(1)
    return eigenpairs(lambda v: matrix @ v, size, list(range(size)), size, 0.0, generator)


def close(found, expected):
    return torch.allclose(found, expected, rtol=1e-9, atol=1e-9 * max(1e-300, float(expected.abs().max())))


@given(matrices())
def test_the_whole_spectrum(pair):
    matrix, spectrum = pair
    found = all_of(matrix)
    assert close(found.values, spectrum)
    assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(len(spectrum), dtype=torch.float64), atol=1e-10)


@given(matrices(st.sampled_from([-2.0, 0.0, 1.0, 5.0])))
def test_repeated_eigenvalues_and_low_rank(pair):
    matrix, spectrum = pair
    assert close(all_of(matrix).values, spectrum)


@given(matrices(st.floats(-50, -0.5)))
def test_negative_definite_matrices(pair):
    """The largest value is the one nearest to 0, not that of the largest size."""
    matrix, spectrum = pair
    generator = torch.Generator().manual_seed(1)
    found = eigenpairs(lambda v: matrix @ v, len(matrix), [-1, 0], len(matrix), 0.0, generator)
    assert close(found.values, spectrum[[-1, 0]])
    assert found.residuals.max() < 1e-6


@given(matrices(), st.integers(1, 25))
def test_the_basis_stays_orthonormal_and_gives_the_matrix(pair, steps):
    matrix, _ = pair
    start = torch.ones(len(matrix), dtype=torch.float64)
    found = lanczos(lambda v: matrix @ v, start, steps, torch.Generator().manual_seed(1), lambda _: False)
    m = min(steps, len(matrix))
    assert found.basis.shape == (m, len(matrix))
    assert torch.allclose(found.basis @ found.basis.T, torch.eye(m, dtype=torch.float64), atol=1e-12)
    inner = found.diagonal.diag() + found.beside[:-1].diag(1) + found.beside[:-1].diag(-1)
    scale = max(1.0, float(matrix.abs().max()))
    assert torch.allclose(found.basis @ matrix @ found.basis.T, inner, atol=1e-8 * scale)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_the_measured_residual_is_a_bound(seed):
    """There is an eigenvalue within ||H v - lambda v|| of each found one, also after too few steps."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(60, 60, generator=generator, dtype=torch.float64)
    matrix = matrix + matrix.T
    found = eigenpairs(lambda v: matrix @ v, 60, [-1, -2, 0], 12, 0.0, generator)
    exact = torch.linalg.eigvalsh(matrix)
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert (exact - value).abs().min() <= residual * value.abs() * (1 + 1e-9)


def test_it_stops_when_the_wanted_ones_are_settled():
    matrix = torch.cat([torch.linspace(0, 1, 300), torch.tensor([50.0])]).double().diag()
    found = eigenpairs(lambda v: matrix @ v, 301, [-1], 100, 1e-6, torch.Generator().manual_seed(1))
    assert found.values.tolist() == pytest.approx([50])
    assert found.steps < 20 and found.residuals[0] < 1e-6

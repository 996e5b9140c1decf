import math

import pytest
import torch

from seqrepro.errors import InputError
from seqrepro.training.contrastive import info_nce


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("rows", [2, 3, 50])
def test_equal_vectors_tell_nothing(rows):
    same = torch.ones(rows, 4, dtype=torch.float64)
    assert info_nce(same, same).item() == pytest.approx(math.log(2 * rows - 1), rel=1e-12)


def test_two_rows_by_hand():
    """Similarity 1 with oneself and one's partner, 0 with the other row."""
    one = torch.eye(2, dtype=torch.float64)
    assert info_nce(one, one).item() == pytest.approx(math.log(1 + 2 / math.e), rel=1e-12)
    assert info_nce(one, one, 0.1).item() == pytest.approx(math.log(1 + 2 * math.exp(-10)), rel=1e-9)
    assert info_nce(one, one.flip(0)).item() == pytest.approx(math.log(2 + math.e), rel=1e-12)


def test_the_views_and_the_rows_have_no_order(views):
    first, second = views
    loss = info_nce(first, second, 0.7)
    torch.testing.assert_close(info_nce(second, first, 0.7), loss, rtol=1e-13, atol=0)
    order = torch.tensor([3, 1, 0, 2, 6, 5, 4])
    torch.testing.assert_close(info_nce(first[order], second[order], 0.7), loss, rtol=1e-13, atol=0)
    assert not torch.isclose(info_nce(first[order], second, 0.7), loss)


def test_the_cosine_knows_no_lengths(views):
    first, second = views
    lengths = torch.linspace(0.1, 9, 7, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        info_nce(first * lengths, second, 0.5, cosine=True), info_nce(first, second, 0.5, cosine=True)
    )
    assert not torch.isclose(info_nce(first * lengths, second, 0.5), info_nce(first, second, 0.5))


def test_the_gradient_goes_through_both_views(views):
    views.requires_grad_()
    (gradient,) = torch.autograd.grad(info_nce(*views), views)
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().sum((1, 2)) > 0).all()


def test_small_temperatures_do_not_overflow():
    vectors = torch.randn(2, 20, 8, generator=torch.Generator().manual_seed(0)) * 50
    vectors.requires_grad_()
    loss = info_nce(*vectors, temperature=1e-3)
    (gradient,) = torch.autograd.grad(loss, vectors)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("shapes", [((3, 2), (4, 2)), ((1, 2), (1, 2))])
def test_views_that_do_not_fit(shapes):
    with pytest.raises(InputError, match=r"info_nce: views of shapes \[.*expected the same, and at least 2 rows"):
        info_nce(*map(torch.ones, shapes))

"""The kernels of fused Hydra attention for a GPU give what products and a cumsum give, and their gradients."""

import pytest
import torch

from seqrepro.models.attention.hydra_fused import gated_sum

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("shape", [(2, 1, 3), (3, 64, 64), (2, 130, 33), (1, 4096, 64)])
def test_the_kernels_agree_with_products_and_a_cumsum(shape):
    kernels = pytest.importorskip("seqrepro.models.attention.hydra_triton", exc_type=ImportError)
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(shape, generator=generator, dtype=torch.float64).cuda().requires_grad_() for _ in range(3)]
    towards = torch.randn(shape, generator=generator, dtype=torch.float64).cuda()
    found = []
    for product in (gated_sum(*inputs, kernels), inputs[0] * (inputs[1] * inputs[2]).cumsum(1)):
        found.append([product, *torch.autograd.grad(product, inputs, towards)])
    for fused, plain in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain, rtol=0, atol=1e-10)

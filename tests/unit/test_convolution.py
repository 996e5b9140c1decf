"""The short causal convolution beside torch's own."""

import pytest
import torch
from torch import nn

import made_data  # noqa: F401  (one thread)
from seqrepro.models.ssm.convolution import CausalConvolution

B, E = 3, 5


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(width, law="uniform"):
    convolution = CausalConvolution(E, width)
    convolution.draw(torch.Generator().manual_seed(2), law)
    return convolution.double()


@pytest.mark.parametrize("length", [1, 2, 9])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_it_is_torchs_grouped_convolution(width, length):
    """Loaded by name and shape; outputs and all gradients."""
    mine = made(width)
    theirs = nn.Conv1d(E, E, width, groups=E, padding=width - 1).double()
    theirs.load_state_dict(mine.state_dict())
    inputs = draw(B, length, E).requires_grad_()
    outputs = mine(inputs), theirs(inputs.mT)[..., :length].mT
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)
    gradients = (
        torch.autograd.grad(one.sin().sum(), [inputs, *own.parameters()])
        for one, own in zip(outputs, (mine, theirs), strict=True)
    )
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_segments_are_rows_of_their_own():
    convolution, inputs, lengths = made(4), draw(1, 12, E), [2, 1, 6, 3]
    segments = torch.tensor([7, 3, 9, 3]).repeat_interleave(torch.tensor(lengths))[None]
    alone = [convolution(one) for one in inputs.split(lengths, dim=1)]
    torch.testing.assert_close(convolution(inputs, segments), torch.cat(alone, 1), rtol=1e-12, atol=1e-12)


def test_steps_are_the_whole_row():
    convolution, inputs = made(4), draw(B, 9, E)
    buffer, outputs = convolution.start(B), []
    for t in range(9):
        output, buffer = convolution.step(inputs[:, t], buffer)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), convolution(inputs), rtol=1e-12, atol=1e-12)
    assert torch.equal(buffer, inputs[:, -3:])


def test_the_first_weights():
    """torch's own bound is 1 / sqrt(w) with one channel a group; of its kaiming law the fan counts all channels."""
    big = CausalConvolution(20000, 4)
    big.draw(torch.Generator().manual_seed(3))
    theirs = nn.Conv1d(20000, 20000, 4, groups=20000)
    for mine, own in ((big.weight, theirs.weight), (big.bias, theirs.bias)):
        assert mine.std().item() == pytest.approx(own.std().item(), rel=0.02)
        assert mine.abs().max() <= 0.5
    big.draw(torch.Generator().manual_seed(3), "kaiming")
    nn.init.kaiming_normal_(theirs.weight, mode="fan_out", nonlinearity="relu")
    assert big.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.02)
    assert not big.bias.any()

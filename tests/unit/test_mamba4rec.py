"""Mamba4Rec: sizes, first weights, what it sees, and history by history."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from made_data import GRADIENT, random_rows, sequences_of
from seqrepro.config.architectures.mamba4rec import Mamba4RecParameters
from seqrepro.data.splits import leave_one_out
from seqrepro.models.interfaces import build_sequential
from seqrepro.training.loop import Trainer

N_ITEMS = 25
SIZES = {"width": 8, "layers": 2, "state": 4, "convolution": 3, "expand": 2, "inner_width": 16, "dropout": 0.0}
MAMBA4REC = {"family": "mamba4rec", **SIZES, "step_bias": "as_coded", "max_length": 10}
ROWS = random_rows(20, N_ITEMS, seed=3, longest=16)  # some longer than the model sees


def made(seed=3, **changes):
    return build_sequential({**MAMBA4REC, **changes}, N_ITEMS, torch.Generator().manual_seed(seed))


def away(**changes):
    """In float64, away from its small initial weights."""
    network = made(**changes).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        network.items.weight[0].zero_()
    return network


@pytest.mark.parametrize(
    ("n_items", "layers", "count"),
    [
        (3_416, 1, 290_944),
        (3_416, 2, 363_072),
        (12_101, 1, 846_784),
        (12_101, 2, 918_912),
        (7_111, 1, 527_424),
        (7_111, 2, 599_552),
    ],
)
def test_the_number_of_parameters(n_items, layers, count):
    """At width 64 with 32 states: MovieLens-1M, Beauty and KuaiRand of TiM4Rec's authors."""
    parameters = Mamba4RecParameters(family="mamba4rec", layers=layers).canonical()
    model = build_sequential(parameters, n_items, torch.Generator())
    assert sum(weight.numel() for weight in model.parameters()) == count


def first_steps(step_bias):
    model = made(step_bias=step_bias, width=64, inner_width=256)
    inputs = model.norm(model.items(torch.arange(1, N_ITEMS + 1)[None]))
    mixer = model.blocks[0].mixer
    x = F.silu(mixer.convolution(mixer.projection(inputs).chunk(2, dim=-1)[0]))
    return mixer._selected(x)[0]


def test_the_first_steps():
    """All near ln 2 as coded, though Mamba's own are between 0.001 and 0.1."""
    coded, own = first_steps("as_coded"), first_steps("mamba")
    assert coded.min() > 0.68 and coded.max() < 0.71
    assert own.min() > 0.0009 and own.max() < 0.11
    assert own.max() / own.min() > 30


def test_a_single_layer_has_no_residual():
    """With a mixer that gives 0, the only layer forgets its inputs; two do not."""
    for layers, remembers in ((1, False), (2, True)):
        model = away(layers=layers)
        with torch.no_grad():
            for block in model.blocks:
                block.mixer.output.weight.zero_()
        states = model.hidden(torch.tensor([[1, 2, 3]]))[0]
        assert ((states[0] - states[1]).abs().max() > 1e-3) == remembers


def test_the_block_is_its_equations():
    model = away(layers=1)
    (block,), items = model.blocks, torch.tensor([[3, 1, 4, 1, 5]])

    def norm(x, own):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-12).sqrt() * own.weight + own.bias

    x = norm(model.items.weight[items], model.norm)
    u = norm(block.mixer(x), block.mixer_norm)
    forward = block.feed_forward
    inner = u @ forward.inner.weight.T + forward.inner.bias
    gelu = inner * (1 + torch.erf(inner / 2**0.5)) / 2
    expected = norm(gelu @ forward.output.weight.T + forward.output.bias + u, block.feed_forward_norm)
    torch.testing.assert_close(model.hidden(items), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_neither_padding_nor_what_follows_matters(layers):
    model = away(layers=layers)
    short, long = (
        model.hidden(torch.tensor([[1, 2, 3]])),
        model.hidden(torch.tensor([[1, 2, 3, 0, 0], [1, 2, 3, 4, 5]])),
    )
    for row in long:
        torch.testing.assert_close(row[:3], short[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_item_by_item(layers):
    """Histories of any length, with a state that does not grow; `score` sees the newest items only."""
    model, items = (
        away(layers=layers),
        torch.randint(1, N_ITEMS + 1, (3, 14), generator=torch.Generator().manual_seed(1)),
    )
    states, outputs = model.start(3), []
    for t in range(14):
        output, states = model.step(items[:, t], states)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), model.hidden(items), rtol=1e-11, atol=1e-12)
    assert sum(one.numel() for state in states for one in state.values()) == 3 * layers * 16 * (4 + 3 - 1)
    newest = model.hidden(items[:, -10:])[:, -1] @ model.item_table().T
    torch.testing.assert_close(model.score(sequences_of(items.tolist(), N_ITEMS)), newest, rtol=1e-11, atol=1e-12)


def test_scores_do_not_depend_on_other_rows():
    model = away()
    together = model.score(sequences_of(ROWS, N_ITEMS))
    alone = torch.cat([model.score(sequences_of([row], N_ITEMS)) for row in ROWS])
    torch.testing.assert_close(together, alone, rtol=1e-11, atol=1e-12)


def test_the_same_seed_gives_the_same_weights():
    torch.rand(7)
    one, same, other = (made(seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["blocks.0.mixer.convolution.weight"], other["blocks.0.mixer.convolution.weight"])
    assert not one["items.weight"][0].any()


@pytest.mark.parametrize("view", ["all_positions", "prefixes"])
def test_it_learns(view):
    """That an item is followed by the next one."""
    rows = [[(start + t) % N_ITEMS + 1 for t in range(9)] for start in range(N_ITEMS)]
    recipe = GRADIENT | {"view": view, "budget": GRADIENT["budget"] | {"epochs": 12, "patience": 12}}
    config = {"model": MAMBA4REC, "training": recipe}
    trainer = Trainer(config, leave_one_out(sequences_of(rows, N_ITEMS)), 1, torch.device("cpu"), None)
    trainer.fit(lambda log: None)
    losses = [line["train_loss"] for line in trainer.progress.log]
    assert losses[-1] < losses[0] - 0.5


def test_bad_parameters_are_refused():
    for wrong in ({"layers": 0}, {"step_bias": "zero"}, {"dropout": 1.0}, {"state": 0}):
        with pytest.raises(ValidationError):
            Mamba4RecParameters.model_validate({**MAMBA4REC, **wrong})

"""A GPU computes what the CPU computes: batches, negatives, losses, gradients, scores, ranks.

In float64 the two differ by the order of sums alone; in float32 by rounding; tf32 and bf16 only by the rounding of the
factors of products. All of it runs while operations without a deterministic form are an error.
"""

import pytest
import torch

from made_data import random_rows, sequences_of
from made_steps import (
    N_ITEMS,
    NAMES,
    OBJECTIVES,
    STILL,
    VIEWS,
    distance,
    gradients,
    made_batch,
    made_model,
    objective_of,
)
from seqrepro.data.splits import leave_one_out
from seqrepro.evaluation.ranking import rank_all
from seqrepro.training import negatives, softmax
from seqrepro.training.precision import add_gradients
from seqrepro.training.randomness import Randomness

pytestmark = pytest.mark.gpu
RANKS = ("masked_best", "masked_worst", "unmasked_best", "unmasked_worst", "sampled_best", "sampled_worst")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 5e-5)], ids=["f64", "f32"])
def test_losses_and_gradients_are_those_of_the_cpu(objective, view, dtype, tolerance):
    """The bound in float32 is far below what TF32 would miss."""
    loss, gradient = gradients(objective, view, "cuda", dtype=dtype)
    expected_loss, expected = gradients(objective, view, "cpu", dtype=dtype)
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    assert distance(gradient, expected) < tolerance


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=NAMES)
def test_losses_and_gradients_in_other_precisions_are_near_fp32(objective, precision):
    loss, gradient = gradients(objective, device="cuda", precision=precision)
    expected_loss, expected = gradients(objective, device="cuda")
    assert loss == pytest.approx(expected_loss, rel=5e-3)
    assert distance(gradient, expected) < 0.05


def test_precisions_are_what_their_names_say():
    """Relative errors of a product of 1024 x 1024: mantissas of 24, 11 and 8 bits."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 1024, 1024, generator=generator)
    exact = left.double() @ right.double()
    errors = {}
    for precision in ("fp32", "tf32", "bf16"):
        seen = []

        def loss(seen=seen):
            seen.append(left.cuda() @ right.cuda())
            return torch.zeros((), device="cuda", requires_grad=True) * 1

        add_gradients(loss, precision, torch.device("cuda"))
        errors[precision] = distance(seen[0].cpu().double(), exact)
    assert errors["fp32"] < 1e-5
    assert 3e-5 < errors["tf32"] < errors["bf16"] < 1e-2
    assert distance((left.cuda() @ right.cuda()).cpu().double(), exact) < 1e-5  # outside of steps


@pytest.mark.parametrize("objective", OBJECTIVES, ids=NAMES)
@pytest.mark.parametrize("elements", [1, 5000])
def test_the_size_of_chunks_does_not_matter(objective, elements, monkeypatch):
    loss, gradient = gradients(objective, device="cuda", dtype=torch.float64)
    monkeypatch.setitem(softmax.CHUNK_ELEMENTS, "cuda", elements)
    monkeypatch.setitem(negatives.CHUNK_ELEMENTS, "cuda", elements)
    again, in_chunks = gradients(objective, device="cuda", dtype=torch.float64)
    assert again == pytest.approx(loss, rel=1e-12)
    assert distance(in_chunks, gradient) < 1e-12


@pytest.mark.parametrize("view", VIEWS)
def test_batches_targets_and_negatives_are_the_same(view):
    model, found = made_model(), []
    for device in ("cpu", "cuda"):
        batch = made_batch(view, device)
        _, targets = batch.representations(model.to(device))
        drawn = [
            negatives.draw(exclude, model, batch, targets, 5, Randomness(1).negatives)
            for exclude in ("target", "history")
        ]
        assert all(tensor.device.type == device for tensor in (targets, *drawn))
        found.append([batch.rows.values.cpu(), batch.rows.offsets.cpu(), targets.cpu(), *(one.cpu() for one in drawn)])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*found, strict=True))


def ranks(device, dtype, block=None):
    """Ranks of the test targets of 700 rows, also among saved negatives."""
    split = leave_one_out(sequences_of(random_rows(700, N_ITEMS, seed=8), N_ITEMS))
    histories, targets = split.histories["test"].to(torch.device(device)), split.targets["test"].to(device)
    saved = torch.randint(1, N_ITEMS + 1, (len(targets), 30), generator=torch.Generator().manual_seed(2))
    model = made_model(device, dtype).eval()
    return rank_all(model, histories, targets, saved.to(device), likelihood=True, block=block)


@pytest.mark.parametrize("block", [None, 13])
def test_ranks_in_float64_are_the_same(block):
    found, expected = ranks("cuda", torch.float64, block), ranks("cpu", torch.float64)
    for name in (*RANKS, "target_in_history"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    torch.testing.assert_close(found.nll, expected.nll, rtol=1e-10, atol=0)


def test_ranks_in_float32_differ_at_near_ties_only():
    found, expected = ranks("cuda", torch.float32), ranks("cpu", torch.float32)
    torch.testing.assert_close(found.nll, expected.nll, rtol=1e-5, atol=1e-5)
    for name in RANKS:
        apart = (getattr(found, name) - getattr(expected, name)).abs()
        assert apart.max() <= 1, name
        assert (apart > 0).float().mean() < 0.01, name


def test_attention_with_dropout_has_deterministic_gradients(gpu):
    """The kernels for widths that are multiples of 8, with attention dropout, in fp32 and bf16."""
    parameters = STILL | {"width": 128, "heads": 2, "attention_dropout": 0.3, "dropout": 0.3}
    batch, objective = made_batch(device="cuda"), objective_of({"name": "cross_entropy"})
    for precision in ("fp32", "bf16"):
        found = []
        for _ in range(2):
            model, randomness = made_model("cuda", parameters=parameters), Randomness(3)
            add_gradients(lambda model=model, draws=randomness: objective.loss(model, batch, draws), precision, gpu)
            found.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
        assert torch.equal(*found), precision

"""SSD4Rec: sizes, both ways, hidden items, and the recipes that can train it."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from made_data import GRADIENT, random_rows, rows_of, sequences_of
from seqrepro.config.architectures.sasrec import SASRecParameters
from seqrepro.config.architectures.ssd4rec import SSD4RecParameters
from seqrepro.config.fit import misfit
from seqrepro.config.training import Recipe
from seqrepro.data.splits import leave_one_out
from seqrepro.models.interfaces import build_sequential
from seqrepro.models.ssd4rec import turned_round
from seqrepro.training.checkpoint import CheckpointStore, Identity
from seqrepro.training.loop import Trainer
from seqrepro.training.views import make_hiding_view

N_ITEMS = 25
MASK = N_ITEMS + 1
SIZES = {"width": 8, "layers": 2, "state": 4, "head_width": 4, "convolution": 3, "expand": 2, "inner_width": 16}
SSD4REC = {
    "family": "ssd4rec",
    **SIZES,
    "backward": 0.5,
    "norm_embedding": True,
    "dropout": 0.0,
    "max_length": 10,
}
RECIPE = GRADIENT | {"view": "prefixes", "hidden_share": 0.3}
ROWS = random_rows(20, N_ITEMS, seed=3, longest=16)  # some longer than the model sees


def away(**changes):
    """In float64, away from its small initial weights."""
    network = build_sequential({**SSD4REC, **changes}, N_ITEMS, torch.Generator().manual_seed(3)).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return network


@pytest.mark.parametrize(
    ("n_items", "layers", "norm", "count"),
    [(3_416, 2, True, 2_804_416), (12_101, 1, False, 4_063_200), (7_111, 2, True, 3_750_336)],
)
def test_the_number_of_parameters(n_items, layers, norm, count):
    """As its authors run it on MovieLens-1M, Beauty and KuaiRand."""
    parameters = SSD4RecParameters(family="ssd4rec", layers=layers, norm_embedding=norm).canonical()
    model = build_sequential(parameters, n_items, torch.Generator())
    assert sum(weight.numel() for weight in model.parameters()) == count


def test_rows_are_turned_round_one_by_one():
    lengths = torch.tensor([3, 1, 5])
    real = torch.arange(5) < lengths[:, None]
    assert turned_round(real)[real].tolist() == [2, 1, 0, 0, 4, 3, 2, 1, 0]


def packed(model, rows):
    """The representation at the newest items, computed as the authors do: one row, with segments."""
    lengths = torch.tensor(list(map(len, rows)))
    segments = torch.arange(len(rows)).repeat_interleave(lengths)[None]
    ends = lengths.cumsum(0)
    flip = torch.cat([torch.arange(int(end) - 1, int(end - n) - 1, -1) for end, n in zip(ends, lengths, strict=True)])
    x = model.norm(model.items(torch.tensor([[item for row in rows for item in row]])))
    for block in model.blocks:
        both = block.mixer(x, segments) + block.backward_weight * block.mixer(x[:, flip], segments)
        h = block.mixer_norm(both + x)
        x = block.feed_forward_norm(block.feed_forward(h) + h)
    return x[0, ends - 1]


def test_padded_rows_are_packed_segments():
    """And segments in another order give outputs in that order."""
    model, rows = away(), [row[-10:] for row in ROWS]
    found = model.last_hidden(sequences_of(ROWS, N_ITEMS))
    torch.testing.assert_close(found, packed(model, rows), rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(packed(model, rows[::-1]).flip(0), found, rtol=1e-10, atol=1e-11)


def test_a_single_item_goes_both_ways():
    block, inputs = away().blocks[0], torch.randn(1, 1, 8, dtype=torch.float64)
    seen = []
    block.mixer_norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    block(inputs, torch.zeros(1, 1, dtype=torch.int64))
    torch.testing.assert_close(seen[0], 1.5 * block.mixer(inputs) + inputs, rtol=1e-12, atol=1e-12)


def test_with_equal_weights_both_ways_are_one():
    """F + G of the reversed row is that of the row."""
    block, inputs = away(backward=1.0).blocks[0], torch.randn(1, 6, 8, dtype=torch.float64)
    turned, seen = torch.arange(5, -1, -1)[None], []
    block.mixer_norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    for rows in (inputs, inputs.flip(1)):
        block(rows, turned)
        seen[-1] = seen[-1] - rows
    torch.testing.assert_close(*seen, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("backward", "causal"), [(0.0, True), (0.5, False)])
def test_it_is_causal_only_without_the_way_back(backward, causal):
    model = away(backward=backward)
    before, after = model.hidden(torch.tensor([[1, 2, 3, 4]])), model.hidden(torch.tensor([[1, 2, 3, 9]]))
    assert ((before - after)[:, :3].abs().max() < 1e-12) == causal


def test_hidden_items_are_row_0():
    model = away()
    shown = model.hidden(torch.tensor([[3, MASK, 5]]))
    with torch.no_grad():
        model.items.weight[7] = model.items.weight[0]
    torch.testing.assert_close(shown, model.hidden(torch.tensor([[3, 7, 5]])), rtol=1e-12, atol=1e-12)
    model.hidden(torch.tensor([[3, MASK, 5]]))[:, -1].sum().backward()
    assert model.items.weight.grad[0].abs().max() > 0


def test_gradients_are_finite_at_the_first_weights():
    model = build_sequential(SSD4REC, N_ITEMS, torch.Generator().manual_seed(3)).train()
    model.last_hidden(sequences_of(ROWS, N_ITEMS)).square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def view(share, seed=1, rows=ROWS):
    return make_hiding_view(sequences_of(rows, N_ITEMS), share, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_what_is_hidden(share):
    """Any item of a history, the newest too; never the target, and nothing beside the mask changes."""
    examples = view(share)
    batch = rows_of(examples.batch(torch.arange(len(examples))).rows)
    prefixes = [row[:end] for row in ROWS for end in range(2, len(row) + 1)]
    assert [row[-1] for row in batch] == [row[-1] for row in prefixes]
    pairs = [
        pair for row, whole in zip(batch, prefixes, strict=True) for pair in zip(row[:-1], whole[:-1], strict=True)
    ]
    assert all(shown in (item, MASK) for shown, item in pairs)
    assert sum(shown == MASK for shown, _ in pairs) / len(pairs) == pytest.approx(share, abs=0.05)
    newest = [row[-2] == MASK for row in batch]
    assert any(newest) == (share > 0) and all(newest) == (share == 1)


def test_masks_belong_to_the_batch_and_to_the_seed():
    examples = view(0.3)
    one, other = (examples.batch(torch.arange(len(examples))).rows.values for _ in range(2))
    assert not torch.equal(one, other)
    assert torch.equal(one, view(0.3).batch(torch.arange(len(examples))).rows.values)


def trainer(store=None, seed=1, **changes):
    split = leave_one_out(sequences_of(ROWS, N_ITEMS))
    return Trainer({"model": SSD4REC, "training": RECIPE | changes}, split, seed, torch.device("cpu"), store)


class Killed(Exception):
    """Raised in the place of a kill."""


def test_a_resumed_training_is_the_one_that_was_not_killed(tmp_path):
    whole = trainer()
    whole.fit(lambda log: None)
    identity = Identity("c", "d", "e")

    def kill(log):
        if len(log) == 2:
            raise Killed

    with pytest.raises(Killed):
        trainer(CheckpointStore(tmp_path, identity)).fit(kill)
    resumed = trainer(CheckpointStore(tmp_path, identity))
    resumed.fit(lambda log: None)
    assert all(torch.equal(one, resumed.model.state_dict()[name]) for name, one in whole.model.state_dict().items())
    losses = [[line["train_loss"] for line in one.progress.log] for one in (whole, resumed)]
    assert losses[0] == losses[1]


def test_it_learns():
    rows = [[(start + t) % N_ITEMS + 1 for t in range(9)] for start in range(N_ITEMS)]
    budget = GRADIENT["budget"] | {"epochs": 8, "patience": 8}
    config = {"model": SSD4REC, "training": RECIPE | {"budget": budget, "hidden_share": 0.05}}
    own = Trainer(config, leave_one_out(sequences_of(rows, N_ITEMS)), 1, torch.device("cpu"), None)
    own.fit(lambda log: None)
    losses = [line["train_loss"] for line in own.progress.log]
    assert losses[-1] < losses[0] - 0.5


def recipe(**changes):
    return TypeAdapter(Recipe).validate_python(RECIPE | changes)


def test_recipes_that_fit():
    own = SSD4RecParameters.model_validate(SSD4REC)
    assert misfit(own, recipe()) == "" == misfit(own, recipe(hidden_share=0.0))
    assert misfit(own, recipe(view="all_positions", hidden_share=0.0)) == (
        "found view all_positions; expected prefixes for ssd4rec, which predicts behind the newest item only"
    )
    assert misfit(SASRecParameters(family="sasrec"), recipe()) == (
        "found hidden_share 0.3; expected 0 for all but ssd4rec, which has a mask"
    )


def test_hiding_needs_prefixes_and_cross_entropy():
    for wrong in ({"view": "all_positions"}, {"objective": {"name": "bce", "negatives": 1, "exclude": "target"}}):
        with pytest.raises(ValidationError, match="expected the view prefixes and the objective cross_entropy"):
            recipe(**wrong)


def test_bad_parameters_are_refused():
    with pytest.raises(ValidationError, match="2 x width 8 is not a multiple of head_width 3"):
        SSD4RecParameters.model_validate({**SSD4REC, "head_width": 3})

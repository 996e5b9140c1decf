"""No padding work: groups of similar length compute what the fully padded matrix computes, in far fewer positions.

Values and gradients in float64 without dropout, for what trains (both views) and what scores; the number of positions
that are computed, on lengths like those of Beauty. With inputs of length n_u cut to L, padding to L computes L a row,
groups compute the longest row of the group a row, and sum of n_u would be none too many.

Shapes: B rows, L length, U users, V items.
"""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from made_data import SASREC, random_rows, sequences_of
from seqrepro.data.sequences import LENGTH_GROUPS, length_groups
from seqrepro.data.synthetic.look_alike import LIKE, length_law
from seqrepro.models.interfaces import SequentialModel, build_sequential
from seqrepro.training.objectives import cross_entropy
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import make_view

N_ITEMS = 25
ROWS = random_rows(60, N_ITEMS, seed=2, longest=60)  # 3 to 60 items: six of the seven groups
WINDOWS = (50, 7)
VIEWS = ("all_positions", "prefixes")


def network(window: int) -> SequentialModel:
    """SASRec in float64, training without dropout, away from its small initial weights."""
    changes = {"max_length": window, "dropout": 0.0, "attention_dropout": 0.0}
    model = build_sequential(SASREC | changes, N_ITEMS, torch.Generator().manual_seed(3)).double()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        model.items.weight[0].zero_()
    return model


def padded_rows(rows: list[list[int]], width: int) -> Tensor:
    """The newest `width` items of each row, padded on the right to the full width with 0."""
    padded = torch.zeros(len(rows), width, dtype=torch.int64)
    for index, row in enumerate(rows):
        shown = torch.tensor(row[-width:], dtype=torch.int64)
        padded[index, : len(shown)] = shown
    return padded


def padded_all_positions(model: SequentialModel) -> Tensor:
    padded = padded_rows(ROWS, model.max_length + 1)
    logits = model.hidden(padded[:, :-1]) @ model.item_table()[1:].T
    return F.cross_entropy(logits.flatten(0, 1), padded[:, 1:].flatten() - 1, ignore_index=-1)


def padded_prefixes(model: SequentialModel) -> Tensor:
    histories = [row[:end] for row in ROWS for end in range(1, len(row))]
    targets = torch.tensor([item for row in ROWS for item in row[1:]])
    return F.cross_entropy(padded_scores(model, histories)[:, 1:], targets - 1)


def padded_scores(model: SequentialModel, histories: list[list[int]]) -> Tensor:
    last = torch.tensor([min(len(row), model.max_length) - 1 for row in histories])
    hidden = model.hidden(padded_rows(histories, model.max_length))
    return hidden[torch.arange(len(histories)), last] @ model.item_table().T


PADDED = {"all_positions": padded_all_positions, "prefixes": padded_prefixes}


def gradients(model: SequentialModel, value: Tensor) -> dict[str, Tensor]:
    found = torch.autograd.grad(value, list(model.parameters()))
    return dict(zip(dict(model.named_parameters()), found, strict=True))


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Relative to the largest element of each tensor."""
    for name, value in expected.items():
        bound = 1e-12 * float(value.detach().abs().max())
        torch.testing.assert_close(found[name], value, rtol=0, atol=bound, msg=f"{name}: not within {bound:.1e}")


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("view", VIEWS)
def test_training_equals_the_padded_matrix(view, window):
    model = network(window)
    examples = make_view(view, sequences_of(ROWS, N_ITEMS))
    batch = examples.batch(torch.arange(len(examples)))
    grouped, padded = cross_entropy.CrossEntropy().loss(model, batch, Randomness(0)), PADDED[view](model)
    torch.testing.assert_close(grouped, padded, rtol=1e-12, atol=0)
    assert_same(gradients(model, grouped), gradients(model, padded))


@pytest.mark.parametrize("window", WINDOWS)
def test_scoring_equals_the_padded_matrix(window):
    model = network(window)
    grouped, padded = model.score(sequences_of(ROWS, N_ITEMS)), padded_scores(model, ROWS)
    assert_same({"scores": grouped}, {"scores": padded})
    weights = torch.linspace(-1, 1, padded.numel(), dtype=padded.dtype).view_as(padded)
    assert_same(gradients(model, (grouped * weights).sum()), gradients(model, (padded * weights).sum()))


class Counter:
    """Counts the positions that a network is asked for."""

    def __init__(self, model: SequentialModel) -> None:
        self.positions, self.calls, compute = 0, 0, model.hidden

        def hidden(padded: Tensor) -> Tensor:
            self.positions += padded.numel()
            self.calls += 1
            return compute(padded)

        model.hidden = hidden


def counted(lengths: Tensor) -> int:
    """The positions of the groups: the longest row of each, for every row of it."""
    return sum(len(rows) * int(lengths[rows].max()) for rows in length_groups(lengths))


@pytest.mark.parametrize("window", WINDOWS)
def test_what_is_counted_is_what_is_computed(window):
    model, sequences = network(window), sequences_of(ROWS, N_ITEMS)
    lengths = sequences.lengths
    for view, inputs in (
        ("all_positions", (lengths - 1).clamp(max=window)),
        ("prefixes", torch.cat([torch.arange(1, int(length)) for length in lengths]).clamp(max=window)),
    ):
        counter, examples = Counter(model), make_view(view, sequences)
        examples.batch(torch.arange(len(examples))).representations(model)
        assert counter.positions == counted(inputs) < len(inputs) * window, view
    counter = Counter(model)
    model.score(sequences)
    assert counter.positions == counted(lengths.clamp(max=window))


def like_beauty() -> Tensor:
    """Lengths [22363] of whole sequences, from the law fitted to Beauty."""
    law = length_law(LIKE["beauty"]["lengths"], items=12_101, repeats=False)
    return torch.from_numpy(np.random.default_rng(0).choice(len(law), size=22_363, p=law))


def test_positions_of_an_epoch_on_lengths_like_beautys():
    """Window 50, two items held out, batches of 256 users: 1.35 positions a target, where padding takes 8.75."""
    lengths = like_beauty()
    assert float(lengths.double().mean()) == pytest.approx(198_502 / 22_363, rel=0.01)
    inputs = (lengths - 3).clamp(max=50)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    computed = sum(counted(batch) for batch in inputs[order].split(256))
    assert (int(inputs.sum()), computed, 50 * len(inputs)) == (127_847, 173_110, 1_118_150)
    assert computed < 1.4 * int(inputs.sum()) < 4 * int(inputs.sum()) < 50 * len(inputs)


def test_positions_of_prefixes_and_of_scoring_on_lengths_like_beautys():
    """A prefix a target computes its whole history anew: padded to the window, 51 positions a target."""
    lengths = like_beauty()
    prefixes = torch.cat([torch.arange(1, int(length) - 2) for length in lengths]).clamp(max=50)
    assert (int(prefixes.sum()), counted(prefixes), 50 * len(prefixes)) == (1_120_780, 1_506_854, 6_576_700)
    histories = (lengths - 1).clamp(max=50)
    assert (int(histories.sum()), counted(histories), 50 * len(histories)) == (172_257, 223_822, 1_118_150)


@pytest.mark.parametrize("seed", range(5))
def test_a_row_is_in_one_group_and_no_group_is_mostly_padding(seed):
    """Beyond the first group, whose rows have at most 4 items, a row fills more than half of its width."""
    lengths = torch.randint(1, 129, (300,), generator=torch.Generator().manual_seed(seed))
    groups = list(length_groups(lengths))
    assert sorted(torch.cat(groups).tolist()) == list(range(300))
    for rows in groups:
        longest = int(lengths[rows].max())
        assert longest <= LENGTH_GROUPS[0] or int(lengths[rows].min()) > longest / 2
    assert [int(lengths[rows].max()) for rows in groups] == sorted(int(lengths[rows].max()) for rows in groups)

from itertools import pairwise

import pytest
import torch
from scipy import stats

from made_data import SASREC, random_rows, sequences_of
from seqrepro.data.splits import leave_one_out
from seqrepro.errors import InputError
from seqrepro.models.interfaces import build_sequential
from seqrepro.training import negatives
from seqrepro.training.negatives import (
    Negatives,
    Proposal,
    items_outside,
    log_uniform_weights,
    make_proposal,
    other_items,
    rows_of_targets,
    scores_of,
    uniform_weights,
)
from seqrepro.training.views import Batch, all_positions, last_position
from tensor_sizes import LargestTensor

ROWS = [[3, 1, 3], [2, 5], [6, 5, 4, 3, 2]]
SMALLEST_P = 1e-4  # of a seeded goodness-of-fit test


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model(n_items, **changes):
    return build_sequential({**SASREC, **changes}, n_items, generator())


def p_value(drawn, weights):
    """Of the hypothesis that items are drawn in proportion to their weights [V+1]."""
    counts = torch.bincount(drawn.flatten(), minlength=len(weights)).double()
    possible = weights > 0
    assert counts[~possible].sum() == 0
    return stats.chisquare(counts[possible], drawn.numel() * weights[possible] / weights.sum()).pvalue


@pytest.mark.parametrize("target", [1, 4, 7])
def test_other_items_are_uniform_without_the_target(target):
    drawn = other_items(torch.full((500,), target), 7, 40, generator())
    weights = torch.ones(8, dtype=torch.float64)
    weights[[0, target]] = 0
    assert drawn.shape == (500, 40)
    assert p_value(drawn, weights) > SMALLEST_P


@pytest.mark.parametrize("owner", range(3))
def test_items_outside_are_uniform_without_the_row(owner):
    drawn = items_outside(sequences_of(ROWS, 8), torch.full((500,), owner), 40, generator())
    weights = torch.ones(9, dtype=torch.float64)
    weights[[0, *ROWS[owner]]] = 0
    assert p_value(drawn, weights) > SMALLEST_P


def test_each_target_avoids_its_own_row():
    rows = random_rows(50, 20, seed=3)
    owners = torch.randint(50, (400,), generator=generator(1))
    drawn = items_outside(sequences_of(rows, 20), owners, 30, generator())
    for owner, items in zip(owners.tolist(), drawn.tolist(), strict=True):
        assert not set(items) & set(rows[owner])
        assert set(items) <= set(range(1, 21))


def test_the_last_free_item_is_found():
    rows = sequences_of([[1, 2, 4, 5], [2, 3, 4, 5], [1, 2, 3, 4]], 5)
    drawn = items_outside(rows, torch.tensor([0, 1, 2, 1]), 3, generator())
    assert drawn.tolist() == [[3] * 3, [1] * 3, [5] * 3, [1] * 3]


def test_nothing_left_to_draw_is_an_error():
    with pytest.raises(InputError, match="negatives: user 2 has all 3 items; expected one to draw"):
        items_outside(sequences_of([[1, 2], [3, 1, 2, 2]], 3), torch.tensor([0]), 1, generator())
    with pytest.raises(InputError, match="negatives: 1 item in the catalogue; expected at least 2"):
        other_items(torch.tensor([1]), 1, 1, generator())


@pytest.mark.parametrize("view", [all_positions, last_position])
def test_the_row_of_each_target(view):
    """Rows with items of their own, some longer than the model sees: the target tells the row."""
    lengths = [2, 14, 3, 7, 40, 2]
    borders = torch.tensor([0, *lengths]).cumsum(0).tolist()
    rows = [list(range(start + 1, end + 1)) for start, end in pairwise(borders)]
    batch = Batch(sequences_of(rows, sum(lengths)), view)
    network = model(sum(lengths))
    _, targets = batch.representations(network)
    owners = rows_of_targets(network, batch)
    assert len(targets) == len(owners) > 5
    assert all(target in rows[owner] for target, owner in zip(targets.tolist(), owners.tolist(), strict=True))


@pytest.mark.parametrize("view", [all_positions, last_position])
def test_negatives_of_a_batch(view):
    rows = random_rows(40, 30, seed=5)
    batch, network = Batch(sequences_of(rows, 30), view), model(30)
    _, targets = batch.representations(network)
    owners = rows_of_targets(network, batch)
    outside_target, outside_history = (
        Negatives(name, 20, batch.rows).draw(network, batch, targets, generator()) for name in ("target", "history")
    )
    assert outside_target.shape == outside_history.shape == (len(targets), 20)
    assert not (outside_target == targets[:, None]).any()
    met = torch.tensor(
        [[item in rows[owner] for item in items] for owner, items in zip(owners, outside_target.tolist(), strict=True)]
    )
    assert met.any()  # the target alone is excluded there
    assert not any(set(items) & set(rows[owner]) for owner, items in zip(owners, outside_history.tolist(), strict=True))


@pytest.mark.parametrize("view", [all_positions, last_position])
def test_held_out_items_are_excluded_on_demand(view):
    """200 draws from the four items that a user never has: all of them are met, and no other."""
    split = leave_one_out(sequences_of([[7, 8, 9], [3, 1, 4, 5, 6], [2, 3, 4, 5, 1], [6, 1, 5, 2, 4]], 9))
    rows = split.train.select(torch.tensor([3, 1]))
    assert rows.users.tolist() == [4, 2]
    batch, network = Batch(rows, view), model(9)
    targets = batch.representations(network)[1]
    negatives = Negatives("history_and_held_out", 200, split.whole).draw(network, batch, targets, generator())
    expected = {4: {3, 7, 8, 9}, 2: {2, 7, 8, 9}}
    for user, items in zip(rows_of_targets(network, batch).tolist(), negatives.tolist(), strict=True):
        assert set(items) == expected[rows.users[user].item()]


@pytest.mark.parametrize("exclude", ["target", "history", "history_and_held_out"])
def test_only_the_given_generator_moves(exclude):
    batch, network = Batch(sequences_of(ROWS, 30), all_positions), model(30)
    targets = batch.representations(network)[1]
    before = torch.get_rng_state()
    one, other = generator(4), generator(4)
    negatives = Negatives(exclude, 9, batch.rows)
    first = negatives.draw(network, batch, targets, one)
    assert torch.equal(first, negatives.draw(network, batch, targets, other))
    assert not torch.equal(first, negatives.draw(network, batch, targets, one))
    assert torch.equal(torch.get_rng_state(), before)


WEIGHTS = torch.tensor([0, 5, 0, 1, 2.5, 0, 1e-2, 3, 0], dtype=torch.float64)


@pytest.mark.parametrize("weights", [uniform_weights(9), log_uniform_weights(9), WEIGHTS], ids=["u", "l", "w"])
def test_a_proposal_draws_what_it_says(weights):
    proposal = Proposal(weights)
    drawn = proposal.draw((300, 70), generator(2))
    assert drawn.shape == (300, 70)
    assert p_value(drawn, weights) > SMALLEST_P
    possible = weights.nonzero().flatten()
    expected = proposal.log_expected(possible, 70).exp()
    torch.testing.assert_close(expected, 70 * weights[possible] / weights.sum(), rtol=1e-14, atol=0)
    torch.testing.assert_close(expected.sum(), torch.tensor(70.0).double(), rtol=1e-14, atol=0)


def test_proposals_by_name():
    even = make_proposal("uniform", sequences_of([], 4))
    torch.testing.assert_close(even.log_expected(torch.tensor([[1, 4]]), 8).exp(), torch.full((1, 2), 2.0).double())
    law = make_proposal("log_uniform", sequences_of([], 1000)).log_expected(torch.arange(1, 1001), 1).exp()
    expected = (
        torch.arange(2, 1002).double().log().diff(prepend=torch.zeros(1).double()) / torch.tensor(1001.0).double().log()
    )
    torch.testing.assert_close(law, expected, rtol=1e-10, atol=0)
    assert (law.diff() < 0).all()
    popular = make_proposal("popularity", sequences_of([[1, 3, 3], [3, 1, 3]], 4))
    assert popular.log_expected(torch.tensor([1, 2, 3]), 6).exp().tolist() == pytest.approx([2, 0, 4])
    assert set(popular.draw((200,), generator()).tolist()) == {1, 3}


@pytest.mark.parametrize("weights", [[1.0, 1.0], [0.0, -1.0, 2.0], [0.0, 0.0]])
def test_weights_that_are_no_law(weights):
    with pytest.raises(InputError, match="proposal: expected weights of at least 0"):
        Proposal(torch.tensor(weights))


@pytest.fixture
def case():
    hidden = torch.randn(23, 4, generator=generator(7), dtype=torch.float64).requires_grad_()
    table = torch.randn(12, 4, generator=generator(8), dtype=torch.float64).requires_grad_()
    return hidden, table, torch.randint(1, 12, (23, 6), generator=generator(9))


def gathered(hidden, table, items):
    return (table[items] * hidden[:, None]).sum(2)


@pytest.mark.parametrize("rows", [1, 5, 23, 100])
def test_scores_of_some_items(case, rows, monkeypatch):
    monkeypatch.setitem(negatives.CHUNK_ELEMENTS, "cpu", rows * 24)
    weights = torch.randn(23, 6, generator=generator(1), dtype=torch.float64)
    found, expected = scores_of(*case), gathered(*case)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    for mine, theirs in zip(
        torch.autograd.grad(found, case[:2], weights), torch.autograd.grad(expected, case[:2], weights), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)


def test_scores_have_the_gradients_of_finite_differences(case):
    assert torch.autograd.gradcheck(scores_of, case)


def test_embeddings_of_all_negatives_never_exist_at_once(case, monkeypatch):
    monkeypatch.setitem(negatives.CHUNK_ELEMENTS, "cpu", 2 * 24)

    def largest(scores):
        with LargestTensor() as seen:
            scores(*case).sum().backward()
        return seen.elements

    assert largest(gathered) >= 23 * 6 * 4
    assert largest(scores_of) <= 23 * 6 + 1  # scores, and no embedding but those of two targets


def test_items_that_are_not_asked_for_get_no_gradient(case):
    hidden, table, _ = case
    items = torch.tensor([[3, 3, 7]]).expand(23, 3)
    (gradient,) = torch.autograd.grad(scores_of(hidden, table, items).sum(), table)
    assert gradient.abs().sum(1).nonzero().flatten().tolist() == [3, 7]
    torch.testing.assert_close(gradient[3], 2 * gradient[7])

"""Objectives against loops that go item by item, in float64: values and gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from made_data import sequences_of
from seqrepro.training import negatives as drawing
from seqrepro.training import softmax
from seqrepro.training.contrastive import info_nce
from seqrepro.training.masking import Masking
from seqrepro.training.negatives import items_outside
from seqrepro.training.objectives.bce import binary_cross_entropy
from seqrepro.training.objectives.gbce import generalised_bce
from seqrepro.training.objectives.sampled_softmax import sampled_softmax
from seqrepro.training.softmax import mean_cross_entropy

SEEDS = st.integers(0, 2**31)
ROWS = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=9), min_size=1, max_size=6)


@st.composite
def cases(draw):
    """Representations, a table, targets, and negatives that may hit the target."""
    n, k, width, n_items = (draw(st.integers(1, high)) for high in (6, 5, 4, 7))
    generator = torch.Generator().manual_seed(draw(SEEDS))
    scale = draw(st.sampled_from([0.1, 1.0, 5.0]))
    hidden = (scale * torch.randn(n, width, generator=generator, dtype=torch.float64)).requires_grad_()
    table = torch.randn(n_items + 1, width, generator=generator, dtype=torch.float64).requires_grad_()
    targets = torch.randint(1, n_items + 1, (n,), generator=generator)
    return hidden, table, targets, torch.randint(1, n_items + 1, (n, k), generator=generator)


def assert_same(found, expected, inputs):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for mine, theirs in zip(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-11)


def log_sigmoid(score):
    return -torch.log1p(torch.exp(-score)) if score > 0 else score - torch.log1p(torch.exp(score))


@given(cases())
def test_bce(case):
    hidden, table, targets, negatives = case
    total = 0.0
    for h, target, items in zip(hidden, targets.tolist(), negatives.tolist(), strict=True):
        total = total - log_sigmoid(h @ table[target])
        for item in items:
            total = total - log_sigmoid(-(h @ table[item]))
    assert_same(binary_cross_entropy(*case), total / len(targets), (hidden, table))


@given(cases(), st.sampled_from([0.01, 0.3, 1.0]))
def test_gbce(case, beta):
    hidden, table, targets, negatives = case
    terms = []
    for h, target, items in zip(hidden, targets.tolist(), negatives.tolist(), strict=True):
        terms.append(-beta * log_sigmoid(h @ table[target]))
        terms += [-log_sigmoid(-(h @ table[item])) for item in items]
    assert_same(generalised_bce(*case, beta), torch.stack(terms).mean(), (hidden, table))


@given(cases())
def test_gbce_at_beta_1_is_bce_over_the_number_of_terms(case):
    hidden, table, _, negatives = case
    expected = binary_cross_entropy(*case) / (negatives.shape[1] + 1)
    assert_same(generalised_bce(*case, 1.0), expected, (hidden, table))


@given(cases(), st.booleans(), st.sampled_from([0.05, 0.5, 1.0]), SEEDS)
def test_sampled_softmax(case, shared, temperature, seed):
    hidden, table, targets, negatives = case
    drawn = negatives[0] if shared else negatives
    generator = torch.Generator().manual_seed(seed)
    correction = torch.randn(drawn.shape, generator=generator, dtype=torch.float64)
    of_target = torch.randn(len(targets), generator=generator, dtype=torch.float64)
    total = 0.0
    for row, (h, target) in enumerate(zip(hidden, targets.tolist(), strict=True)):
        items = (drawn if shared else drawn[row]).tolist()
        subtracted = (correction if shared else correction[row]).tolist()
        right = h @ table[target] / temperature - of_target[row]
        others = [
            h @ table[item] / temperature - c for item, c in zip(items, subtracted, strict=True) if item != target
        ]
        total = total + torch.logsumexp(torch.stack([right, *others]), 0) - right
    found = sampled_softmax(hidden, table, targets, drawn, correction, of_target, temperature)
    assert_same(found, total / len(targets), (hidden, table))


@given(cases(), st.floats(-3, 3), st.booleans())
def test_sampled_softmax_over_all_items_is_the_full_one(case, constant, shared):
    """Each item drawn once: expected once, so nothing is subtracted; the same from all changes nothing either."""
    hidden, table, targets, _ = case
    everything = torch.arange(1, len(table))
    drawn = everything if shared else everything.expand(len(targets), -1)
    for c in (0.0, constant):
        expected = mean_cross_entropy(hidden, table, targets)
        assert_same(sampled_softmax(hidden, table, targets, drawn, c, c), expected, (hidden, table))


@given(cases(), st.integers(1, 100))
def test_chunked_cross_entropy(case, elements):
    hidden, table, targets, _ = case
    total = 0.0
    for h, target in zip(hidden, targets.tolist(), strict=True):
        total = total + torch.logsumexp(torch.stack([h @ e for e in table[1:]]), 0) - h @ table[target]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(softmax.CHUNK_ELEMENTS, "cpu", elements)
        found = mean_cross_entropy(hidden, table, targets)
    assert_same(found, total / len(targets), (hidden, table))


@given(cases(), st.integers(1, 100))
def test_scores_do_not_depend_on_the_chunks(case, elements):
    hidden, table, _, negatives = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(drawing.CHUNK_ELEMENTS, "cpu", elements)
        found = drawing.scores_of(hidden, table, negatives)
    expected = [[h @ table[item] for item in items] for h, items in zip(hidden, negatives.tolist(), strict=True)]
    assert_same(found.sin().sum(), torch.stack([torch.stack(row) for row in expected]).sin().sum(), (hidden, table))


@given(st.integers(2, 6), st.integers(1, 4), st.sampled_from([0.1, 0.5, 1.0]), st.booleans(), SEEDS)
def test_info_nce(rows, width, temperature, cosine, seed):
    views = torch.randn(2, rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    views.requires_grad_()
    vectors = [vector / vector.norm() if cosine else vector for view in views for vector in view]
    total = 0.0
    for i, one in enumerate(vectors):
        partner = vectors[(i + rows) % (2 * rows)]
        others = torch.stack([one @ other / temperature for j, other in enumerate(vectors) if j != i])
        total = total + torch.logsumexp(others, 0) - one @ partner / temperature
    assert_same(info_nce(*views, temperature, cosine), total / (2 * rows), (views,))


@given(st.lists(st.integers(2, 12), min_size=1, max_size=8), st.floats(0.01, 0.99), st.floats(0, 1), SEEDS)
def test_masks(lengths, ratio, last_share, seed):
    """Neither none nor all of a row, never padding, and either so many as the rule says or the last alone."""
    masked = Masking(ratio, last_share, torch.Generator().manual_seed(seed)).draw(
        torch.tensor(lengths), max(lengths) + 1
    )
    for n, row in zip(lengths, masked.tolist(), strict=True):
        assert not any(row[n:])
        assert 1 <= sum(row) <= n - 1
        count = min(max(round(n * ratio), 1), n - 1)
        assert sum(row) == count or row[:n] == [False] * (n - 1) + [True]


@given(ROWS, st.integers(7, 9), SEEDS)
def test_items_outside_a_row(rows, n_items, seed):
    """The draw at u is the floor(u n)-th of the n items that the row does not have."""
    owners, k = torch.arange(len(rows)).repeat(2), 5
    drawn = items_outside(sequences_of(rows, n_items), owners, k, torch.Generator().manual_seed(seed))
    numbers = torch.rand(len(owners), k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for owner, items, draws in zip(owners.tolist(), drawn.tolist(), numbers.tolist(), strict=True):
        free = [item for item in range(1, n_items + 1) if item not in rows[owner]]
        assert items == [free[math.floor(u * len(free))] for u in draws]

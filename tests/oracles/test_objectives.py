"""Objectives against scipy, against torch's own losses, and against the softmax that they estimate."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch.nn import functional as F

from seqrepro.training.contrastive import info_nce
from seqrepro.training.negatives import Proposal, uniform_weights
from seqrepro.training.objectives.bce import binary_cross_entropy
from seqrepro.training.objectives.gbce import beta_of, generalised_bce
from seqrepro.training.objectives.sampled_softmax import corrections, sampled_softmax
from seqrepro.training.softmax import mean_cross_entropy

T, K, V, D = 40, 6, 30, 5


@pytest.fixture(scope="module")
def case():
    generator = torch.Generator().manual_seed(12)
    hidden = torch.randn(T, D, generator=generator, dtype=torch.float64)
    table = torch.randn(V + 1, D, generator=generator, dtype=torch.float64)
    targets = torch.randint(1, V, (T,), generator=generator)
    drawn = torch.randint(1, V, (T, K), generator=generator)
    return hidden, table, targets, drawn + (drawn >= targets[:, None])


def as_numpy(case):
    hidden, table, targets, negatives = (tensor.numpy() for tensor in case)
    every = hidden @ table.T
    rows = np.arange(T)[:, None]
    return every[rows, targets[:, None]], every[rows, negatives], every


def test_cross_entropy_of_scipy(case):
    _, _, every = as_numpy(case)
    expected = -special.log_softmax(every[:, 1:], axis=1)[np.arange(T), case[2].numpy() - 1].mean()
    assert mean_cross_entropy(*case[:3]).item() == pytest.approx(expected, rel=1e-13)


def test_bce_of_torch(case):
    """SASRec's sum of two means, with one negative; the sum of 1 + k with more."""
    right, wrong, _ = map(torch.from_numpy, as_numpy(case))
    binary = F.binary_cross_entropy_with_logits
    one = binary(right, torch.ones_like(right)) + binary(wrong[:, :1], torch.zeros(T, 1).double())
    torch.testing.assert_close(binary_cross_entropy(*case[:3], case[3][:, :1]), one, rtol=1e-13, atol=0)
    more = binary(right, torch.ones_like(right)) + K * binary(wrong, torch.zeros_like(wrong))
    torch.testing.assert_close(binary_cross_entropy(*case), more, rtol=1e-13, atol=0)


def test_bce_with_the_constant_in_the_logarithm(case):
    """The published code adds 1e-24 to the probability; at ordinary scores that is nothing."""
    right, wrong, _ = as_numpy(case)
    expected = -(np.log(special.expit(right[:, 0]) + 1e-24) + np.log(1 - special.expit(wrong) + 1e-24).sum(1)).mean()
    assert binary_cross_entropy(*case).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_by_the_published_formula(case, calibration):
    alpha = K / (V - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    assert beta_of(K, V, calibration) == pytest.approx(beta, rel=1e-14)
    right, wrong, _ = as_numpy(case)
    direct = np.log(special.expit(right[:, 0]) ** beta) + np.log(1 - special.expit(wrong)).sum(1)
    expected = -direct.mean() / (K + 1)
    assert generalised_bce(*case, beta_of(K, V, calibration)).item() == pytest.approx(expected, rel=1e-12)


def test_gbce_by_a_logit_of_the_powered_probability(case):
    """Another way to compute it: the logit of sigma(s)^beta, put into torch's binary cross-entropy."""
    beta = beta_of(K, V, 0.75)
    right, wrong, _ = map(torch.from_numpy, as_numpy(case))
    logits = torch.cat([torch.logit(torch.sigmoid(right) ** beta), wrong], dim=1)
    labels = torch.zeros_like(logits).index_fill(1, torch.tensor(0), 1.0)
    torch.testing.assert_close(
        generalised_bce(*case, beta), F.binary_cross_entropy_with_logits(logits, labels), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("score", [-300.0, -80.0, -20.0, 0.0, 20.0, 80.0, 300.0])
@pytest.mark.parametrize("beta", [1e-3, 0.3, 1.0])
def test_gbce_in_float32_at_extreme_scores(score, beta):
    """The value of the formula in float64, where it can be computed at all, and a finite gradient."""
    hidden, table = torch.tensor([[score]], requires_grad=True), torch.tensor([[0.0], [1.0], [-1.0]])
    loss = generalised_bce(hidden, table, torch.tensor([1]), torch.tensor([[2]]), beta)
    positive = -beta * np.logaddexp(0.0, -score)
    negative = -np.logaddexp(0.0, -score)
    assert loss.item() == pytest.approx(-(positive + negative) / 2, rel=1e-6)
    if abs(score) < 100:
        direct = math.log((1 / (1 + math.exp(-score))) ** beta)
        assert positive == pytest.approx(direct, rel=1e-12, abs=1e-15)
    (gradient,) = torch.autograd.grad(loss, hidden)
    assert gradient.item() == pytest.approx(-(1 + beta) * special.expit(-score) / 2, rel=1e-5, abs=1e-37)


def test_info_nce_of_scipy():
    first, second = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64).numpy()
    between, inside = [first @ second.T, second @ first.T], [first @ first.T, second @ second.T]
    losses = []
    for cross, same in zip(between, inside, strict=True):
        same = same[~np.eye(9, dtype=bool)].reshape(9, 8)
        logits = np.concatenate([np.diag(cross)[:, None], cross[~np.eye(9, dtype=bool)].reshape(9, 8), same], axis=1)
        losses.append(-special.log_softmax(logits / 0.3, axis=1)[:, 0].mean())
    assert info_nce(*map(torch.from_numpy, (first, second)), 0.3).item() == pytest.approx(np.mean(losses), rel=1e-13)


@pytest.mark.parametrize(("k", "expected"), [(128, 4.859812), (512, 6.240276)])
def test_sampled_softmax_of_equal_scores(k, expected):
    """log(1 + k), the start of a training without correction."""
    loss = sampled_softmax(torch.zeros(3, 2), torch.ones(9, 2), torch.tensor([1, 2, 3]), torch.full((3, k), 5))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_sampled_softmax_of_scipy(case):
    proposal = Proposal(torch.cat([torch.zeros(1), torch.linspace(1, 3, V)]).double())
    of_drawn, of_target = corrections("all", proposal, case[3], case[2])
    right, wrong, _ = as_numpy(case)
    law = np.linspace(1, 3, V) / np.linspace(1, 3, V).sum()
    shift = np.log(K * law)
    logits = np.concatenate(
        [right / 0.5 - shift[case[2].numpy() - 1][:, None], wrong / 0.5 - shift[case[3].numpy() - 1]], axis=1
    )
    expected = -special.log_softmax(logits, axis=1)[:, 0].mean()
    assert sampled_softmax(*case, of_drawn, of_target, 0.5).item() == pytest.approx(expected, rel=1e-6)


def test_a_uniform_proposal_needs_no_correction_of_all(case):
    proposal = Proposal(uniform_weights(V))
    corrected = sampled_softmax(*case, *corrections("all", proposal, case[3], case[2]))
    torch.testing.assert_close(corrected, sampled_softmax(*case), rtol=1e-13, atol=0)
    of_drawn, of_target = corrections("negatives", proposal, case[3], case[2])
    assert of_target == 0.0
    assert not torch.isclose(sampled_softmax(*case, of_drawn, of_target), corrected)


# The estimate of the full softmax by draws from a law that is far from uniform and from the softmax itself.
SKEWED = Proposal(torch.cat([torch.zeros(1), 1 / torch.arange(1, V + 1)]).double())


@pytest.fixture(scope="module")
def one_target(case):
    hidden, table, _, _ = case
    return hidden[:1], table, (hidden[:1] @ table[1:].T).argmax(1) + 1


def p_value(samples, expected):
    """Hotelling's test that the mean of independent samples [n, D] is the expected vector [D]; n is large."""
    n, width = samples.shape
    error = samples.mean(0) - expected
    statistic = n * error @ np.linalg.solve(np.cov(samples.T).reshape(width, width), error)
    return stats.chi2.sf(statistic, width)


def sampled_gradients(one_target, kind, k, repeats, seed):
    """Independent gradients [repeats, D] for the representation of one target."""
    hidden, table, target = one_target
    copies = hidden.expand(repeats, -1).clone().requires_grad_()
    negatives = SKEWED.draw((repeats, k), torch.Generator().manual_seed(seed))
    targets = target.expand(repeats)
    loss = sampled_softmax(copies, table, targets, negatives, *corrections(kind, SKEWED, negatives, targets))
    return (repeats * torch.autograd.grad(loss, copies)[0]).numpy()


def full_gradient(one_target):
    hidden = one_target[0].clone().requires_grad_()
    return torch.autograd.grad(mean_cross_entropy(hidden, *one_target[1:]), hidden)[0][0].numpy()


def test_the_denominator_is_unbiased_with_the_correction(one_target):
    """exp(loss) is the denominator over exp(score of the target), for any k; at k = 4 the loss itself is biased."""
    hidden, table, target = one_target
    expected = math.exp(mean_cross_entropy(hidden, table, target))
    negatives = SKEWED.draw((4000, 4), torch.Generator().manual_seed(1))
    drawn = {}
    for kind in ("negatives", "none"):
        c = partial(corrections, kind, SKEWED)
        drawn[kind] = np.array(
            [[math.exp(sampled_softmax(hidden, table, target, row[None], *c(row[None], target)))] for row in negatives]
        )
    assert p_value(drawn["negatives"], expected) > 1e-3
    assert p_value(drawn["none"], expected) < 1e-12


def test_the_gradient_approaches_the_full_one_with_the_correction(one_target):
    """At k = 4000 the bias, of order 1/k, is far below the standard error of 300 repeats; without it stays."""
    expected = full_gradient(one_target)
    corrected = sampled_gradients(one_target, "negatives", 4000, 300, seed=2)
    assert p_value(corrected, expected) > 1e-3
    standard_error = np.sqrt(np.trace(np.cov(corrected.T)) / len(corrected))
    assert standard_error < 0.01 * np.linalg.norm(expected)  # so that the test above can fail
    for kind in ("none", "all"):
        biased = sampled_gradients(one_target, kind, 4000, 300, seed=2)
        assert p_value(biased, expected) < 1e-12
        assert np.linalg.norm(biased.mean(0) - expected) > 10 * standard_error


def test_the_bias_of_the_gradient_falls_with_k(one_target):
    """Of order 1/k: four times the draws leave about a quarter of it."""
    expected = full_gradient(one_target)
    found = {}
    for k in (10, 40):
        samples = sampled_gradients(one_target, "negatives", k, 100_000, seed=k)
        bias = samples.mean(0) - expected
        direction = bias / np.linalg.norm(bias)
        found[k] = (np.linalg.norm(bias), (samples @ direction).std() / math.sqrt(len(samples)))
    ratio = found[10][0] / found[40][0]
    error = ratio * math.hypot(*(spread / bias for bias, spread in found.values()))
    assert found[40][0] > 5 * found[40][1]  # there is a bias to measure
    assert abs(ratio - 4) < 1.0 + 3 * error  # 1.0: terms of order 1/k^2

"""The known traps of methods in the place of attention, each beside what falls into it.

Shapes: B rows, T length, H heads, d width of a head, D = H d, r random features.
"""

from math import exp, pi, sqrt

import pytest
import torch
from torch.nn import functional as F

from attention_table import CAUSAL_METHODS, MAX_LENGTH, METHODS, made, unit
from seqrepro.errors import InputError
from seqrepro.models.attention.efficient import CUT
from seqrepro.models.attention.hydra import FIRST_POWER, Hydra
from seqrepro.models.attention.interface import counts, decayed, running, stepwise
from seqrepro.models.attention.linear import LinearAttention
from seqrepro.models.attention.mixer import Mixer
from seqrepro.models.attention.packed import packed
from seqrepro.models.attention.performer import OFFSET
from tensor_sizes import LargestTensor

LENGTHS = [5, 10, 50, 100, 200, 1000]


def draw(*shape, seed=2, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def largest_gap(found, expected):
    return (found - expected).abs().max().item()


def test_hydra_keeps_sizes_where_norms_of_heads_of_one_feature_leave_signs():
    """A feature of all keys is made ten times larger: the trapped form does not see it."""
    query, key, value = draw(3, 2, 5, 6, 1)
    larger = key * torch.tensor([10.0, 1, 1, 1, 1, 1])[:, None]
    trapped, ours = made("cottention", heads=6), made("hydra")  # the first with norms by head
    assert torch.equal(trapped.key_features(key, torch.arange(5)), key.sign())
    mixed = [[method(query, keys, value, None, True) for keys in (key, larger)] for method in (trapped, ours)]
    torch.testing.assert_close(*mixed[0], rtol=1e-12, atol=0)
    assert largest_gap(*mixed[1]) > 0.1


def test_heads_are_nothing_to_hydra():
    inputs = draw(3, 2, 5, 6, 1)
    mixed = [made("hydra")(*inputs.view(3, 2, 5, heads, -1), None, True).flatten(2) for heads in (1, 2, 3, 6)]
    assert all(torch.equal(one, mixed[0]) for one in mixed)


def test_a_padding_key_weighs_as_much_as_any_other_however_small_it_is():
    """Its input is 0 and its key a bias, of which the norm leaves a vector of length 1; the mask takes it out."""
    torch.manual_seed(1)
    mixer = Mixer(Hydra(6, "none", False), 6, 2, causal=True).double()
    with torch.no_grad():
        mixer.query_key_value.bias[6:12] *= 1e-3
        mixer.output.bias.zero_()
    states, seen = F.pad(draw(1, 4, 6), (0, 0, 2, 0)), torch.arange(6)[None] >= 2
    of_key, of_value = mixer.query_key_value.bias[6:].view(2, 6)
    query = mixer.query_key_value(states[:, 2:])[..., :6]
    alone, masked, trapped = mixer(states[:, 2:]), mixer(states, seen)[:, 2:], mixer(states)[:, 2:]
    torch.testing.assert_close(masked, alone, rtol=1e-12, atol=1e-14)
    two_of_length_1 = unit(query) * 2 * unit(of_key) * of_value
    torch.testing.assert_close(trapped - alone, mixer.output(two_of_length_1), rtol=1e-9, atol=1e-12)
    assert of_key.norm() < 1e-3 < 0.01 < largest_gap(trapped, alone)


@pytest.mark.parametrize(("method", "later_weigh_less"), [("cottention values", True), ("cottention", False)])
def test_values_divided_by_their_place_weigh_less_the_later_they_come(method, later_weigh_less):
    """All scores are 1; each value is a unit vector of its own, so that the newest mixture shows the weights."""
    same = torch.ones(1, 6, 1, 6, dtype=torch.float64)
    values = torch.eye(6, dtype=torch.float64)[None, :, None]
    weights = made(method, heads=1)(same, same, values, None, True)[0, -1, 0]
    if later_weigh_less:
        assert (weights.diff() < -0.01).all()
    else:
        torch.testing.assert_close(weights, weights[:1].expand(6), rtol=1e-12, atol=0)


def sizes_of_mixtures(scale, correlation):
    """The root mean square norm of the newest mixture, for D = 64 and normal keys and values, by length."""
    query, key, noise = draw(3, 12, max(LENGTHS), 1, 64, dtype=torch.float32)
    value = correlation * key + sqrt(1 - correlation**2) * noise
    with torch.no_grad():
        mixed = Hydra(64, scale, False)(query, key, value, None, True)
    return mixed[:, [length - 1 for length in LENGTHS], 0].square().sum(-1).mean(0).sqrt().double()


def slope(sizes):
    """Of their logarithm over that of the length."""
    x = torch.tensor(LENGTHS, dtype=torch.float64).log()
    return ((x - x.mean()) * sizes.log()).sum().item() / (x - x.mean()).square().sum().item()


def test_mixtures_grow_with_the_length():
    """As the root of it, or as the length itself where values go with keys; the published operator does not divide."""
    free, coherent = sizes_of_mixtures("none", 0.0), sizes_of_mixtures("none", 0.227)
    for found, table in (
        (free, [0.28, 0.39, 0.85, 1.22, 1.70, 3.84]),
        (coherent, [0.33, 0.53, 1.69, 3.12, 5.95, 28.4]),
    ):
        torch.testing.assert_close(found, torch.tensor(table, dtype=torch.float64), rtol=0.12, atol=0)
    torch.testing.assert_close(free, torch.tensor(LENGTHS, dtype=torch.float64).sqrt() / 8, rtol=0.08, atol=0)


LEARNED = 1 / (1 + exp(-FIRST_POWER))


@pytest.mark.parametrize(
    ("scale", "exponent"), [("none", 0.5), ("root", 0.0), ("mean", -0.5), ("learned", 0.5 - LEARNED), ("norm", 0.0)]
)
def test_what_each_scale_leaves_of_the_growth(scale, exponent):
    assert slope(sizes_of_mixtures(scale, 0.0)) == pytest.approx(exponent, abs=0.03)


def test_a_running_sum_in_16_bits_loses_most_of_a_long_history():
    """The reason for `wide`: terms added one after the other in bfloat16."""
    terms = torch.rand(4096, generator=torch.Generator().manual_seed(1)).bfloat16()
    total = torch.zeros((), dtype=torch.bfloat16)
    for term in terms:
        total += term
    assert total.double() < 0.5 * terms.double().sum()


RUNNING = [method for method in CAUSAL_METHODS if not method.startswith("softmax")]


@pytest.mark.parametrize("method", RUNNING)
def test_inputs_in_16_bits_are_summed_in_32(method):
    """At T = 4096 the mixture is that in 64 bits but for the last rounding, and it is of the type of the values."""
    inputs = (draw(3, 1, 4096, 1, 4) + 0.5).bfloat16()
    attention = made(method, width=4, heads=1, dtype=torch.float32)
    with torch.no_grad():
        mixed = attention(*inputs, None, True)
        exact = attention.double()(*inputs.double(), None, True)
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.double(), exact, rtol=2**-8, atol=1e-4 * exact.abs().max().item())


@pytest.mark.parametrize("method", METHODS)
def test_packed_rows_and_steps_keep_the_type(method):
    inputs, attention = draw(3, 6, 2, 3).bfloat16(), made(method, dtype=torch.float32)
    if method == "linformer":
        attention = attention.bfloat16()
    else:
        assert stepwise(attention, *inputs[:, None]).dtype == torch.bfloat16
    assert packed(attention, *inputs, torch.tensor([0, 4, 6]), False).dtype == torch.bfloat16


def test_causal_counts_end_at_the_position():
    real = torch.tensor([[True, False, True, True], [False, False, True, False]])
    terms = torch.zeros(2, 4, 3)
    assert counts(terms, real, True).tolist() == [[1, 1, 2, 3], [1, 1, 1, 1]]  # at least 1
    assert counts(terms, real, False).tolist() == [[3], [1]]
    assert counts(terms, None, True).tolist() == [[1, 2, 3, 4]]
    assert counts(terms, None, False).tolist() == [[4]]


@pytest.mark.parametrize("method", ["hydra mean", "hydra root", "hydra learned", "cottention", "linrec paper", "mean"])
def test_a_count_of_the_whole_row_would_know_how_long_it_becomes(method):
    """Zeros as later values add nothing to a sum; what is divided by still has to be that of the position."""
    query, key, value = draw(3, 1, 4, 2, 3)
    longer = [F.pad(query, (0, 0, 0, 0, 0, 3)), *(F.pad(one, (0, 0, 0, 0, 0, 3), value=0.5) for one in (key, value))]
    longer[2][:, 4:] = 0
    attention = made(method)
    short = {causal: attention(query, key, value, None, causal) for causal in (True, False)}
    torch.testing.assert_close(attention(*longer, None, True)[:, :4], short[True], rtol=1e-12, atol=1e-14)
    assert largest_gap(attention(*longer, None, False)[:, :4], short[False]) > 1e-3  # both ways it does know


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_zeros_give_finite_mixtures_and_gradients(method, causal):
    attention = made(method, dtype=torch.float32)
    zeros = [torch.zeros(1, 4, 2, 3, requires_grad=True) for _ in range(3)]
    if method == "linformer" and causal:
        with pytest.raises(InputError, match="attention linformer: found a causal row, expected both directions"):
            attention(*zeros, None, causal)
        return
    mixed = attention(*zeros, None, causal)
    gradients = torch.autograd.grad(mixed.sum(), [*zeros, *attention.parameters()], allow_unused=True)
    assert not mixed.any()
    assert all(one.isfinite().all() for one in gradients if one is not None)


def test_linformer_has_no_form_step_by_step():
    attention, row = made("linformer"), draw(1, 2, 3)
    with pytest.raises(NotImplementedError, match="Linformer has no form step by step"):
        attention.start(1, row)
    with pytest.raises(NotImplementedError, match="Linformer has no form step by step"):
        attention.step(row, row, row, {})


def test_chunks_never_hold_the_sum_of_every_position():
    """T r (d + 1) numbers, more than the scores of dot-product attention as soon as r (d + 1) > T."""
    attention, row = made("linear_transformer", width=16, heads=1), draw(1, 128, 1, 16)
    attention.chunk = 16
    with LargestTensor() as held, torch.no_grad():
        attention(row, row, row, None, True)
    assert held.elements == 128 * 17  # the values and their ones
    assert held.elements < 128 * 128 < 128 * 16 * 17


def test_queries_and_keys_of_performer_share_one_matrix_which_is_saved():
    attention = made("performer", width=16)
    x, r = draw(2, 5, 2, 8), len(attention.directions)
    along = x * 8**-0.25 @ attention.directions.T
    queries, keys = (
        f(x, torch.arange(5)) * sqrt(r) - OFFSET for f in (attention.query_features, attention.key_features)
    )
    torch.testing.assert_close(queries * along.amax(-1, keepdim=True).exp(), keys, rtol=1e-9, atol=0)
    assert [*attention.state_dict()] == ["directions"]
    again, other = made("performer", width=16), made("performer", width=16, seed=2)
    assert torch.equal(again.directions, attention.directions) and not torch.equal(other.directions, again.directions)


def test_the_directions_of_performer_are_orthogonal_in_blocks():
    directions = made("performer", width=16).directions  # 16 = int(8 ln 8) of width 8
    assert directions.shape == (16, 8)
    for block in directions.split(8):
        products = block @ block.T
        torch.testing.assert_close(products, products.diagonal().diag(), rtol=0, atol=1e-5)


def test_a_key_of_performer_knows_no_other_key():
    """No largest value over time or over the batch is taken out: another key changes no bit."""
    attention, keys = made("performer"), draw(2, 5, 2, 3)
    changed = keys.clone()
    changed[1, 3] *= 20
    before, after = (attention.key_features(one, torch.arange(5)) for one in (keys, changed))
    others = torch.ones(2, 5, dtype=torch.bool)
    others[1, 3] = False
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[1, 3], after[1, 3])


def estimates(first, second, query, key, seed=4):
    """The mean of 400 estimates by newly drawn matrices, and its standard error."""
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(400):
        for attention in dict.fromkeys((first, second)):
            attention.draw(generator)
        features = [
            attention.key_features(one, torch.arange(1)) - OFFSET / sqrt(5)
            for attention, one in ((first, query), (second, key))
        ]
        found.append((features[0] * features[1]).sum(-1))
    return torch.stack(found).mean(0), torch.stack(found).std(0) / sqrt(400)


def test_performer_estimates_the_kernel_of_softmax_without_bias():
    """Within 4 standard errors, all of them below 10 % of the kernel and half of them below 3 %."""
    query, key = 0.5 * draw(2, 1, 6, 2, 4)
    attention, kernel = made("performer of 5", width=8), (query * key / sqrt(4)).sum(-1).exp()
    found, errors = estimates(attention, attention, query, key)
    assert (errors / kernel).max() < 0.1 and (errors / kernel).median() < 0.03
    assert ((found - kernel).abs() < 4 * errors).all()


def test_two_independent_matrices_estimate_no_kernel():
    """What public code does. The mean is 1 for all queries and keys."""
    query = 0.5 * draw(1, 6, 2, 4)
    found, errors = estimates(made("performer of 5", width=8), made("performer of 5", width=8), query, query)
    assert ((found - 1).abs() < 4 * errors).all()
    assert ((query.square().sum(-1) / sqrt(4)).exp() > found + 4 * errors).any()


def test_the_length_of_cosformer_is_that_of_the_model():
    """A weight over that of distance 0 is cos(pi distance / 2 M), however long the rows are."""
    ones = torch.ones(1, 8, 1, 6, dtype=torch.float64)
    attention = made("cosformer", heads=1)
    for length in (4, 6, 8):
        values = torch.eye(8, 6, dtype=torch.float64)[None, :length, None]
        weights = attention(ones[:, :length], ones[:, :length], values, None, True)[0, 3, 0, :4]
        expected = (torch.arange(3, -1, -1) * pi / (2 * MAX_LENGTH)).cos().double()
        torch.testing.assert_close(weights / weights[3], expected, rtol=1e-6, atol=0)


def test_a_query_of_cosformer_without_positive_features_mixes_nothing():
    query, key, value = draw(3, 1, 4, 2, 3)
    assert not made("cosformer")(-query.abs(), key, value, None, True).any()


def test_keys_of_efficient_attention_are_cut_off_and_do_not_overflow():
    """A huge key may come late: earlier positions do not know it, and from then on it has nearly all the weight."""
    query, key, value = draw(3, 1, 4, 2, 3, dtype=torch.float32)
    attention = made("efficient", dtype=torch.float32)
    huge = key.clone()
    huge[:, 2] = 1000.0
    mixed = attention(query, huge, value, None, True)
    assert torch.equal(mixed[:, :2], attention(query, key, value, None, True)[:, :2])
    torch.testing.assert_close(mixed[:, 2:], value[:, 2:3].expand(-1, 2, -1, -1), rtol=1e-5, atol=1e-6)
    huge[:, 2] = CUT
    assert torch.equal(mixed, attention(query, huge, value, None, True))


@pytest.mark.parametrize("kernel", ["softmax sdpa", "softmax naive"])
def test_dropout_of_softmax_is_on_weights_and_in_training_only(kernel):
    """Each weight is 0 or twice its size."""
    attention, query, key = made(kernel, heads=1), *draw(2, 1, 6, 1, 6)
    values = torch.eye(6, dtype=torch.float64)[None, :, None]
    attention.dropout = 0.5
    whole = attention(query, key, values, None, False)
    assert torch.equal(whole, attention(query, key, values, None, False))
    torch.manual_seed(1)
    kept = attention.train()(query, key, values, None, False) / whole
    torch.testing.assert_close(kept, 2 * (kept > 1).double(), rtol=1e-9, atol=0)
    assert 0 < (kept > 1).double().mean() < 1


def test_every_linear_form_is_chunked_alike():
    assert {made(name).chunk for name in METHODS if isinstance(made(name), LinearAttention)} == {4}
    assert LinearAttention.chunk == 64


@pytest.mark.parametrize("shape", [(3, 1), (2, 7), (2, 8, 3), (1, 33, 2, 2)])
def test_running_sums_of_a_gpu_are_those_of_a_cpu(shape):
    """On a GPU torch's cumsum has no deterministic form, so there the sums go by doubling."""
    terms = draw(*shape)
    torch.testing.assert_close(decayed(terms, 1.0), running(terms, True), rtol=1e-12, atol=1e-12)

"""Operations: the counts of all methods against formulas, a counter of torch, and steps that are all taken."""

from importlib import import_module
from math import ceil, log2

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from seqrepro.models.attention.interface import stepwise
from seqrepro.models.attention.linear import CHUNK
from seqrepro.models.interfaces import build_sequential
from seqrepro.probes.operations import Operations, counted, of_event, of_events, of_rows, state_after

D, H, T = 8, 2, 130  # three chunks, the last one of two positions
d = D // H
METHODS = {
    "softmax": {"kernel": "sdpa", "dropout": 0.0},
    "hydra": {},
    "linear_transformer": {},
    "performer": {"features": 6},
    "cosformer": {},
    "efficient": {},
    "linrec": {"form": "code"},
    "cottention": {},
    "recurrence": {},
    "mean": {},
}
CHUNKS = [CHUNK, CHUNK, T - 2 * CHUNK]


def method(name, width=D, heads=H, **more):
    built = import_module(f"seqrepro.models.attention.{name}")
    own = built.build({"name": name, **METHODS.get(name, {}), **more}, width, heads, T)
    own.draw(torch.Generator().manual_seed(1))
    return own.eval()


def chunked(r, e):
    """Of all heads: scores and their products in each chunk, both products with the sums, two sums."""
    within = sum(2 * c * c * r + 2 * c * c * e for c in CHUNKS)
    before = sum(2 * c * r * e + c * e for c in CHUNKS[1:])
    after = sum(2 * c * r * e for c in CHUNKS) + 2 * r * e
    return H * (within + before + after)


FORMULAS = {
    "softmax": T * T * (4 * D + 6 * H),
    "hydra": 9 * T * D + 2 * T + 2 * T,  # norms of q and k, clamped; the count of positions, which nothing reads
    "linear_transformer": 4 * T * D + chunked(d, d + 1) + T * H + T * D,
    "performer": 2 * T * (D + 2 * D * 6 + 2 * D + H + 4 * H * 6) + 2 * T * H * 6 + chunked(6, d + 1) + T * H + T * D,
    "cosformer": 2 * (T + 2 * T + 3 * T * D) + chunked(2 * d, d + 1) + T * H + T * D,
    "efficient": 5 * T * D + 2 * T * D + T * D + 2 * T * D + chunked(d, d),
    "linrec": 2 * (T * D + 2 * T * D + T * H + T * D) + T * D + chunked(d, d),
    "mean": 2 * T * D + 2 * T,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_count_is_the_formula(name):
    assert of_rows(method(name), (1, T, H, d), True) == FORMULAS[name]


def test_rows_add_up():
    assert of_rows(method("linear_transformer"), (3, T, H, d), True) == 3 * FORMULAS["linear_transformer"]


def test_both_kernels_of_dot_product_attention_count_alike():
    fused, naive = (of_rows(method("softmax", kernel=kernel), (1, T, H, d), True) for kernel in ("sdpa", "naive"))
    assert fused == naive


@pytest.mark.parametrize("length", [64, 100, 128])
def test_a_scan_takes_a_round_for_each_doubling(length):
    """A complex product and a sum at each position, and the square of the decay; then gates, and the decay itself."""
    rounds = ceil(log2(length))
    expected = rounds * (8 * length * D + 6 * D) + 5 * length * D + 6 * D
    assert of_rows(method("recurrence"), (1, length, H, d), True) == expected


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("causal", [True, False])
def test_matrix_products_are_those_that_torch_counts(name, causal):
    own, inputs = method(name), [torch.randn(2, T, H, d) for _ in range(3)]
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        own(*inputs, None, causal)
    with torch.no_grad(), Operations() as ours:
        own(*inputs, None, causal)
    assert ours.rest == theirs.get_total_flops()
    assert (ours.rest > 0) == (name not in ("softmax", "hydra", "recurrence", "mean"))


@pytest.mark.parametrize("name", METHODS)
def test_steps_are_counted_as_if_all_were_taken(name):
    own, inputs = method(name), [torch.randn(1, 7, H, d) for _ in range(3)]
    with torch.no_grad(), Operations(inside=True) as counter:
        stepwise(own, *inputs)
    assert of_events(own, H, d, 7) == counter.core


@pytest.mark.parametrize("name", METHODS)
def test_a_state_has_the_size_that_steps_give_it(name):
    own, like = method(name), torch.randn(1, H, d)
    state = own.start(1, like)
    for _ in range(5):
        _, state = own.step(like, like, like, state)
    assert {key: one.shape for key, one in state.items()} == {
        key: one.shape for key, one in state_after(own, like, 5).items()
    }


def test_what_a_method_itself_takes():
    hydra, linear, softmax = (method(name) for name in ("hydra", "linear_transformer", "softmax"))
    assert of_event(hydra, H, d, 100) == 9 * D + 3
    assert of_event(linear, H, d, 100) == 4 * H * d * (d + 1) + 5 * D + H + 1
    assert of_event(softmax, H, d, 100) == 101 * (4 * D + 6 * H)
    assert of_events(softmax, H, d, 100) == sum(range(1, 101)) * (4 * D + 6 * H)


def test_an_operation_that_is_not_known_is_an_error():
    unsorted = torch.randn(3)
    with pytest.raises(NotImplementedError, match="sort: its operations are not known"), Operations(inside=True):
        unsorted.sort()


@pytest.mark.parametrize("attention", ["hydra", "linear_transformer", None])
def test_a_network_is_attention_and_matrix_products(attention):
    """D = 8, I = 16, one layer; rows of 10 positions."""
    sizes = {"width": D, "layers": 1, "heads": H, "inner_width": 16, "dropout": 0.0, "max_length": 10}
    sizes |= {"attention_dropout": 0.0}
    family = {"family": "hydrarec", "frame": "causal", "attention": {"name": attention}}
    model = build_sequential((family if attention else {"family": "sasrec"}) | sizes, 30, torch.Generator()).eval()
    padded = torch.arange(1, 21).reshape(2, 10)
    with torch.no_grad(), counted(model) as counter:
        model.hidden(padded)
    assert counter.rest == 2 * 10 * 2 * (4 * D * D + 2 * D * 16)
    own = method(attention or "softmax")
    assert counter.core == of_rows(own, (2, 10, H, d), True)
    assert counter.kernels == (set() if attention else {"flash_attention_for_cpu"})


@pytest.mark.parametrize("name", [*METHODS, "linformer"])
@pytest.mark.parametrize("causal", [True, False])
def test_padding_is_counted_as_positions_are(name, causal):
    """A mask is free where it is looked at, and one product by element where it is multiplied."""
    own = method(name, rank=3)
    if causal and not own.causal_form:
        return
    inputs, real = [torch.randn(2, 7, H, d) for _ in range(3)], torch.ones(2, 7, dtype=torch.bool)
    with torch.no_grad(), Operations(inside=True) as masked:
        own(*inputs, real, causal)
    plain = of_rows(own, (2, 7, H, d), causal)
    widest = 2 * 7 * 2 * D  # keys and values, or both halves of cosFormer's features
    assert plain <= masked.core <= plain + widest + 2 * 7

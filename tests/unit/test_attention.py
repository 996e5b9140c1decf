"""What must hold of each way to mix the positions of a row: a property is the gap between two ways to compute it.

The table of the methods, and of what does not hold of which, is `attention_table.py`.

Shapes: B rows, T length, H heads, d width of a head.
"""

from itertools import product as product_of
from math import inf
from typing import Literal, get_args, get_origin

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

import attention_table as table
from attention_table import EXEMPTIONS, METHODS, PROPERTIES, expectation, made
from seqrepro.config.architectures.attention import AnyAttention
from seqrepro.models.attention.interface import stepwise
from seqrepro.models.attention.linear import causal_product, product
from seqrepro.models.attention.packed import packed

T, H, D_HEAD = 9, 2, 3
HOLDS_WITHIN, FAILS_BEYOND = 1e-10, 1e-3


def draw(*shape: int, seed: int = 2, dtype=torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gap(found: Tensor, expected: Tensor) -> float:
    return (found - expected).abs().max().item()


def rows(length: int = T, n_rows: int = 4) -> list[Tensor]:
    """Queries, keys and values."""
    return [*draw(3, n_rows, length, H, D_HEAD)]


def padded_anywhere() -> Tensor:
    """The real positions of rows without padding, padded on the left, on the right, and in between."""
    real = torch.ones(4, T, dtype=torch.bool)
    real[1, :3] = real[2, -2:] = real[3, [0, 4, 5, 8]] = False
    return real


def with_padding(left: int, right: int) -> tuple[list[Tensor], Tensor]:
    """The rows between padding that holds something, and where they are."""
    filled = [
        torch.cat([one[:, :left], inner, one[:, left : left + right]], 1)
        for inner, one in zip(rows(), 5 + draw(3, 4, 9, H, D_HEAD, seed=3), strict=True)
    ]
    real = torch.ones(4, T, dtype=torch.bool)
    return filled, F.pad(real, (left, right))


def explicit_sum(method, causal):
    real = padded_anywhere()
    return _beside_the_sum(method, causal, rows(), real)


def length_1(method, causal):
    return _beside_the_sum(method, causal, rows(1), torch.ones(4, 1, dtype=torch.bool))


def _beside_the_sum(method, causal, inputs, real):
    attention = made(method)
    weights = METHODS[method][1](attention, *inputs, real, causal)
    expected = (weights * inputs[2][:, None]).sum(2)
    return gap(attention(*inputs, real, causal)[real], expected[real])


def no_look_ahead(method, causal):
    """Inputs after position t are others, and so is which of them are real."""
    attention, inputs, real, t = made(method), rows(), torch.ones(4, T, dtype=torch.bool), 4
    later = torch.arange(T) > t
    changed = [torch.where(later[:, None, None], 3 * one.flip(1) + 1, one) for one in inputs]
    others = attention(*changed, real & ~(later & (torch.arange(T) % 2 == 0)), causal)
    return gap(attention(*inputs, real, causal)[:, : t + 1], others[:, : t + 1])


def left_padding(method, causal):
    return _beside_padding(method, causal, 3, 0)


def right_padding(method, causal):
    return _beside_padding(method, causal, 0, 2)


def _beside_padding(method, causal, left, right):
    attention, (longer, real) = made(method), with_padding(left, right)
    return gap(attention(*longer, real, causal)[real].view(4, T, H, D_HEAD), attention(*rows(), None, causal))


def no_mask_on_the_right(method, causal):
    """Causal rows that are padded on the right need no mask."""
    attention, (longer, real) = made(method), with_padding(0, 2)
    return gap(attention(*longer, None, causal)[real], attention(*longer, real, causal)[real])


def zeros_at_padding(method, causal):
    """The mixture of a row that is all padding."""
    real = torch.ones(4, T, dtype=torch.bool)
    real[1] = False
    return made(method)(*rows(), real, causal)[1].abs().max().item()


def finite_at_padding(method, causal):
    """Mixtures and gradients of rows of padding, which holds zeros in one of them, in the usual precision."""
    attention = made(method, dtype=torch.float32)
    inputs = [one.float() for one in rows()]
    for one in inputs:
        one[2] = 0
    real = torch.ones(4, T, dtype=torch.bool)
    real[1:3] = False
    wanted = [one.requires_grad_() for one in inputs] + [*attention.parameters()]
    mixed = attention(*inputs, real, causal)
    gradients = torch.autograd.grad(mixed.square().sum() + mixed.sum(), wanted, allow_unused=True)
    return 0.0 if all(one.isfinite().all() for one in (mixed, *gradients) if one is not None) else inf


def gradients(method, causal):
    """Of inputs and of the learned numbers, beside finite differences."""
    attention = made(method, width=4)
    names = [name for name, _ in attention.named_parameters()]
    real = torch.tensor([[True, True, True], [False, True, True]])

    def mixed(query, key, value, *weights):
        own = dict(zip(names, weights, strict=True))
        return functional_call(attention, own, (query, key, value, real, causal))

    inputs = [*draw(3, 2, 3, 2, 2), *(weight.detach() for weight in attention.parameters())]
    return 0.0 if torch.autograd.gradcheck(mixed, [one.requires_grad_() for one in inputs]) else inf


def step_by_step(method, causal):
    attention = made(method)
    return gap(stepwise(attention, *rows()), attention(*rows(), None, causal))


def chunks(method, causal):
    attention, mixed = made(method), []
    for attention.chunk in (1, 2, 3, T - 1, T, 64):
        mixed.append(attention(*rows(), padded_anywhere(), causal))
    return max(gap(one, mixed[0]) for one in mixed)


def generic_form(method, causal):
    """As many heads as features, and queries and keys with norms over all features."""
    real = padded_anywhere()
    query, key, value = (one.flatten(2) for one in rows())
    parts = table.unit(query), table.unit(key) * real[..., None], value
    queries, keys, values = (one[..., None] for one in parts)
    generic = causal_product(queries, keys, values, 4) if causal else product(queries, keys, values)
    mixed = made(method)(*rows(), real, causal).flatten(2)
    return gap(generic.squeeze(-1).expand_as(mixed)[real], mixed[real])


def no_order(method, causal):
    """The past of the newest position in another order."""
    order = torch.tensor([3, 7, 1, 0, 6, 2, 5, 4, 8])
    attention = made(method)
    mixed, shuffled = attention(*rows(), None, causal), attention(*(one[:, order] for one in rows()), None, causal)
    return gap(mixed[:, -1], shuffled[:, -1])


def packed_rows(method, causal):
    """Rows one behind the other, of lengths of two groups and one empty, beside each row alone."""
    lengths = [3, 9, 1, 0, 7]
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    inputs = [*draw(3, sum(lengths), H, D_HEAD)]
    attention = made(method)
    alone = [
        attention(*(one[None] for one in row), None, causal)[0]
        for row in zip(*(one.split(lengths) for one in inputs), strict=True)
        if len(row[0])
    ]
    return gap(packed(attention, *inputs, offsets, causal), torch.cat(alone))


CASES = [case for case in product_of(PROPERTIES, METHODS, table.DIRECTIONS) if expectation(*case) != "not applicable"]


@pytest.mark.parametrize(("name", "method", "direction"), CASES)
def test_property(name, method, direction):
    found = globals()[name](method, direction == "causal")
    if expectation(name, method, direction) == "holds":
        assert found <= HOLDS_WITHIN
    else:
        assert found > FAILS_BEYOND


def test_the_table_has_every_method_and_every_option():
    """Of what may stand in the parameters; `none` has no mixture."""
    in_table = [parameters for parameters, _ in METHODS.values()]
    for model in get_args(get_args(AnyAttention)[0]):
        fields = {name: field.annotation for name, field in model.model_fields.items()}
        (name,) = get_args(fields.pop("name"))
        values = {field: _values(kind) for field, kind in fields.items()}
        found = [one for one in in_table if one["name"] == name]
        assert found or name == "none"
        for field, wanted in values.items():
            assert {one.get(field, model.model_fields[field].default) for one in found} >= wanted, (name, field)


def _values(kind: type) -> set:
    if kind is bool:
        return {True, False}
    return set(get_args(kind)) if get_origin(kind) is Literal else set()


def test_every_exemption_counts_for_a_case_and_has_a_reason():
    cases = product_of(PROPERTIES, METHODS, table.DIRECTIONS)
    used = [table.exemption(*case) for case in cases]
    for one in EXEMPTIONS:
        assert one.reason and any(one is other for other in used)
        assert set(one.properties) <= set(PROPERTIES) and set(one.methods) <= set(METHODS)

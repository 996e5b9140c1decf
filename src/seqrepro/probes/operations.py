"""Arithmetic operations, counted: of a way to mix positions all of them, of a network those that matter.

What is counted is what runs, kernel by kernel, so a count cannot differ from its code. A multiplication and an
addition are one operation each:

    matrix product [m, k] [k, n]      2 m k n
    dot-product attention             2 T S (d + e) a head, and 6 T S for scale and softmax
    softmax                           5 an element: maximum, difference, exponential, sum, quotient
    norm, sum, maximum, running sum   2, 1, 1, 1 an element of what goes in
    anything by element               1 an element of what comes out; complex: 2 a sum, 6 a product
    copies, views, masks              0

Inside of attention an operation that is not on the list is an error. Elsewhere only matrix products are counted, as the
field does: what stands beside them is small. Dot-product attention that a network calls itself is attention too.

Shapes: T queries, S keys, d and e widths of a head; m, k, n any.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from seqrepro.models.attention.interface import Attention, State

ATTENTION = "_scaled_dot_product"
REDUCTIONS = {"sum": 1, "amax": 1, "cumsum": 1, "linalg_vector_norm": 2, "_softmax": 5}  # an element of the input
COMPLEX = {"add": 2, "mul": 6}
BY_ELEMENT = {"polar"}  # that torch does not call so
FREE = {
    *(
        "_to_copy",
        "_unsafe_view",
        "alias",
        "arange",
        "bitwise_not",
        "cat",
        "clone",
        "constant_pad_nd",
        "detach",
        "device",
        "empty",
    ),
    *("expand", "flip", "full_like", "new_ones", "new_zeros", "ones", "ones_like", "permute", "promote_types"),
    *("scalar_tensor", "select", "slice", "split", "stack", "squeeze", "t", "transpose", "tril", "unbind", "unsqueeze"),
    *("view", "view_as_real", "where", "masked_fill", "zeros", "zeros_like", "lift_fresh", "copy_"),
}


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered; `core`: inside of attention, `rest`: everywhere else.

    Attributes:
        core: operations of attention, all of them.
        rest: operations of matrix products outside of it.
        kernels: names of the kernels of dot-product attention that ran.
    """

    def __init__(self, inside: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.core: int = 0
        self.rest: int = 0
        self.inside = inside
        self.kernels: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a kernel, and count it."""
        found = func(*args, **(kwargs or {}))
        name = func.name().partition("::")[2].partition(".")[0]
        if name.startswith(ATTENTION):
            self.kernels.add(name.removeprefix(f"{ATTENTION}_"))
            self.core += _dot_product(*args[:3])
        elif self.inside:
            self.core += _operations(func, name, args, found)
        else:
            self.rest += _product(name, args)
        return found


@contextmanager
def counted(network: nn.Module) -> Iterator[Operations]:
    """Count what a network does in here."""
    counter, hooks = Operations(), []

    def set_inside(value: bool) -> Callable[..., None]:
        return lambda *_: setattr(counter, "inside", value)

    for module in network.modules():
        if isinstance(module, Attention):
            hooks += [
                module.register_forward_pre_hook(set_inside(True)),
                module.register_forward_hook(set_inside(False)),
            ]
    try:
        with counter:
            yield counter
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def of_rows(attention: Attention, shape: tuple[int, int, int, int], causal: bool) -> int:
    """Operations of `forward` on rows [B, T, H, d] without padding, as it runs; nothing is computed and held."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        inputs = [torch.empty(shape) for _ in range(3)]
        counter = Operations(inside=True)
        with counter:
            attention(*inputs, None, causal)
    return counter.core


def of_event(attention: Attention, heads: int, width: int, history: int) -> int:
    """Operations of a step of one row that has had so many positions; d = `width`."""
    like = torch.zeros(1, heads, width)
    return _of_step(attention, like, state_after(attention, like, history))


def of_events(attention: Attention, heads: int, width: int, length: int) -> int:
    """Operations of one row of this length, position after position.

    It is what the method itself takes: no chunk, and no half of a matrix that is masked. After the first step the
    operations of a step are those of the second, and so many more for each one: two counts say all.
    """
    first, second, third = (of_event(attention, heads, width, history) for history in range(3))
    later = length - 1
    return first + second * later + (third - second) * later * (later - 1) // 2


@torch.no_grad()
def state_after(attention: Attention, like: Tensor, history: int) -> State:
    """The state of rows that have had so many positions, all alike: of the shape that it has then, not of any input.

    What grows with positions is seen from two steps, and made longer.

    Args:
        attention: a causal method.
        like: keys of one position [B, H, d].
        history: positions so far.
    """
    state = attention.start(len(like), like)
    if history == 0:
        return state
    _, first = attention.step(like, like, like, state)
    _, second = attention.step(like, like, like, first)
    return {name: _grown(first[name], second[name], history) for name in second}


def _grown(first: Tensor, second: Tensor, history: int) -> Tensor:
    for axis, (before, after) in enumerate(zip(first.shape, second.shape, strict=True)):
        if before != after:
            return second.narrow(axis, 0, 1).repeat_interleave(history, axis)
    return second


@torch.no_grad()
def _of_step(attention: Attention, like: Tensor, state: State) -> int:
    counter = Operations(inside=True)
    with counter:
        attention.step(like, like, like, state)
    return counter.core


def _operations(func: Any, name: str, args: Any, found: Any) -> int:
    if product := _product(name, args):
        return product
    if name in FREE or _is_mask(found):
        return 0
    if name in REDUCTIONS:
        return REDUCTIONS[name] * int(args[0].numel())
    if torch.Tag.pointwise in func.tags or name in BY_ELEMENT:
        return int(found.numel()) * (COMPLEX.get(name.rstrip("_"), 1) if found.is_complex() else 1)
    raise NotImplementedError(f"{name}: its operations are not known; expected one of those that are")


def _is_mask(found: Any) -> bool:
    return isinstance(found, Tensor) and found.dtype == torch.bool


def _product(name: str, args: Any) -> int:
    """Operations of a matrix product; 0: it is none. A sum that it is added to is not counted."""
    if name in ("mm", "bmm"):
        left, right = args[:2]
    elif name in ("addmm", "baddbmm", "addmm_", "baddbmm_"):
        left, right = args[1:3]
    else:
        return 0
    terms: int = prod(left.shape)
    return 2 * terms * int(right.shape[-1])


def _dot_product(query: Tensor, key: Tensor, value: Tensor) -> int:
    pairs: int = prod(query.shape[:-1]) * key.shape[-2]
    widths: int = query.shape[-1] + value.shape[-1]
    return pairs * (2 * widths + 6)

"""What the probe of attention times: ways to mix positions, alone and in a block, whole rows and step by step.

Rows are full, so there is no padding and no mask: with one, some kernels of dot-product attention are not to be had.
Numbers are drawn from a fixed seed. There is no dropout anywhere.

Shapes: B rows, T length, D width, H heads, d = D / H, I inner width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from shutil import which
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel

from seqrepro.errors import InputError
from seqrepro.models.attention import hydra_c
from seqrepro.models.attention.hydra_fused import FusedHydra
from seqrepro.models.attention.interface import Attention
from seqrepro.models.attention.mixer import Mixer
from seqrepro.models.attention.softmax import Softmax
from seqrepro.models.layers import PostNormBlock
from seqrepro.probes.operations import state_after

SEED = 1
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FRAMES = {"sasrec": "causal", "bert4rec": "bidirectional"}  # of families that have dot-product attention and no choice
FUSED = {"name": "softmax", "kernel": "sdpa", "dropout": 0.0}
NAIVE = FUSED | {"kernel": "naive"}
PUBLISHED = {"name": "hydra"}  # the operator of the paper, which has fused kernels
OWN, NAIVE_NAME, FUSED_NAME, FUSED_HYDRA = "", "softmax naive", "softmax sdpa", "hydra fused"
Form = Callable[[int], None]  # does it so many times


@dataclass(frozen=True)
class Shape:
    """What is timed: sizes, and the direction in which positions are seen."""

    rows: int
    length: int
    width: int
    heads: int
    inner_width: int
    causal: bool

    @property
    def by_head(self) -> tuple[int, int, int, int]:
        """[B, T, H, d]."""
        return self.rows, self.length, self.heads, self.width // self.heads


Build = Callable[[Shape], Attention]


class Flash(Softmax):
    """Dot-product attention by FlashAttention and nothing else, on a GPU in 16 bits."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it."""
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return super().forward(query, key, value, real, causal)


class FlashLinear(Attention):
    """Linear attention without features by the kernel of flash-linear-attention; causal only, for times alone."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, causal: bool) -> Tensor:
        """As the interface has it, for rows without padding."""
        mixed: Tensor = import_module("fla.ops.linear_attn").chunk_linear_attn(query, key, value, normalize=False)[0]
        return mixed


def network_of(model: dict[str, Any]) -> tuple[Shape, dict[str, Any]]:
    """The sizes of a run's network, for one row of one position, and the parameters of its attention.

    Raises:
        InputError: the network has no attention.
    """
    method = model.get("attention", FUSED)
    if model["family"] not in (*FRAMES, "hydrarec") or method["name"] == "none":
        raise InputError(
            f"attention: family {model['family']} has none to time here; expected a network with attention"
        )
    frame = FRAMES.get(model["family"]) or model["frame"]
    sizes = {name: model[name] for name in ("width", "heads", "inner_width")}
    return Shape(1, 1, **sizes, causal=frame == "causal"), method | ({"dropout": 0.0} if "dropout" in method else {})


def methods_of(own: dict[str, Any], shape: Shape, device: torch.device, dtype: torch.dtype) -> dict[str, Build]:
    """What takes turns, by name: the method itself under no name, and what it is beside."""
    methods: dict[str, Build] = {OWN: partial(built, own)}
    beside = {NAIVE_NAME: NAIVE, FUSED_NAME: FUSED}
    methods |= {name: partial(built, method) for name, method in beside.items() if method != own}
    if own == PUBLISHED and shape.causal and (kernels := kernels_for(device)):
        methods[FUSED_HYDRA] = lambda asked: FusedHydra(asked.width, kernels)
    if device.type == "cuda" and dtype == torch.bfloat16:
        methods["softmax flash"] = lambda _: Flash("sdpa", 0.0)
        if shape.causal and find_spec("fla"):
            methods["linear fla"] = lambda _: FlashLinear()
    return methods


def kernels_for(device: torch.device) -> ModuleType | None:
    """The kernels of fused Hydra attention that can be had on a device: they need Triton, or a C compiler."""
    if device.type == "cuda":
        return import_module("seqrepro.models.attention.hydra_triton") if find_spec("triton") else None
    return hydra_c if which(hydra_c.COMPILER) else None


def built(parameters: dict[str, Any], shape: Shape) -> Attention:
    """A method for rows of the shape, with its own numbers drawn."""
    module = import_module(f"seqrepro.models.attention.{parameters['name']}")
    attention: Attention = module.build(parameters, shape.width, shape.heads, shape.length)
    attention.draw(torch.Generator().manual_seed(SEED))
    return attention.eval()


@dataclass(frozen=True)
class Bench:
    """Where and how forms are timed."""

    device: torch.device
    dtype: torch.dtype
    compiled: bool = False

    def core(self, build: Build, shape: Shape) -> tuple[Callable[[], Tensor], list[Tensor]]:
        """A method alone: what computes it, and what has a gradient: queries, keys and values [B, T, H, d]."""
        attention = build(shape).to(self.device, self.dtype)
        inputs = [self._drawn(*shape.by_head) for _ in range(3)]
        return partial(self._faster(attention), *inputs, None, shape.causal), [*inputs, *attention.parameters()]

    def block(self, build: Build, shape: Shape) -> tuple[Callable[[], Tensor], list[Tensor]]:
        """The same for a block around it: maps, norms and inner layers; its input is [B, T, D]."""
        mixer = Mixer(build(shape), shape.width, shape.heads, shape.causal)
        block = PostNormBlock(mixer, shape.width, shape.inner_width, 0.0).eval().to(self.device, self.dtype)
        inputs = self._drawn(shape.rows, shape.length, shape.width)
        return partial(self._faster(block), inputs), [inputs, *block.parameters()]

    def event(self, build: Build, shape: Shape, history: int) -> tuple[Callable[[], Tensor], int]:
        """A step of one row that has had so many positions, and the bytes of its state."""
        attention = build(replace(shape, length=history + 1)).to(self.device, self.dtype)
        query, key, value = (self._drawn(*shape.by_head)[:, 0].detach() for _ in range(3))
        state = state_after(attention, key, history)
        return lambda: attention.step(query, key, value, state)[0], sum(one.nbytes for one in state.values())

    def _drawn(self, *shape: int) -> Tensor:
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
        return drawn.to(self.device, self.dtype).requires_grad_()

    def _faster(self, module: nn.Module) -> Callable[..., Any]:
        if not self.compiled:
            return module
        torch.compiler.reset()  # or the shapes of all lengths would count as one function that is compiled too often
        compiled: Callable[..., Any] = torch.compile(module, dynamic=False)
        return compiled


def forward(compute: Callable[[], Tensor], weights: list[Tensor]) -> Form:
    """A form that computes without gradients."""

    @torch.no_grad()
    def run(times: int) -> None:
        for _ in range(times):
            compute()

    return run


def forward_backward(compute: Callable[[], Tensor], weights: list[Tensor]) -> Form:
    """A form that computes, and then the gradients of what has one."""

    def run(times: int) -> None:
        for _ in range(times):
            mixed = compute()
            torch.autograd.grad(mixed, weights, torch.ones_like(mixed), allow_unused=True)

    return run


def held_bytes(compute: Callable[[], Tensor], weights: list[Tensor], device: torch.device) -> int:
    """Bytes that forward and backward hold.

    On a CPU: of what is kept from forward to backward and of what comes out, each storage once, inputs with them if
    they are kept; counted to the byte. On a GPU: the most that is allocated beyond what there was before.
    """
    if device.type == "cuda":
        return _peak(forward_backward(compute, weights), device)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        kept.append(compute())
    return sum({one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in kept}.values())


def check_compiler(bench: Bench) -> None:
    """Compile something small.

    Raises:
        InputError: it fails, such as without a C++ compiler.
    """
    if not bench.compiled:
        return
    try:
        torch.compile(torch.sin)(torch.ones(2, device=bench.device))
    except Exception as error:  # whatever it is: nothing can be compiled
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"attention: compiled: true was asked for, and torch cannot compile ({said[0]}); expected a compiler, "
            "or compiled: false"
        ) from None


def _peak(form: Form, device: torch.device) -> int:
    form(1)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    form(1)
    return torch.cuda.max_memory_allocated(device) - before

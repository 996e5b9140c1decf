"""Each method in the place of attention, written out as a sum over all pairs of positions, and what holds of it.

    out_t = sum over s of w_ts v_s              w [B, T, T, H, d] by feature, or [B, T, T, H, 1] by head

The weights w follow the equations at the top of each method's file. Of the module they use the learned numbers alone.

Shapes: B rows, T length (t of queries, s of keys), H heads, d width of a head, r features or rows of a summary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any, Literal

import torch
from pydantic import TypeAdapter
from torch import Tensor

from seqrepro.config.architectures.attention import AnyAttention
from seqrepro.models.attention.interface import Attention
from seqrepro.models.attention.mixer import build_mixer

torch.set_num_threads(1)  # several threads only slow such small data down

MAX_LENGTH = 16
CAUSAL, BOTH_WAYS = ("causal",), ("bidirectional",)
DIRECTIONS = CAUSAL + BOTH_WAYS
PROPERTIES = (
    "explicit_sum",
    "length_1",
    "no_look_ahead",
    "left_padding",
    "right_padding",
    "no_mask_on_the_right",
    "zeros_at_padding",
    "finite_at_padding",
    "gradients",
    "step_by_step",
    "chunks",
    "generic_form",
    "no_order",
    "packed_rows",
)


def seen(real: Tensor, causal: bool) -> Tensor:
    """1 where t mixes s, [B, T, T, 1]: s is real, and not later if causal."""
    pairs = real[:, None, :].double().expand(-1, real.shape[1], -1)
    return (pairs.tril() if causal else pairs)[..., None]


def scores(query: Tensor, key: Tensor) -> Tensor:
    """<q_t, k_s> of each head, [B, T, T, H]."""
    return torch.einsum("bthd,bshd->btsh", query, key)


def distances(rows: Tensor) -> Tensor:
    """|t - s|, [T, T]."""
    places = torch.arange(rows.shape[1], dtype=rows.dtype)
    return (places[:, None] - places).abs()


def unit(vectors: Tensor, dims: tuple[int, ...] = (-1,)) -> Tensor:
    return vectors / vectors.square().sum(dims, keepdim=True).sqrt()


def elu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, x.exp() - 1)


def softmax(own, q, k, v, real, causal):
    raised = (scores(q, k) / sqrt(q.shape[-1])).exp() * seen(real, causal)
    return (raised / raised.sum(2, keepdim=True))[..., None]


def hydra(own, q, k, v, real, causal):
    """The norms are over H and d."""
    by_feature = q.shape[-2:]
    sees = seen(real, causal)[..., None]
    w = unit(q, (-2, -1))[:, :, None] * unit(k, (-2, -1))[:, None] * sees
    if own.decay is not None:
        w = w * own.decay.sigmoid().view(by_feature) ** distances(q)[..., None, None]
    if own.scale == "norm":
        mixed = (w * v[:, None]).sum(2, keepdim=True)
        return w * own.norm.weight.view(by_feature) / (mixed.square().mean((-2, -1), keepdim=True) + 1e-12).sqrt()
    power = own.power.sigmoid().view(by_feature) if own.scale == "learned" else POWERS[own.scale]
    return w / sees.sum(2, keepdim=True) ** power


POWERS = {"none": 0.0, "root": 0.5, "mean": 1.0}


def linear_transformer(own, q, k, v, real, causal):
    w = scores(elu(q) + 1, elu(k) + 1) * seen(real, causal)
    return (w / (w.sum(2, keepdim=True) + 1e-6))[..., None]


def performer(own, q, k, v, real, causal):
    def features(x: Tensor, largest: bool) -> Tensor:
        x = x * q.shape[-1] ** -0.25
        along = torch.einsum("bthd,rd->bthr", x, own.directions)
        c = along.amax(-1, keepdim=True) if largest else 0
        raised = (along - x.square().sum(-1, keepdim=True) / 2 - c).exp()
        return (raised + 1e-4) / sqrt(len(own.directions))

    w = scores(features(q, True), features(k, False)) * seen(real, causal)
    return (w / (w.sum(2, keepdim=True) + 1e-6))[..., None]


def cosformer(own, q, k, v, real, causal):
    near = (distances(q) * pi / (2 * MAX_LENGTH)).cos()[..., None]
    w = scores(q.relu(), k.relu()) * near * seen(real, causal)
    return (w / w.sum(2, keepdim=True).clamp(min=1e-6))[..., None]


def efficient(own, q, k, v, real, causal):
    raised = k.exp()[:, None] * seen(real, causal)[..., None]
    over_time = raised / raised.sum(2, keepdim=True)
    over_features = q.exp() / q.exp().sum(-1, keepdim=True)
    return (over_features[:, :, None] * over_time).sum(-1, keepdim=True)


def linrec(own, q, k, v, real, causal):
    sees = seen(real if own.masked else torch.ones_like(real), causal)
    if own.form == "code":
        return (scores(unit(elu(q)), unit(elu(k))) * sees / sqrt(q.shape[-1]))[..., None]
    keys = elu(k)[:, None] * sees[..., None]
    return (unit(elu(q))[:, :, None] * unit(keys, (2,))).sum(-1, keepdim=True)


def linformer(own, q, k, v, real, causal):
    length = q.shape[1]
    keys = torch.einsum("rs,bshd->brhd", own.of_keys[:, :length], k * real[..., None, None])
    raised = (scores(q, keys) / sqrt(q.shape[-1])).exp()
    shares = raised / raised.sum(2, keepdim=True)
    return (torch.einsum("btrh,rs->btsh", shares, own.of_values[:, :length]) * real[:, None, :, None])[..., None]


def cottention(own, q, k, v, real, causal):
    sees = seen(real, causal)
    lengths = sees.sum(2, keepdim=True).clamp(min=1) ** own.power.sigmoid()  # of t [B, T, 1, H]
    w = scores(unit(q), unit(k)) * sees
    return (w / (lengths.transpose(1, 2) if own.divide == "values" else lengths))[..., None]


def recurrence(own, q, k, v, real, causal):
    """Re(l^|t-s|) = |l|^|t-s| cos(|t-s| phase)."""
    steps = distances(q)[..., None]
    decays = (-own.rate.exp() * steps).exp() * (own.phase.exp() * steps).cos()
    gains = own.gain.exp().view(q.shape[-2:])
    gates = q.sigmoid()[:, :, None] * (gains * k.sigmoid())[:, None]
    return gates * decays.unflatten(-1, q.shape[-2:]) * seen(real, causal)[..., None]


def mean(own, q, k, v, real, causal):
    sees = seen(real, causal)[..., None]
    return sees / sees.sum(2, keepdim=True)


Weights = Callable[[Any, Tensor, Tensor, Tensor, Tensor, bool], Tensor]

METHODS: dict[str, tuple[dict[str, Any], Weights]] = {
    "softmax sdpa": ({"name": "softmax", "kernel": "sdpa", "dropout": 0.0}, softmax),
    "softmax naive": ({"name": "softmax", "kernel": "naive", "dropout": 0.0}, softmax),
    "hydra": ({"name": "hydra"}, hydra),
    "hydra mean": ({"name": "hydra", "scale": "mean"}, hydra),
    "hydra root": ({"name": "hydra", "scale": "root"}, hydra),
    "hydra learned": ({"name": "hydra", "scale": "learned"}, hydra),
    "hydra norm": ({"name": "hydra", "scale": "norm"}, hydra),
    "hydra decay": ({"name": "hydra", "decay": True}, hydra),
    "hydra decay mean": ({"name": "hydra", "decay": True, "scale": "mean"}, hydra),
    "linear_transformer": ({"name": "linear_transformer"}, linear_transformer),
    "performer": ({"name": "performer"}, performer),
    "performer of 5": ({"name": "performer", "features": 5}, performer),
    "cosformer": ({"name": "cosformer"}, cosformer),
    "efficient": ({"name": "efficient"}, efficient),
    "linrec code": ({"name": "linrec", "form": "code"}, linrec),
    "linrec paper": ({"name": "linrec", "form": "paper"}, linrec),
    "linrec unmasked": ({"name": "linrec", "form": "code", "masked": False}, linrec),
    "linrec paper unmasked": ({"name": "linrec", "form": "paper", "masked": False}, linrec),
    "linformer": ({"name": "linformer", "rank": 5}, linformer),
    "cottention": ({"name": "cottention"}, cottention),
    "cottention values": ({"name": "cottention", "divide": "values"}, cottention),
    "recurrence": ({"name": "recurrence"}, recurrence),
    "mean": ({"name": "mean"}, mean),
}


def made(method: str, width: int = 6, heads: int = 2, dtype: torch.dtype = torch.float64, seed: int = 1) -> Attention:
    """The method as it would be trained, away from its first weights; computed in chunks of 4 where it has any."""
    parameters = TypeAdapter(AnyAttention).validate_python(METHODS[method][0]).canonical()
    attention: Any = build_mixer(parameters, width, heads, MAX_LENGTH, causal=False).attention
    generator = torch.Generator().manual_seed(seed)
    attention.draw(generator)
    with torch.no_grad():
        for weight in attention.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    if hasattr(attention, "chunk"):
        attention.chunk = 4
    return attention.to(dtype).eval()


@dataclass(frozen=True)
class Exemption:
    """Properties that fail, or have no meaning, for some methods in some directions, and why."""

    kind: Literal["fails", "not applicable"]
    reason: str
    properties: tuple[str, ...]
    methods: Sequence[str]
    directions: tuple[str, ...] = DIRECTIONS

    def covers(self, name: str, method: str, direction: str) -> bool:
        return name in self.properties and method in self.methods and direction in self.directions


def starting_with(*names: str) -> list[str]:
    return [method for method in METHODS if method.split()[0] in names]


DISTANCE = ["cosformer", "recurrence", "hydra decay", "hydra decay mean"]
UNMASKED = ["linrec unmasked", "linrec paper unmasked"]
CHUNKLESS = starting_with("softmax", "hydra", "recurrence", "mean")
ALL = list(METHODS)
CAUSAL_METHODS = [method for method in METHODS if method != "linformer"]

EXEMPTIONS = [  # the first that covers a case counts; a property that none covers holds
    Exemption("not applicable", "it refuses causal rows", PROPERTIES, ["linformer"], CAUSAL),
    Exemption("not applicable", "a state holds the past only", ("step_by_step",), ALL, BOTH_WAYS),
    Exemption("not applicable", "nothing is computed in chunks", ("chunks",), CHUNKLESS, CAUSAL),
    Exemption("not applicable", "nothing is computed in chunks", ("chunks",), ALL, BOTH_WAYS),
    Exemption("not applicable", "it does not claim to be one", ("generic_form",), [*set(ALL) - {"hydra"}]),
    Exemption("not applicable", "the interface asks for a mask", ("no_mask_on_the_right",), ALL, BOTH_WAYS),
    Exemption("fails", "every position sees the whole row", ("no_look_ahead",), ALL, BOTH_WAYS),
    Exemption("fails", "padding is mixed in", ("left_padding", "zeros_at_padding"), UNMASKED),
    Exemption("fails", "padding is mixed in", ("right_padding",), UNMASKED, BOTH_WAYS),
    Exemption("fails", "its maps belong to positions", ("left_padding", "no_order"), ["linformer"], BOTH_WAYS),
    Exemption("fails", "weights depend on the distance", ("no_order",), DISTANCE),
    Exemption("fails", "later values are divided by more", ("no_order",), ["cottention values"], CAUSAL),
]


def exemption(name: str, method: str, direction: str) -> Exemption | None:
    return next((one for one in EXEMPTIONS if one.covers(name, method, direction)), None)


def expectation(name: str, method: str, direction: str) -> str:
    """`holds`, `fails` or `not applicable`."""
    exempted = exemption(name, method, direction)
    return exempted.kind if exempted else "holds"

"""TiM4Rec: its equations in a loop, its sizes, and where each way to read time fails or holds.

`loop` is written from the equations alone, one number after the other, in float64; of the model it uses the weights.
"""

import math

import pytest
import torch
from pydantic import ValidationError

from seqrepro.config.architectures.tim4rec import TiM4RecParameters
from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.errors import InputError
from seqrepro.models.interfaces import build_sequential

torch.set_num_threads(1)

N_ITEMS, L = 30, 9
SMALL = {
    "family": "tim4rec",
    "time": "paper",
    "width": 8,
    "layers": 2,
    "state": 4,
    "head_width": 4,
    "expand": 2,
    "convolution": 3,
    "dropout": 0.0,
    "max_length": L,
}
CAUSAL_MODES = ("off", "causal")
PAPER_MODES = ("paper", "paper_masked")
ALL_MODES = CAUSAL_MODES + PAPER_MODES
START = 1_000_000_000


def settings(time, **changes):
    return SMALL | {"time": time} | changes


def made(time, seed=0, **changes):
    """A model in float64 whose weights are all far from their start."""
    model = build_sequential(settings(time, **changes), N_ITEMS, torch.Generator().manual_seed(seed)).double().eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return model


def row(count, seed=0, start=START):
    """Items and timestamps [1, count], gaps from seconds to months."""
    generator = torch.Generator().manual_seed(100 + seed)
    items = torch.randint(1, N_ITEMS + 1, (1, count), generator=generator)
    gaps = (10 ** (7 * torch.rand(1, count, generator=generator))).long()
    return items, start + gaps.cumsum(1)


def padded(items, times, length=L):
    missing = (0, length - items.shape[1])
    return torch.nn.functional.pad(items, missing), torch.nn.functional.pad(times, missing)


def silu(x):
    return x / (1 + math.exp(-x))


def hardswish(x):
    return x * min(max(x + 3, 0), 6) / 6


def softplus(x):
    return x if x > 30 else math.log1p(math.exp(x))


def linear(module, vector):
    weight, bias = module.weight.tolist(), module.bias.tolist()
    return [b + sum(w * x for w, x in zip(line, vector, strict=True)) for line, b in zip(weight, bias, strict=True)]


def normed(vector, weight, bias, epsilon, seen=None):
    seen = seen or [True] * len(vector)
    shown = [x for x, keep in zip(vector, seen, strict=True) if keep]
    mean = sum(shown) / len(shown)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in shown) / len(shown) + epsilon)
    parts = zip(vector, weight.tolist(), bias.tolist(), seen, strict=True)
    return [(x - mean) / deviation * w + b if keep else 0.0 for x, w, b, keep in parts]


def layer_norm(module, vector):
    return normed(vector, module.weight, module.bias, module.eps)


def convolved(module, rows):
    """rows: a list of positions, each a list of channels."""
    kernel, bias = module.weight[:, 0].tolist(), module.bias.tolist()
    width = len(kernel[0])
    return [
        [
            bias[c] + sum(kernel[c][k] * rows[t - width + 1 + k][c] for k in range(width) if t - width + 1 + k >= 0)
            for c in range(len(bias))
        ]
        for t in range(len(rows))
    ]


def time_factors(model, times, count):
    """tau of each layer [L][H], on a whole row of L positions of which `count` are real."""
    p, heads = model.p, model.heads
    masked = p.time == "paper_masked"
    stamps = [torch.tensor(t).float().item() if p.stamps == "float32" else t for t in times]
    gaps = [0.0] + [float(stamps[t] - stamps[t - 1]) for t in range(1, L)]
    if masked or p.padding_gap == "removed":
        gaps = [gap if t < count else 0.0 for t, gap in enumerate(gaps)]
    elif p.padding_gap == "only":
        gaps = [gap if t >= count else 0.0 for t, gap in enumerate(gaps)]
    seen = [t < count for t in range(L)] if masked else None
    first = model.gaps.norm
    rows = [normed(gaps, first.weight, first.bias, first.epsilon, seen)] * heads
    found = []
    for time in model.times:
        scaled = []
        for one in rows:
            s = linear(time.outer, [silu(x) for x in linear(time.inner, one)])
            scaled.append([x * y for x, y in zip(one, s, strict=True)])
        mixed = [[scaled[h][t] for h in range(heads)] for t in range(L)]
        for convolution in time.convolutions:
            mixed = [[hardswish(x) for x in line] for line in convolved(convolution, mixed)]
        if masked:
            mixed = [line if t < count else [0.0] * heads for t, line in enumerate(mixed)]
        found.append(mixed)
        after = []
        for h, one in enumerate(rows):
            gate = [1 / (1 + math.exp(-x)) for x in linear(time.gate, one)]
            gate = gate * L if len(gate) == 1 else gate
            told = [c * x + (1 - c) * mixed[t][h] for t, (c, x) in enumerate(zip(gate, one, strict=True))]
            after.append(normed(told, time.norm.weight, time.norm.bias, time.norm.epsilon, seen))
        rows = after
    return found


def causal_factors(model, times, count):
    """The factor of each layer's steps [T][H]."""
    p, found = model.p, []
    for time in model.times:
        lines = [[1.0] * model.heads]
        for t in range(1, count):
            feature = math.log1p((times[t] - times[t - 1]) / p.gap_unit) / math.log1p(365 * 86400 / p.gap_unit)
            told = linear(time.outer, [silu(x) for x in linear(time.inner, [feature])])
            lines.append([p.bound ** math.tanh(x) for x in told])
        found.append(lines)
    return found


def loop(model, items, times):
    """Representations [T][D] of a row of T real items, padded to L where the mode needs that."""
    p, count, heads = model.p, len(items), model.heads
    inner, width = p.expand * p.width, p.head_width
    before = time_factors(model, times + [0] * (L - count), count) if p.time in PAPER_MODES else None
    after = causal_factors(model, times, count) if p.time == "causal" else None
    states = []
    for t, item in enumerate(items):
        vector = model.items.weight[item].tolist()
        if model.positions is not None:
            vector = [x + y for x, y in zip(vector, model.positions.weight[t].tolist(), strict=True)]
        states.append(layer_norm(model.norm, vector))
    for number, layer in enumerate(model.blocks):
        mixer = layer.mixer
        projected = [linear(mixer.projection, x) for x in states]
        channels = convolved(mixer.convolution, [x[inner : 2 * inner + 2 * p.state] for x in projected])
        channels = [[hardswish(x) for x in line] for line in channels]
        memory = [[[0.0] * p.state for _ in range(width)] for _ in range(heads)]
        outputs = []
        for t in range(count):
            keys, queries = channels[t][inner : inner + p.state], channels[t][inner + p.state :]
            mixed = []
            for h in range(heads):
                step = projected[t][2 * inner + 2 * p.state + h] * (before[number][t][h] if before else 1.0)
                step = softplus(step + mixer.step_bias[h].item()) * (after[number][t][h] if after else 1.0)
                decay = math.exp(-step * math.exp(mixer.log_rate[h].item()))
                for d in range(width):
                    x = channels[t][h * width + d]
                    memory[h][d] = [decay * m + step * x * k for m, k in zip(memory[h][d], keys, strict=True)]
                    read = sum(m * q for m, q in zip(memory[h][d], queries, strict=True))
                    mixed.append(read + mixer.skip[h].item() * x)
            gated = [y * silu(z) for y, z in zip(mixed, projected[t][:inner], strict=True)]
            root = math.sqrt(sum(x * x for x in gated) / inner + p.norm_epsilon)
            gated = [x / root * w for x, w in zip(gated, mixer.norm.weight.tolist(), strict=True)]
            outputs.append(linear(mixer.output, gated))
        told = [
            [a + b * layer.residual for a, b in zip(y, x, strict=True)] for y, x in zip(outputs, states, strict=True)
        ]
        states = [layer_norm(layer.mixer_norm, x) for x in told]
        if p.feed_forward:
            first, second = layer.feed_forward.inner, layer.feed_forward.output
            deeper = [linear(second, [hardswish(x) for x in linear(first, u)]) for u in states]
            summed = [[a + b for a, b in zip(x, u, strict=True)] for x, u in zip(deeper, states, strict=True)]
            states = [layer_norm(layer.feed_forward_norm, x) for x in summed]
    return torch.tensor(states, dtype=torch.float64)


VARIANTS = [pytest.param(settings(time), id=time) for time in ALL_MODES] + [
    pytest.param(settings("off", positions="learned"), id="positions"),
    pytest.param(settings("off", layers=1), id="one layer"),
    pytest.param(settings("off", feed_forward=False), id="no inner layers"),
    pytest.param(settings("paper", by_position=True), id="gate by position"),
    pytest.param(settings("paper", stamps="float32"), id="32-bit stamps"),
    pytest.param(settings("paper", padding_gap="only"), id="length only"),
    pytest.param(settings("paper", padding_gap="removed"), id="spike removed"),
    pytest.param(settings("causal", gap_unit=3600.0, bound=5.0), id="other unit and bound"),
]


@pytest.mark.parametrize("parameters", VARIANTS)
@pytest.mark.parametrize("count", [1, 5, L])
def test_the_model_is_its_equations(parameters, count):
    model = made(parameters["time"], **{key: value for key, value in parameters.items() if key != "time"})
    items, times = row(count, seed=count)
    with torch.no_grad():
        found = model.hidden_at(*padded(items, times))[0, :count]
        short = model.hidden_at(items, times)[0]
    expected = loop(model, items[0].tolist(), times[0].tolist())
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(short, expected, rtol=1e-9, atol=1e-10)


SHIPPED = {"width": 64, "layers": 2, "state": 32, "head_width": 32, "expand": 2, "convolution": 4, "dropout": 0.2}


@pytest.mark.parametrize(
    ("n_items", "changes", "expected"),
    [  # the number of items without padding; counts of the spec, that of KuaiRand with time as a public log prints it
        pytest.param(3416, {"time": "paper", "max_length": 200}, 508_818, id="ml-1m"),
        pytest.param(12101, {"time": "paper", "max_length": 50, "by_position": True}, 917_856, id="beauty"),
        pytest.param(7111, {"time": "paper", "max_length": 50}, 593_498, id="kuairand, time on"),
        pytest.param(7111, {"time": "off", "max_length": 50}, 582_816, id="kuairand as shipped"),
        pytest.param(
            3416,
            {"time": "off", "max_length": 200, "width": 256, "state": 64, "head_width": 128},
            2_792_736,
            id="ml-1m, width 256, as shipped",
        ),
    ],
)
def test_sizes_as_the_authors_models(n_items, changes, expected):
    parameters = {"family": "tim4rec"} | SHIPPED | changes
    model = build_sequential(parameters, n_items, torch.Generator().manual_seed(0))
    assert sum(weight.numel() for weight in model.parameters()) == expected


def test_the_causal_mode_adds_few_parameters():
    sizes = [
        sum(w.numel() for w in build_sequential({"family": "tim4rec", "time": time, "max_length": 50} | SHIPPED, 20,
            torch.Generator()).parameters())
        for time in CAUSAL_MODES
    ]  # fmt: skip
    assert sizes[1] - sizes[0] == 2 * (16 * (4 + 2) + 4)


def last_states(model, items, times, length=L):
    with torch.no_grad():
        return model.hidden_at(*padded(items, times, length))[0, : items.shape[1]]


@pytest.mark.parametrize("time", ALL_MODES)
def test_later_items_change_earlier_states_in_paper_modes_only(time):
    model = made(time)
    items, times = row(6)
    with torch.no_grad():
        base = model.hidden_at(items, times)[0, :3]
        later = times.clone()
        later[:, 3:] += 5_000_000
        changed = model.hidden_at(items.clone().index_fill_(1, torch.tensor([3, 4, 5]), 7), later)[0, :3]
    assert torch.equal(base, changed) == (time in CAUSAL_MODES)


@pytest.mark.parametrize("time", ALL_MODES)
def test_a_row_knows_its_length_in_paper_modes_only(time):
    """A prefix of a row has the states that the row has there; not if padding or positions behind it are read."""
    model = made(time)
    items, times = row(7)
    whole, prefix = last_states(model, items, times)[:4], last_states(model, items[:, :4], times[:, :4])
    assert torch.allclose(whole, prefix, rtol=1e-12, atol=1e-12) == (time in CAUSAL_MODES)


@pytest.mark.parametrize("time", ALL_MODES)
def test_only_the_padding_tells_when_a_row_happened(time):
    """Another time zone changes nothing, unless the gap into the padding, minus the last timestamp, is read."""
    model = made(time)
    items, times = row(5)
    base, shifted = last_states(model, items, times), last_states(model, items, times + 900_000_000)
    assert torch.allclose(base, shifted, rtol=1e-12, atol=1e-12) == (time != "paper")


def test_a_full_row_has_no_gap_into_the_padding():
    model = made("paper")
    items, times = row(L)
    torch.testing.assert_close(last_states(model, items, times), last_states(model, items, times + 900_000_000))


def test_the_gap_into_the_padding_hides_all_others():
    """Behind the norm it stands at -sqrt(L - 1), and real gaps of an hour to a month spread by less than 0.01."""
    model = build_sequential(settings("paper"), N_ITEMS, torch.Generator().manual_seed(0)).double().eval()
    items, times = torch.tensor([[1, 2, 3, 4, 5]]), START + torch.tensor([[0, 3600, 90_000, 2_592_000, 2_600_000]])
    rows, seen = model.gaps(*padded(times, items)[:1], padded(items, times)[0] != 0)
    assert seen is None
    assert rows[0, 0, 5].item() == pytest.approx(-math.sqrt(L - 1), abs=1e-3)
    assert rows[0, 0, :5].max() - rows[0, 0, :5].min() < 0.01
    assert (made("paper_masked").gaps(*padded(times, items)[:1], padded(items, times)[0] != 0)[0][0, 0, :5].std()) > 0.1


@pytest.mark.parametrize("time", CAUSAL_MODES)
def test_event_by_event_as_whole_rows(time):
    model = made(time)
    items, times = row(12)
    with torch.no_grad():
        whole = model.hidden_at(items, times)
        states, found = model.start(1), []
        for t in range(12):
            gap = None if t == 0 else times[:, t] - times[:, t - 1]
            hidden, states = model.step(items[:, t], gap, states)
            found.append(hidden)
    torch.testing.assert_close(torch.stack(found, dim=1), whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("time", PAPER_MODES)
def test_paper_modes_have_no_state(time):
    with pytest.raises(NotImplementedError):
        made(time).start(1)


def test_the_causal_mode_starts_as_the_model_without_time():
    items, times = row(8)
    off, causal = (
        build_sequential(settings(time), N_ITEMS, torch.Generator().manual_seed(3)).eval() for time in CAUSAL_MODES
    )
    causal.load_state_dict(off.state_dict(), strict=False)
    with torch.no_grad():
        assert torch.equal(off.hidden(items), causal.hidden_at(items, times))


def test_factors_stay_within_their_bound():
    model = made("causal", bound=3.0)
    gaps = torch.tensor([[0, 1, 60, 3600, 86_400, 10**8, 10**10]])
    with torch.no_grad():
        for time in model.times:
            factors = time(10.0 * gaps)
            assert factors.min() >= 1 / 3 and factors.max() <= 3 and factors.std() > 1e-3


@pytest.mark.parametrize("time", ALL_MODES)
def test_gradients_are_numbers_and_reach_what_they_should(time):
    model = made(time).train()
    items, times = row(6)
    model.hidden_at(items, times).square().sum().backward()
    without = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    unused = {f"times.1.{name}" for name in ("gate.weight", "gate.bias", "norm.weight", "norm.bias")}
    assert without == (unused if time in PAPER_MODES else set())  # what the last layer hands on goes nowhere
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


def test_a_fresh_model_has_the_steps_and_decays_of_mamba():
    model = build_sequential(settings("paper", width=64, head_width=2), N_ITEMS, torch.Generator().manual_seed(0))
    steps = torch.nn.functional.softplus(model.blocks[0].mixer.step_bias)
    assert steps.min() >= 0.001 and steps.max() <= 0.1001
    rates = model.blocks[0].mixer.log_rate.exp()
    assert rates.min() >= 1 and rates.max() <= 16
    uniform, kaiming = (
        build_sequential(settings("paper", convolution_init=law), N_ITEMS, torch.Generator().manual_seed(0))
        for law in ("uniform", "kaiming")
    )
    assert uniform.times[0].convolutions[0].bias.abs().max() > 0.05
    assert not kaiming.times[0].convolutions[0].bias.any() and not kaiming.blocks[0].mixer.convolution.bias.any()


def test_what_reads_no_time_needs_none():
    rows = Sequences(torch.tensor([1]), torch.tensor([3, 4, 5]), offsets_of(torch.tensor([3])), None, N_ITEMS)
    assert made("off").score(rows).shape == (1, N_ITEMS + 1)
    with pytest.raises(InputError, match="timestamps: found none"):
        made("causal").score(rows)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"time": "off", "gaps": "constant"}, "found gaps with time: off; expected paper or paper_masked or causal"),
        ({"time": "causal", "padding_gap": "only"}, "found padding_gap with time: causal; expected paper"),
        ({"time": "paper", "bound": 3.0}, "found bound with time: paper; expected causal"),
        ({"head_width": 5}, "found head_width 5, expected a divisor of 16"),
    ],
)
def test_parts_that_do_not_fit_are_one_line(changes, found):
    with pytest.raises(ValidationError, match=found):
        TiM4RecParameters.model_validate(SMALL | changes)

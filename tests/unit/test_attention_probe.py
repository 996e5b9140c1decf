"""The probe of attention: what it writes, its bytes and its bounds; slopes and crossovers by hand."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch

from made_data import GRADIENT, SASREC
from seqrepro.errors import InputError
from seqrepro.files import read_json
from seqrepro.probes import attention, cores, operations
from seqrepro.probes.cores import Bench, Shape, built
from seqrepro.probes.growth import crossover, slope
from seqrepro.probes.measurements import SCHEMA
from seqrepro.request import Request

HYDRA = {"family": "hydrarec", "frame": "causal", "attention": {"name": "hydra"}}
HYDRA |= {key: value for key, value in SASREC.items() if key != "family"}
QUICK = {"lengths": [4, 8, 16], "widths": [4, 8, 11, 16], "width_length": 8, "rows": 2, "tokens": 16, "fit_from": 4}
QUICK |= {"rounds": 1, "block_seconds": 1e-5, "largest_matrix_mb": 1, "dtype": "float32"}
CPU = Bench(torch.device("cpu"), torch.float32)


def measured(folder, model, **changes):
    config = {"model": model, "training": GRADIENT}
    request = Request(
        "probe", "seqrepro.probes.attention", str(folder), [], {"config": config, **QUICK, **changes}, [], "code"
    )
    path, told = attention.run(request)
    table = pq.read_table(path)
    assert table.schema == SCHEMA
    rows = [(row["measure"], row["at"]) for row in table.to_pylist()]
    assert len(rows) == len(set(rows))
    return {(row["measure"], row["at"]): row["value"] for row in table.to_pylist()}, read_json(told)


@pytest.fixture(scope="module")
def hydra(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("hydra"), HYDRA)


def places(values, measure):
    return {at: value for (name, at), value in values.items() if name == measure}


def test_every_level_has_both_baselines_and_their_ratios(hydra):
    values, _ = hydra
    for level in ("core", "block"):
        for passes in ("forward", "forward and backward"):
            for kept in ("", ", constant tokens"):
                name = f"{level}, {passes}{kept}"
                for of in ("", " of softmax naive", " of softmax sdpa"):
                    found = places(values, f"seconds{of}, {name} over length")
                    assert list(found) == [4, 8, 16] and min(found.values()) > 0
                for other in ("softmax naive", "softmax sdpa"):
                    low, mean, high = (
                        values[f"ratio{end} to {other}, {name} over length", 8] for end in ("_low", "", "_high")
                    )
                    assert low <= mean <= high
                    assert (f"crossover with {other}, {name}", None) in values


def test_what_claims_read(hydra):
    values, _ = hydra
    assert places(values, "seconds over length") == places(values, "seconds, core, forward over length")
    assert list(places(values, "seconds over width")) == [4, 8, 16]  # 11 has no two heads
    own = {n: operations.of_events(built({"name": "hydra"}, Shape(1, n, 8, 2, 16, True)), 2, 4, n) for n in (4, 8, 16)}
    assert places(values, "operations over length") == own
    assert values["operations over width", 16] == 8 * (9 * 16 + 3)
    assert places(values, "state_bytes over length") == dict.fromkeys((4, 8, 16), 4 * (8 + 1))
    assert places(values, "state_bytes of softmax sdpa over length") == {n: 4 * 2 * n * 8 for n in (4, 8, 16)}
    assert values["operations_per_event over length", 16] == 9 * 8 + 3
    assert min(places(values, "seconds_per_event over length").values()) > 0


def test_slopes_begin_where_they_should(tmp_path):
    values, _ = measured(tmp_path, HYDRA, lengths=[4, 8, 16, 32], fit_from=8)
    assert list(places(values, "seconds over length")) == [8, 16, 32]
    curve = {at: seconds for at, seconds in places(values, "seconds, core, forward over length").items() if at >= 8}
    found = [values[f"slope{end} of seconds, core, forward by length", None] for end in ("", "_low", "_high")]
    assert found == list(slope(curve))


def test_the_machine_is_named(hydra):
    _, told = hydra
    assert told["device"].endswith(")") and told["threads"] == 1
    assert (told["dtype"], told["compiled"], told["torch"]) == ("float32", False, torch.__version__)
    assert told["kernels"]["forward"] == ["flash_attention_for_cpu"]


def test_a_matrix_beyond_the_bound_is_left_out(tmp_path):
    """Two rows and two heads of 512 positions: 4 MiB, and a fourth of it for 256."""
    wanted = {"lengths": [256, 512], "widths": [8], "tokens": 512, "block_seconds": 1e-9}
    values, _ = measured(tmp_path, HYDRA, **wanted)
    for name in ("seconds of softmax naive, core, forward over length", "memory_bytes of softmax naive over length"):
        assert values[name, 256] > 0 and values[name, 512] is None
    assert values["seconds, core, forward over length", 512] > 0
    assert values["seconds of softmax naive, block, forward, constant tokens over length", 512] is None
    assert ("ratio to softmax naive, core, forward over length", 512) not in values
    assert ("ratio to softmax sdpa, core, forward over length", 512) in values
    assert values["slope of seconds, core, forward by length", None] is None  # of two points


@pytest.mark.parametrize(
    ("model", "beside"), [(SASREC, ["softmax naive"]), (SASREC | {"family": "bert4rec"}, ["softmax naive"])]
)
def test_dot_product_attention_stands_beside_the_explicit_one(model, beside, tmp_path):
    values, _ = measured(tmp_path, model, lengths=[4], widths=[8])
    names = {name for name, _ in values}
    assert [
        other for other in ("softmax naive", "softmax sdpa") if f"memory_bytes of {other} over length" in names
    ] == beside
    steps = "seconds_per_event over length" in names
    assert steps == (model["family"] == "sasrec")
    whole = 4 * 4 * 4 * 8 + 6 * 2 * 4 * 4
    assert values["operations_as_run over length", 4] == whole
    assert values["operations over length", 4] == (10 / 16 * whole if steps else whole)


def shape(**changes):
    return replace(Shape(rows=3, length=5, width=8, heads=2, inner_width=16, causal=True), **changes)


def held(name, **more):
    compute, weights = CPU.core(lambda one: built({"name": name, **more}, one), shape())
    return cores.held_bytes(compute, weights, CPU.device)


def test_bytes_of_forward_and_backward_by_hand():
    """B T = 15 positions of D = 8; 2 heads with 5 x 5 scores each."""
    vector, position, scores = 4 * 15 * 8, 4 * 15, 4 * 3 * 2 * 5 * 5
    hydra = 3 * vector + 2 * (2 * position + vector) + vector + vector  # q k v; norms, clamped, and quotients; S; out
    assert held("hydra") == hydra
    assert held("mean") == 4 * 5 + vector  # what divides, and out
    flags = 5 * 5
    assert held("softmax", kernel="naive", dropout=0.0) == 3 * vector + flags + scores + vector


def test_on_two_sizes_the_explicit_matrix_has_a_square():
    sizes = []
    for length in (64, 128):
        compute, weights = CPU.core(lambda one: built(cores.NAIVE, one), shape(length=length))
        sizes.append(cores.held_bytes(compute, weights, CPU.device))
    assert 3.4 < sizes[1] / sizes[0] < 4


def test_a_slope_by_hand():
    assert slope({1: 5.0, 2: 20.0, 4: 80.0}) == pytest.approx((2, 2, 2))
    found = slope({1: 1.0, 2: 4.0, 4: 8.0})  # logarithms 0, 2, 3: slope 1.5, residuals 1/6, 1/3, 1/6
    error = ((1 / 36 + 4 / 36 + 1 / 36) / 2) ** 0.5
    assert found == pytest.approx((1.5, 1.5 - 12.7062047 * error, 1.5 + 12.7062047 * error))
    assert slope({1: 1.0, 2: 2.0}) is None


def test_a_crossover_by_hand():
    """log2 of the ratio is 2, 1, -1 with an interval of +- 1 at 64, 128, 256: between 128 and 256 all is a line."""
    ratios = {64: (4.0, 2.0, 8.0), 128: (2.0, 1.0, 4.0), 256: (0.5, 0.25, 1.0)}
    value, low, high = crossover(ratios)
    assert value == pytest.approx(128 * 2**0.5)
    assert low == pytest.approx(128)
    assert high is None  # at 256 the upper end is not below 1
    assert crossover({64: (0.9, 0.8, 0.95), 128: (0.5, 0.4, 0.6)}) == (None, None, None)


def test_of_several_crossings_the_last_counts():
    ratios = {n: (r, r, r) for n, r in {1: 2.0, 2: 0.5, 4: 2.0, 8: 0.5}.items()}
    assert crossover(ratios)[0] == pytest.approx(4 * 2**0.5)


@pytest.mark.parametrize("model", [HYDRA | {"attention": {"name": "none"}}, {"family": "tim4rec"}])
def test_what_has_no_attention_is_refused_in_one_line(model, tmp_path):
    with pytest.raises(InputError, match=r"attention: family .* has none to time here; expected"):
        measured(tmp_path, model)


def test_without_a_compiler_compiled_is_refused_in_one_line(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("No working C++ compiler found\nand more")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(
        InputError, match=r"compiled: true was asked for, .*\(No working C\+\+ compiler found\); expected"
    ):
        measured(tmp_path, HYDRA, compiled=True)

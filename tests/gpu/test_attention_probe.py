"""The probe of attention on a GPU: it names the device, has FlashAttention beside it, and counts what is allocated."""

import pyarrow.parquet as pq
import pytest

from made_data import GRADIENT, SASREC
from seqrepro.files import read_json
from seqrepro.probes import attention
from seqrepro.request import Request

pytestmark = pytest.mark.gpu
WANTED = {"lengths": [64, 128, 256], "widths": [64, 128], "width_length": 64, "rows": 4, "tokens": 512, "fit_from": 64}
WANTED |= {"rounds": 1, "block_seconds": 1e-2, "largest_matrix_mb": 64, "dtype": "bfloat16"}
SIZES = {"width": 64, "heads": 2, "inner_width": 256}


@pytest.mark.parametrize("method", ["hydra", "linear_transformer"])
def test_kernels_take_turns_in_16_bits(method, tmp_path):
    model = SASREC | SIZES | {"family": "hydrarec", "frame": "causal", "attention": {"name": method}}
    parameters = {"config": {"model": model, "training": GRADIENT | {"device": "cuda"}}, **WANTED}
    path, told = attention.run(Request("probe", "seqrepro.probes.attention", str(tmp_path), [], parameters, [], "code"))
    values = {(row["measure"], row["at"]): row["value"] for row in pq.read_table(path).to_pylist()}
    for other in ("softmax naive", "softmax sdpa", "softmax flash"):
        assert values[f"seconds of {other}, core, forward and backward over length", 256] > 0
        assert values[f"memory_bytes of {other} over length", 256] > values[f"memory_bytes of {other} over length", 64]
    found = read_json(told)
    assert found["dtype"] == "bfloat16" and "CPU" not in found["device"]

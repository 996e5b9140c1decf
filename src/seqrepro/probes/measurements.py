"""What most probes write: tidy rows of a measure, where it was measured if anything was varied, and its value.

A value of None says that there is none, such as the time of what would not fit into memory.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from seqrepro.files import write_parquet
from seqrepro.request import Request

Measurement = tuple[str, float | None, float | None]
FILE = "measurements.parquet"
SCHEMA = pa.schema([("measure", pa.string()), ("at", pa.float64()), ("value", pa.float64())])


def write_measurements(request: Request, rows: Iterable[Measurement]) -> Path:
    """Write `measurements.parquet` into the folder of a request that measured at least one number."""
    path = request.output / FILE
    write_parquet(path, pa.table([*map(list, zip(*rows, strict=True))], schema=SCHEMA))
    return path

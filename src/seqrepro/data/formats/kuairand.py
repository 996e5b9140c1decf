"""KuaiRand (Gao et al., CIKM 2022): logs with a header; read are user_id, video_id and time_ms. All rows, no labels.

`time_ms` is Unix milliseconds. Timestamps are stored as whole seconds, rounded down, as everywhere; the milliseconds
stay beside them (`fractions`) and decide the order, so that no two moments become a tie. Several logs are read in the
order of the registry.
"""

from pathlib import Path

import pyarrow as pa

from seqrepro.data.formats.delimited import Layout, read_named
from seqrepro.data.interactions import Interactions

COLUMNS = ("user_id", "video_id", "time_ms")
LAYOUT = Layout(COLUMNS, COLUMNS, header=True, delimiter=",")


def read(paths: dict[str, Path]) -> Interactions:
    """Read all logs.

    Raises:
        InputError: a row that breaks the format.
    """
    table = pa.concat_tables([read_named(path, LAYOUT) for path in paths.values()])
    users, videos = (table[name].combine_chunks() for name in ("user_id", "video_id"))
    moments = table["time_ms"].to_numpy()
    return Interactions(users, videos, moments // 1000, fractions=moments % 1000)

"""Amazon product data (2014), reviews: a JSON object a line; read are reviewerID, asin, overall and unixReviewTime.

The file ends in .json, or in .json.gz if it is still compressed. Times are Unix seconds, whole days. Rows of the
official files are sorted by product, so ties of a user stand in the order of the product's id.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json

from seqrepro.data.interactions import Interactions
from seqrepro.errors import InputError

FIELDS = {"reviewerID": pa.string(), "asin": pa.string(), "overall": pa.float64(), "unixReviewTime": pa.int64()}
KINDS: dict[str, tuple[type, ...]] = {
    "reviewerID": (str,),
    "asin": (str,),
    "overall": (int, float),
    "unixReviewTime": (int,),
}
BLOCK = 1 << 26  # bytes read at once; no review is longer


def read(paths: dict[str, Path]) -> Interactions:
    """Read the one file.

    Raises:
        InputError: several files, a line that is no JSON object, or a field that is missing or of another type.
    """
    if len(paths) != 1:
        raise InputError(f"files: found {sorted(paths)}, expected one file of reviews")
    (path,) = paths.values()
    try:
        table = pa.json.read_json(
            path,
            read_options=pa.json.ReadOptions(use_threads=False, block_size=BLOCK),
            parse_options=pa.json.ParseOptions(
                explicit_schema=pa.schema(FIELDS), unexpected_field_behavior="ignore", newlines_in_values=False
            ),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: {_first_bad_line(path) or ' '.join(str(error).split())}") from None
    if any(table[name].null_count for name in FIELDS):
        raise InputError(f"{path}: {_first_bad_line(path)}")
    users, items = (table[name].combine_chunks() for name in ("reviewerID", "asin"))
    ratings = table["overall"].to_numpy().astype(np.float32)
    return Interactions(users, items, table["unixReviewTime"].to_numpy(), ratings=ratings)


def _first_bad_line(path: Path) -> str | None:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for row, line in enumerate(lines, start=1):
                if problem := _bad_line(line):
                    return f"row {row}: {problem}"
    except (OSError, EOFError) as error:
        return " ".join(str(error).split())
    return None


def _bad_line(line: bytes) -> str | None:
    try:
        review: Any = json.loads(line)
    except ValueError as error:
        return f"found no JSON ({error}), expected a review"
    if not isinstance(review, dict):
        return f"found {type(review).__name__}, expected a JSON object"
    for name, kinds in KINDS.items():
        if type(review.get(name)) not in kinds:
            return f"found {name} {review.get(name)!r}, expected {kinds[-1].__name__}"
    return None

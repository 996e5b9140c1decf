"""Steam reviews (Kang and McAuley, ICDM 2018): a Python dictionary literal a line, which is not JSON.

Read are `username` (not unique by Steam's rules, but what SASRec and BERT4Rec take as the user), `product_id` and
`date` (YYYY-MM-DD, stored as midnight UTC). The file ends in .gz if it is still compressed. There are no ratings.
"""

import ast
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqrepro.data.formats.delimited import integer_ids
from seqrepro.data.interactions import Interactions
from seqrepro.errors import InputError

FIELDS = ("username", "product_id", "date")


def read(paths: dict[str, Path]) -> Interactions:
    """Read the one file.

    Raises:
        InputError: several files, or a line that is no such dictionary.
    """
    if len(paths) != 1:
        raise InputError(f"files: found {sorted(paths)}, expected one file of reviews")
    (path,) = paths.values()
    users, items, dates = _columns(path)
    products = pa.chunked_array([pa.array(items, pa.string())])
    return Interactions(pa.array(users, pa.string()), integer_ids(products), _seconds(path, dates))


def _columns(path: Path) -> tuple[list[str], list[str], list[str]]:
    users, items, dates = [], [], []
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for line in lines:
                review = ast.literal_eval(line)
                users.append(review["username"])
                items.append(review["product_id"])
                dates.append(review["date"])
    except (ValueError, SyntaxError, TypeError, KeyError) as error:
        found = f"row {len(dates) + 1}: found {_reason(error)}"
        raise InputError(f"{path}: {found}, expected {', '.join(FIELDS)}") from None
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: after row {len(dates)}: {' '.join(str(error).split())}") from None
    return users, items, dates


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else f"no dictionary ({' '.join(str(error).split())})"


def _seconds(path: Path, dates: list[str]) -> Any:
    """[N] Unix seconds of midnight UTC."""
    try:
        return np.array(dates, "datetime64[D]").astype("datetime64[s]").astype(np.int64)
    except ValueError:
        row = next(row for row, date in enumerate(dates, start=1) if not _is_date(date))
        raise InputError(f"{path}: row {row}: found date {dates[row - 1]!r}, expected YYYY-MM-DD") from None


def _is_date(text: str) -> bool:
    try:
        np.datetime64(text, "D")
    except ValueError:
        return False
    return True

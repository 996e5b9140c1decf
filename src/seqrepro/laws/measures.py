"""Measures of data: what is measured of a training set, and the amounts of data D' that are made of it.

P-Law multiplies tokens by the reciprocal of S_real (its "Real Entropy"), arXiv 2412.00430 by that of the Approximate
Entropy. Either rewards regularity. The opposite products are beside them, and the bits that codes need for all tokens:
tokens times an entropy is the length of a text, which repetition hardly makes longer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqrepro.errors import InputError
from seqrepro.files import Json, read_json

Row = dict[str, Any]

ORDER = "2"  # m of ApEn, the default of the authors' code
COLUMNS: dict[str, tuple[str, ...]] = {  # of a row -> where it stands in the measures of a window
    "tokens": ("tokens",),
    "sequences": ("sequences",),
    "items": ("items",),
    "repeats": ("entropy", "repeats", "share"),
    "apen": ("entropy", "approximate_entropy", ORDER, "user_mean", "absolute"),
    "apen_signed": ("entropy", "approximate_entropy", ORDER, "user_mean", "signed"),
    "apen_concat": ("entropy", "approximate_entropy", ORDER, "concat", "absolute"),
    "s_real": ("entropy", "lempel_ziv", "authors", "entropy"),
    "lempel_ziv": ("entropy", "lempel_ziv", "kontoyiannis", "entropy"),
    "shannon": ("entropy", "shannon_bits", "pooled"),
    "zlib": ("entropy", "zlib_ratio", "pooled"),
}
TOKENS = "tokens"
AMOUNTS: dict[str, Callable[[Row], float]] = {  # of data, by the names of `data_factor.csv`
    TOKENS: lambda row: float(row["tokens"]),
    "tokens / apen": lambda row: row["tokens"] / row["apen"],  # mean of the users' values, as in the authors' code
    "tokens * apen": lambda row: row["tokens"] * row["apen"],
    "tokens / apen, concatenated": lambda row: row["tokens"] / row["apen_concat"],
    "tokens * apen, concatenated": lambda row: row["tokens"] * row["apen_concat"],
    "tokens / s_real": lambda row: row["tokens"] / row["s_real"],
    "tokens * s_real": lambda row: row["tokens"] * row["s_real"],
    "tokens * lempel-ziv": lambda row: row["tokens"] * row["lempel_ziv"],
    "tokens * shannon": lambda row: row["tokens"] * row["shannon"],
    "tokens * zlib": lambda row: row["tokens"] * row["zlib"],
}


def read_measures(path: str | None, max_length: int) -> Row:
    """The measures of what a training saw, by COLUMNS; all None where they are not there.

    Args:
        path: the file that step `measure` writes; None: nothing was asked for.
        max_length: the window, which the file must have.

    Raises:
        InputError: the file is not what it must be.
    """
    if path is None or not Path(path).is_file():
        return dict.fromkeys(COLUMNS)
    found = [window for window in read_json(Path(path)).get("windows", []) if window["last"] == max_length]
    if not found:
        raise InputError(f"{path}: windows: found none of the last {max_length} items")
    return {name: _inside(found[0], place, path) for name, place in COLUMNS.items()}


def amount(name: str, row: Row) -> float | None:
    """D' of a row by one of AMOUNTS; None where a measure is missing or makes it 0 or infinite."""
    try:
        found = AMOUNTS[name](row)
    except (TypeError, ZeroDivisionError):
        return None
    return found if found > 0 else None


def _inside(told: Json, place: tuple[str, ...], path: str) -> Any:
    for key in place:
        if key not in told:
            raise InputError(f"{path}: no '{'.'.join(place)}', expected as step measure writes it")
        told = told[key]
    return told

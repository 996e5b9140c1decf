"""CSV and TSV: a header with the names of the columns, then a row each; text in double quotes may hold anything.

Arrow reads the file. Python's own reader goes through it again only to say which line is wrong.
"""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from seqrepro.data.own.opening import one_line, opened
from seqrepro.data.own.tables import Columns, Raw, check_columns, named
from seqrepro.errors import InputError

BLOCK = 1 << 24  # bytes that Arrow looks at together; no row may be longer
SEPARATORS = (",", ";", "\t", "|")
csv.field_size_limit(BLOCK)


def read_separated(path: Path, columns: Columns, separator: str, drop: bool) -> Raw:
    """The wanted columns as text.

    Args:
        path: the file.
        columns: our names -> the names in the header.
        separator: what stands between two columns.
        drop: leave out rows with another number of columns than the header, and count them.

    Raises:
        InputError: a missing column, a row with another number of columns, or text that is not UTF-8.
    """
    header = _header(path, columns, separator)
    broken: list[pa.csv.InvalidRow] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        broken.append(row)
        return "skip"

    wanted = list(columns.values())
    try:
        with opened(path) as stream:
            table = pa.csv.read_csv(
                stream,
                read_options=pa.csv.ReadOptions(block_size=BLOCK),
                parse_options=pa.csv.ParseOptions(
                    delimiter=separator, newlines_in_values=True, invalid_row_handler=skip if drop else None
                ),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pa.string()),
                    null_values=[],
                    strings_can_be_null=False,
                ),
            )
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: {_problem(path, header, wanted, separator) or one_line(error)}") from None
    return Raw(named(table, columns), lambda index: _row_name(path, len(header), separator, index), len(broken))


def _header(path: Path, columns: Columns, separator: str) -> list[str]:
    header = next(_lines(path, separator), (1, [""]))[1]
    if not _is_utf8("".join(header)):
        raise InputError(f"{path}: row 1: found bytes that are not UTF-8, expected UTF-8 text")
    others = [other for other in SEPARATORS if other != separator and len(header) == 1 and other in header[0]]
    if others:
        found = f"found one column {header[0]!r}"
        raise InputError(f"{path}: row 1: {found}, expected {separator!r} between columns; is it {others[0]!r}?")
    check_columns(f"{path}: row 1", header, columns)
    return header


def _lines(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of each row that is not empty; bytes that are not UTF-8 become surrogates."""
    with opened(path) as stream:
        text = io.TextIOWrapper(io.BufferedReader(stream), "utf-8-sig", errors="surrogateescape", newline="")
        reader, line = csv.reader(text, delimiter=separator), 1
        for values in reader:
            if values:
                yield line, values
            line = reader.line_num + 1


def _problem(path: Path, header: list[str], wanted: list[str], separator: str) -> str | None:
    """What is wrong with the first bad row."""
    places = [header.index(name) for name in wanted]
    for line, values in _lines(path, separator):
        if len(values) != len(header):
            return f"row {line}: found {len(values)} columns, expected {len(header)}"
        if not all(_is_utf8(values[place]) for place in places):
            return f"row {line}: found bytes that are not UTF-8, expected UTF-8 text"
    return None


def _row_name(path: Path, width: int, separator: str, index: int) -> str:
    rows = (line for line, values in _lines(path, separator) if len(values) == width)
    return f"row {next(islice(rows, index + 1, None))}"  # the first one is the header


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)

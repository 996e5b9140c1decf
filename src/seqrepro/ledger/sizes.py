"""The table of how many numbers each model learns: in all, and without its table of items.

A row a configuration, from `metrics.json` of a finished seed; all seeds have as many. The table of items, which scores
too in models with tied weights, has a row of D for each item and some more, for padding and a mask; how many more is
part of the request. Closed forms have none: all that they keep counts. BERT4Rec's bias of the scores, a number an item,
is no part of the table.
"""

from pathlib import Path

import pyarrow as pa

from seqrepro.files import Json
from seqrepro.ledger.evidence import Evidence, Row
from seqrepro.ledger.tables import NOT_RUN, TEXT, WHOLE, complete, markdown, places, write_table, write_texts

COUNTS = ("parameters", "item_table", "without_item_table")
SCHEMA = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "data_class", "model", "title")),
        *((name, WHOLE) for name in ("n_items", *COUNTS)),
        *((name, TEXT) for name in ("protocol", "folder")),
    ]
)
CAPTION = (
    "Numbers that a model learns or keeps, and how many of them are not in its table of items. A closed form has no "
    "such table; all that it keeps counts."
)


def write(folder: Path, wanted: Json, evidence: list[Evidence]) -> list[Path]:
    """Write `parameters.parquet`, `.csv` and `.md`, from the parameters of a request to compare."""
    rows = complete(map(size_row, evidence), SCHEMA)
    text = sizes_markdown(rows, wanted["datasets"], wanted["runs"])
    return [*write_table(folder / "parameters", rows, SCHEMA), *write_texts(folder / "parameters", md=text)]


def size_row(one: Evidence) -> Row:
    """What one configuration learns; without counts if no seed is finished."""
    row = {key: one.run[key] for key in ("dataset", "data_class", "model", "title", "protocol", "folder")}
    if not one.facts:
        return row
    items, whole = one.facts[0]["n_items"], one.facts[0]["parameters"]
    told = one.run["item_table"]
    table = (items + told["more_rows"]) * told["width"] if told else 0
    return row | {"n_items": items, **dict(zip(COUNTS, (whole, table, whole - table), strict=True))}


def printed(value: int | None) -> str:
    """A count in groups of three, or that nothing has run."""
    return NOT_RUN if value is None else f"{value:,}"


def sizes_markdown(rows: list[Row], datasets: Json, runs: list[Json]) -> str:
    """One Markdown table a dataset and protocol, rows models."""
    parts = ["# Parameters\n", f"{CAPTION}\n"]
    for name, words, own in places(rows, datasets, runs):
        parts.append(f"## {datasets[name]['title']}{words}\n")
        lines = [[row["title"], *(printed(row[count]) for count in COUNTS)] for row in own]
        parts.append(markdown(["Model", "parameters", "of the item table", "without it"], lines))
    return "\n".join(parts)

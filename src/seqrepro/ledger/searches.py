"""The table of searches: what each trial of a model reached on the validation split, and which one was chosen.

A row a trial, from the committed selections alone (`registry/selected/`): no run is read again. Trial 0 is the model as
`params.yaml` has it. Each trial was trained with one seed; where trials lie closer than seeds do, the choice is partly
luck.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from seqrepro.files import Json, read_json
from seqrepro.ledger.evidence import Row
from seqrepro.ledger.tables import REAL, TEXT, WHOLE, complete, markdown, write_table, write_texts

KEYS = ("dataset", "protocol_name", "experiment", "model", "title")
SCHEMA = pa.schema(
    [
        *((name, TEXT) for name in KEYS),
        ("trial", WHOLE),
        ("settings", TEXT),
        ("metric", TEXT),
        ("value", REAL),
        *((name, TEXT) for name in ("chosen", "folder")),
    ]
)
CAPTION = (
    "Every model of a search has as many trials, the first with nothing changed, each trained with one seed. The "
    "value is of the validation split, and nothing else decided."
)
UNCHANGED = "unchanged"
NO_SEARCHES = "Nothing of this suite was selected from trials.\n"


def write(folder: Path, wanted: Json) -> list[Path]:
    """Write `searches.parquet`, `.csv` and `.md`, from the parameters of a request to compare."""
    rows = complete((row for entry in wanted["searched"] for row in search_rows(entry)), SCHEMA)
    return [*write_table(folder / "searches", rows, SCHEMA), *write_texts(folder / "searches", md=_markdown(rows))]


def search_rows(entry: Json) -> Iterator[Row]:
    """The trials of one model on one dataset, in order; none where nothing was chosen yet."""
    selection = read_json(Path(entry["selection"]))
    found = selection["choices"].get(entry["dataset"], {}).get(entry["model"])
    for number, trial in enumerate(found["trials"] if found else []):
        yield {key: entry[key] for key in KEYS} | {
            "trial": number,
            "settings": words(trial["settings"]),
            "metric": selection["search"]["metric"],
            "value": trial["value"],
            "chosen": "yes" if number == found["trial"] else "no",
            "folder": trial["run"],
        }


def words(settings: Json) -> str:
    """Settings by the last word of their paths: 'rho 0.1'; two that end alike keep the word before it."""
    last = [path.split(".")[-1] for path in settings]
    names = [path if last.count(path.split(".")[-1]) > 1 else path.split(".")[-1] for path in settings]
    told = (f"{name.replace('_', ' ')} {value}" for name, value in zip(names, settings.values(), strict=True))
    return ", ".join(told) or UNCHANGED


def by_model(rows: Iterable[Row]) -> list[Row]:
    """For each searched model: its chosen trial, with all of them under `trials`."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["experiment"], row["model"]), []).append(row)
    return [next(row for row in own if row["chosen"] == "yes") | {"trials": own} for own in found.values()]


def _markdown(rows: list[Row]) -> str:
    lines = [
        [row["dataset"], row["title"], row["settings"], row["metric"], f"{row['value']:.4f}", row["chosen"]]
        for row in rows
    ]
    head = ["Dataset", "Model", "Trial", "Metric", "Validation", "Chosen"]
    return "\n".join(["# Searches\n", f"{CAPTION}\n\n{markdown(head, lines)}" if rows else NO_SEARCHES])

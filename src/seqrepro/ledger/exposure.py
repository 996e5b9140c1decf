"""The table of coverage and popularity bias: what the exposure probes of the runs say, beside the held-out items.

It reads `exposure.json` alone. A run without an exposure probe has no row; one whose probe did not run is 'not run'.
"""

import statistics as spread
from pathlib import Path

import pyarrow as pa

from seqrepro.evaluation.exposure import MEASURES
from seqrepro.files import Json, read_json
from seqrepro.ledger.evidence import Row, seed_folder
from seqrepro.ledger.tables import (
    NOT_RUN,
    REAL,
    TEXT,
    WHOLE,
    complete,
    markdown,
    places,
    seeds,
    write_table,
    write_texts,
)

SCHEMA = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "data_class", "model", "title")),
        ("cutoff", WHOLE),
        ("measure", TEXT),
        ("seeds", WHOLE),
        *((name, REAL) for name in ("mean", "sd_seeds", "reference", "bias")),
        *((name, TEXT) for name in ("missing_seeds", "protocol", "folder")),
    ]
)
DIGITS = {"shannon_entropy": 2, "average_popularity": 1}  # three for the others, which are shares
TEST_ITEMS = "(held-out test items)"
CAPTION = (
    "The best items of each test user without those of the history: mean over seeds ± standard deviation between them. "
    "Coverage: share of the catalogue that anybody gets. Gini: 0 if all items are shown equally often, near 1 if few "
    "are. Entropy in bits. Average popularity: training interactions of a shown item. Percentile: share of less "
    "popular items. Tail: share outside the 20 % most popular items. In the last line, how popular the held-out items "
    "are, which users really chose next."
)


def write(folder: Path, wanted: Json) -> list[Path]:
    """Write `exposure.parquet`, `.csv` and `.md`, from the parameters of a request to compare."""
    rows = complete((row for run in wanted["runs"] for row in exposure_rows(run, wanted["exposure"])), SCHEMA)
    stem = folder / "exposure"
    text = exposure_markdown(rows, wanted["datasets"], wanted["runs"])
    return [*write_table(stem, rows, SCHEMA), *write_texts(stem, md=text)]


def exposure_rows(run: Json, asked: dict[str, list[int]]) -> list[Row]:
    """A row a (cutoff, measure) of one configuration, given the cutoffs of every file that a probe shall write."""
    folders = {seed_folder(run, seed): seed for seed in run["seeds"]}
    own = [(folders[place], Path(path), asked[path]) for path in asked if (place := Path(path).parents[2]) in folders]
    cutoffs = sorted({cutoff for *_, listed in own for cutoff in listed})
    return [
        row
        for cutoff in cutoffs
        for row in _rows(run, cutoff, {seed: _told(path, cutoff) for seed, path, listed in own if cutoff in listed})
    ]


def by_cutoff(rows: list[Row]) -> dict[int, dict[str, dict[str, Row]]]:
    """{cutoff: {folder: {measure: row}}}, in order of first appearance."""
    grouped: dict[int, dict[str, dict[str, Row]]] = {}
    for row in rows:
        grouped.setdefault(row["cutoff"], {}).setdefault(row["folder"], {})[row["measure"]] = row
    return grouped


def references(models: dict[str, dict[str, Row]]) -> dict[str, float | None]:
    """The value of the held-out test items for each measure; None where there is none, or nothing has run."""
    return {
        measure: next((own[measure]["reference"] for own in models.values() if own[measure]["seeds"]), None)
        for measure in MEASURES
    }


def printed(measure: str, value: float | None) -> str:
    """A value at the digits of its measure; nothing for None."""
    return "" if value is None else f"{value:.{DIGITS.get(measure, 3)}f}"


def exposure_markdown(rows: list[Row], datasets: Json, runs: list[Json]) -> str:
    """One Markdown table a dataset, protocol and cutoff, rows models."""
    parts = ["# Coverage and popularity\n", f"{CAPTION}\n"]
    for name, protocol, own in places(rows, datasets, runs):
        for cutoff, models in by_cutoff(own).items():
            reference = [printed(measure, value) for measure, value in references(models).items()]
            lines = [*map(_line, models.values()), [TEST_ITEMS, *reference, "", own[0]["data_class"]]]
            parts.append(f"## {datasets[name]['title']}{protocol}, best {cutoff} items\n")
            parts.append(markdown(["Model", *MEASURES, "seeds", "data"], lines))
    return "\n".join(parts if rows else [*parts, "No run of this suite has an exposure probe.\n"])


def _told(path: Path, cutoff: int) -> Json | None:
    """What a file says, if it is there and knows the cutoff."""
    told = read_json(path) if path.is_file() else {"cutoffs": {}}
    return told if str(cutoff) in told["cutoffs"] else None


def _rows(run: Json, cutoff: int, told: dict[int, Json | None]) -> list[Row]:
    found = [one for one in told.values() if one]
    return [
        {
            **{key: run[key] for key in ("dataset", "data_class", "model", "title", "protocol", "folder")},
            "cutoff": cutoff,
            "measure": measure,
            "seeds": len(found),
            "missing_seeds": " ".join(str(seed) for seed, one in told.items() if not one),
            **(_values(measure, cutoff, found) if found else {}),
        }
        for measure in MEASURES
    ]


def _values(measure: str, cutoff: int, found: list[Json]) -> Row:
    values = [one["cutoffs"][str(cutoff)][measure] for one in found]
    mean, reference = spread.fmean(values), found[0]["test_items"].get(measure)
    return {
        "mean": mean,
        "sd_seeds": spread.stdev(values) if len(values) > 1 else None,
        "reference": reference,
        "bias": None if reference is None else mean - reference,
    }


def _line(models: dict[str, Row]) -> list[str]:
    first = next(iter(models.values()))
    return [first["title"], *map(_cell, models.values()), seeds(first), first["data_class"]]


def _cell(row: Row) -> str:
    deviation = f" ± {printed(row['measure'], row['sd_seeds'])}" if row["sd_seeds"] is not None else ""
    return (printed(row["measure"], row["mean"]) or NOT_RUN) + deviation

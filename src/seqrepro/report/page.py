"""The report step: figures, and one self-contained page that shows every number with what stands behind it.

The page needs no network and no script. It is made from the suite's tables and from the records of the runs.
"""

import csv
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seqrepro.errors import InputError
from seqrepro.evaluation.exposure import MEASURES
from seqrepro.files import Json, write_text
from seqrepro.ledger import exposure, tables
from seqrepro.ledger.evidence import Row
from seqrepro.report import figures
from seqrepro.report.cells import Environments, RunRecord, anchor, read_histories, read_records, read_robustness
from seqrepro.report.claims import SIGNS, read_shown
from seqrepro.report.drawing import Drawn
from seqrepro.request import Request

GENERATED = "generated"
HEADLINE = "ndcg@10"


def run(request: Request) -> list[Path]:
    """Write a suite's figures and `index.html`, and return the files.

    Raises:
        InputError: the tables are missing (run `compare` first).
    """
    wanted = request.parameters
    rows = {name: _read(Path(wanted["tables"]) / f"{name}.parquet") for name in _TABLES}
    records = read_records(wanted["runs"], rows["runs"])
    places = tables.places(wanted["runs"], wanted["datasets"], wanted["runs"])
    sections = [_section(dataset, words, runs, wanted, rows) for dataset, words, runs in places]
    environments = Environments()
    for record in records:
        for sidecar in record.sidecars:
            environments.number(sidecar)
    page = _templates().get_template("page.html.j2")
    text = page.render(
        wanted=wanted,
        sections=sections,
        records=records,
        environments=environments,
        extras=[_extra(table) for table in wanted.get("extra_tables") or []],
        protocols=list(dict.fromkeys(run["protocol"] for run in wanted["runs"])),
        counts=_counts(records),
        claims=read_shown(Path(wanted["verdicts"])),
        all_generated=all(section["generated"] for section in sections),
    )
    write_text(request.output / "index.html", text)
    drawn = [file for section in sections for figure in section["figures"] for file in figure.files]
    return [*drawn, request.output / "index.html"]


_TABLES = ("metrics", "runs", "published", "comparisons", "exposure")


def _section(name: str, words: str, runs: list[Json], wanted: Json, rows: dict[str, list[Row]]) -> dict[str, Any]:
    """What the page shows of one protocol on one dataset; `words` name it, unless it is the only one there."""
    dataset = wanted["datasets"][name]
    if words:
        name, dataset = f"{name}-{runs[0]['protocol_name']}", dataset | {"title": dataset["title"] + words}
    folders = {run["folder"] for run in runs}
    own = {table: [row for row in found if row["folder"] in folders] for table, found in rows.items()}
    masked = [row for row in own["metrics"] if row["masking"] == "masked"]
    folder, title = Path(wanted["figures"]), dataset["title"]
    drawn = {
        "accuracy": figures.accuracy(folder, name, title, own["metrics"]),
        "learning": figures.learning_curves(folder, name, title, read_histories(runs)),
        "robustness": figures.robustness(folder, name, title, read_robustness(runs)),
    }
    best = tables.best_folders(masked)
    return {
        "name": name,
        "dataset": dataset,
        "protocol": runs[0]["protocol"],
        "generated": dataset["family"] == GENERATED,
        "masked": _table(masked),
        "unmasked": _table([row for row in own["metrics"] if row["masking"] == "unmasked"]),
        "sampled": _table([row for row in own["metrics"] if row["masking"] == "sampled"]),
        "among": runs[0]["rankings"].get("sampled"),
        "top": next((row for row in masked if (row["metric"], row["folder"]) == (HEADLINE, best.get(HEADLINE))), None),
        "users": max((row["users"] or 0 for row in masked), default=0),
        "repeated": max((row["targets_in_history"] or 0 for row in masked), default=0),
        "baseline": next((row["baseline"] for row in own["comparisons"]), None),
        "comparisons": tables.by_folder(own["comparisons"]),
        "exposure": exposure.by_cutoff(own["exposure"]),
        "comparable": [row for row in own["published"] if row["comparable"] == "yes"],
        "other_published": [row for row in own["published"] if row["comparable"] != "yes"],
        "drawn": drawn,
        "figures": [figure for group in drawn.values() for figure in group],
    }


def _table(rows: list[Row]) -> dict[str, Any]:
    """Rows by configuration and metric, the best of each metric, and whether one seed or ties need a footnote."""
    shown = [row for row in rows if row["metric"] in tables.PAPER_METRICS]
    finished = [row for row in shown if row["seeds"]]
    return {
        "models": tables.by_folder(shown),
        "best": tables.best_folders(shown),
        "one_seed": any(row["interval_covers"] == "users" for row in finished),
        "ties": any(tables.ties_matter(row) for row in finished),
    }


def _counts(records: list[RunRecord]) -> dict[str, int]:
    seeds = [seed for record in records for seed in record.seeds]
    done = [seed for seed in seeds if seed.facts["state"] == "done"]
    return {
        "planned": len(seeds),
        "done": len(done),
        "configurations": len(records),
        "recorded": sum(seed.sidecar is not None for seed in done),
        "differing": sum(seed.verified is False for seed in done),
    }


def _extra(table: Json) -> dict[str, Any]:
    """A table that another step made: its head and its lines as they are printed; no lines if it did not run."""
    path = Path(table["path"])
    lines: list[list[str]] = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as stream:
            lines = [[_printed(cell) for cell in line] for line in csv.reader(stream)]
    return {"title": table["title"], "caption": table.get("caption", ""), "path": table["path"], "lines": lines}


def _printed(cell: str) -> str:
    """A CSV cell, with numbers at six significant digits, and large whole ones in groups of three."""
    try:
        return f"{int(cell):,}" if re.fullmatch(r"[+-]?[1-9][0-9]{4,}", cell) else _six_digits(cell)
    except ValueError:
        return cell


def _six_digits(cell: str) -> str:
    return cell if cell.lstrip("+-").isdigit() else f"{float(cell):.6g}"


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; the report is made from the tables of `compare`")
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("seqrepro.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "number": lambda value, sign=False: _minus(tables.number(value, sign=sign)),
        "interval": lambda row: _minus(tables.interval(row)),
        "p_value": tables.p_value,
        "percent": lambda value: _minus(tables.percent(value)),
        "measured": lambda value, measure: _minus(exposure.printed(measure, value)),
        "references": exposure.references,
        "anchor": anchor,
        "sentence": lambda text: text[:1].upper() + text[1:],
        "count": lambda value: "" if value is None else f"{value:,}",
        "short": lambda digest: digest[:12] if digest else "no record",
        "seconds": _duration,
        "svg": _svg,
    }
    environment.filters |= filters
    environment.tests["ties_matter"] = tables.ties_matter
    environment.globals |= {"metrics": tables.PAPER_METRICS, "not_run": tables.NOT_RUN}
    environment.globals["signs"] = SIGNS
    environment.globals |= {"measures": MEASURES, "exposure_caption": exposure.CAPTION}
    return environment


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _svg(figure: Drawn) -> Markup:
    return Markup(figure.svg)  # our own drawing: its texts were escaped by matplotlib

"""A suite as the pages see it: its tables, sections, claims and records, read once."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from seqrepro.errors import InputError
from seqrepro.files import Json
from seqrepro.ledger.evidence import Row
from seqrepro.report import laws
from seqrepro.report.cells import Environments, RunRecord, StepRecord, read_records, read_steps
from seqrepro.report.claims import order, read_judged
from seqrepro.report.drawing import Drawn
from seqrepro.report.extras import Extra, read_extra
from seqrepro.report.papers import Paper, read_paper
from seqrepro.report.sections import Section, read_sections

TABLES = (
    *("metrics", "runs", "published", "comparisons", "exposure", "variations", "cost", "compute", "parameters"),
    "searches",
)


@dataclass(frozen=True)
class Suite:
    """All that the pages show."""

    wanted: Json  # the parameters of the request
    rows: dict[str, list[Row]]  # of each table
    sections: list[Section]
    papers: list[Paper]
    extras: list[Extra]
    fits: list[Drawn]  # of the Performance Law
    records: list[RunRecord]
    steps: list[StepRecord]
    environments: Environments

    @property
    def pages(self) -> list[tuple[str, str]]:
        """(name, title) of each page, in the order in which they link to each other."""
        papers = [(paper.name, paper.title) for paper in self.papers]
        return [("index", "All claims"), *papers, ("results", "Results"), ("runs", "Runs and records")]

    @property
    def claims(self) -> list[Json]:
        """The judged claims of all papers."""
        return [claim for paper in self.papers for claim in paper.claims]

    @property
    def figures(self) -> list[Drawn]:
        """Every figure that was drawn."""
        own = [figure for section in self.sections for figure in section["figures"]]
        return [*own, *self.fits] + [figure for claim in self.claims for figure in claim["effects"]]

    @property
    def verdicts_csv(self) -> Path:
        """The table of verdicts, a row a test."""
        return Path(self.wanted["verdicts"]).with_suffix(".csv")

    @property
    def all_generated(self) -> bool:
        """Whether nothing in it is real."""
        return all(section["generated"] for section in self.sections)

    @property
    def protocols(self) -> list[str]:
        """The different protocols, in words."""
        return list(dict.fromkeys(run["protocol"] for run in self.wanted["runs"]))

    @property
    def counts(self) -> dict[str, int]:
        """How much is planned, done and recorded."""
        seeds = [seed for record in self.records for seed in record.seeds]
        done = [seed for seed in seeds if seed.facts["state"] == "done"]
        return {
            "planned": len(seeds),
            "done": len(done),
            "configurations": len(self.records),
            "recorded": sum(seed.sidecar is not None for seed in done),
            "differing": sum(seed.verified is False for seed in done),
        }


def read_suite(wanted: Json) -> Suite:
    """Read what a request asks to be shown, and draw its figures.

    Raises:
        InputError: the tables are missing (run `compare` first), or a file of the registry is not what it must be.
    """
    rows = {name: _read(Path(wanted["tables"]) / f"{name}.parquet") for name in TABLES}
    records = read_records(wanted["runs"], rows["runs"])
    extras = [read_extra(table) for table in wanted["extra_tables"]]
    folders = [wanted["tables"], Path(wanted["verdicts"]).parent.as_posix(), *(extra.folder for extra in extras)]
    steps = read_steps(list(dict.fromkeys(folders)))
    environments = Environments()
    for sidecar in [*(one for record in records for one in record.sidecars), *(step.sidecar for step in steps)]:
        if sidecar:
            environments.number(sidecar)
    return Suite(
        wanted=wanted,
        rows=rows,
        sections=read_sections(wanted, rows),
        papers=_papers(wanted),
        extras=extras,
        fits=laws.figures(Path(wanted["figures"]), Path(wanted["laws"]) if wanted["laws"] else None),
        records=records,
        steps=steps,
        environments=environments,
    )


def _papers(wanted: Json) -> list[Paper]:
    judged, gates = read_judged(wanted), read_judged(wanted, "gates")
    files = sorted(wanted["papers"], key=lambda files: order(files["name"]))
    return [read_paper(one, judged.get(one["name"], {}), gates.get(one["name"], {}), wanted) for one in files]


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; the report is made from the tables of `compare`")
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows

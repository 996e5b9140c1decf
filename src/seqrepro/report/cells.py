"""What stands behind each cell of the report: the runs, their records, and what those records say.

Records are the sidecars that the harness leaves beside a run. A run without one says 'no record'.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from seqrepro.files import Json, canonical_json, read_json
from seqrepro.ledger.evidence import Row, seed_folder


@dataclass(frozen=True)
class SeedRecord:
    """One run: its results' facts and its sidecar, if there is one."""

    facts: Row  # a row of the runs table: seed, state, epochs, ranks_sha256 ...
    sidecar: Json | None
    seconds: float | None

    @property
    def verified(self) -> bool | None:
        """Whether the rank file is the one that the sidecar recorded; None without a record."""
        if self.sidecar is None or self.facts["ranks_sha256"] is None:
            return None
        path = (Path(self.facts["folder"]) / f"seed-{self.facts['seed']}" / "ranks.parquet").as_posix()
        return bool(self.sidecar["outputs"].get(path) == self.facts["ranks_sha256"])


@dataclass(frozen=True)
class RunRecord:
    """One configuration: its entry in the request and a record a seed."""

    run: Json
    seeds: list[SeedRecord]

    @property
    def anchor(self) -> str:
        """The id of its entry in the page."""
        return anchor(self.run["folder"])

    @property
    def name(self) -> str:
        """The last part of its folder: label and first digits of the configuration's hash."""
        return Path(self.run["folder"]).name

    @property
    def sidecars(self) -> list[Json]:
        """The records that are there."""
        return [seed.sidecar for seed in self.seeds if seed.sidecar]

    @property
    def configurations(self) -> list[Any]:
        """The different configurations that its records name: one, if all is well."""
        return _different(sidecar["request"]["parameters"].get("config") for sidecar in self.sidecars)

    @property
    def data(self) -> list[tuple[str, str]]:
        """The different (file, sha256) that its records read."""
        return _different([path, digest] for sidecar in self.sidecars for path, digest in sidecar["inputs"].items())

    @property
    def code(self) -> list[str]:
        """The different code fingerprints."""
        return _different(sidecar["code"] for sidecar in self.sidecars)

    @property
    def commits(self) -> list[Json]:
        """The different states of the repository."""
        return _different(sidecar["git"] for sidecar in self.sidecars)


@dataclass(frozen=True)
class StepRecord:
    """A step that made tables or verdicts of the whole suite: its folder and its sidecar, if there is one."""

    folder: str
    sidecar: Json | None

    @property
    def anchor(self) -> str:
        """The id of its entry in the page."""
        return step_anchor(self.folder)


@dataclass
class Environments:
    """The different environments of the records, numbered in order of appearance."""

    known: list[Json] = field(default_factory=list)

    def number(self, sidecar: Json) -> int:
        """The number of a record's environment, from 1."""
        if sidecar["environment"] not in self.known:
            self.known.append(sidecar["environment"])
        return self.known.index(sidecar["environment"]) + 1


def anchor(folder: str) -> str:
    """The id under which a run's entry stands in the page."""
    return "run-" + folder.removeprefix("results/runs/").replace("/", "-")


def step_anchor(folder: str) -> str:
    """The id under which the entry of a step of the suite stands in the page."""
    return f"step-{Path(folder).name}"


def read_steps(folders: list[str]) -> list[StepRecord]:
    """The records of the steps that wrote into these folders."""
    sidecars = {folder: Path(folder) / "provenance.json" for folder in folders}
    return [StepRecord(name, read_json(path) if path.is_file() else None) for name, path in sidecars.items()]


def read_records(runs: list[Json], rows: list[Row]) -> list[RunRecord]:
    """The records of all runs, from the runs table and the sidecars."""
    by_folder: dict[str, list[Row]] = {}
    for row in rows:
        by_folder.setdefault(row["folder"], []).append(row)
    return [RunRecord(run, [_seed_record(run, row) for row in by_folder.get(run["folder"], [])]) for run in runs]


def read_histories(runs: list[Json]) -> list[Row]:
    """One row a (configuration, seed, epoch) of the finished runs."""
    return [row for run in runs for seed in run["seeds"] for row in _history(run, seed)]


def _seed_record(run: Json, row: Row) -> SeedRecord:
    folder = seed_folder(run, row["seed"])
    sidecar, timing = folder / "provenance.json", folder / "timing.json"
    seconds = read_json(timing).get("seconds_total") if timing.is_file() else None
    return SeedRecord(row, read_json(sidecar) if sidecar.is_file() else None, seconds)


def _history(run: Json, seed: int) -> list[Row]:
    path = seed_folder(run, seed) / "history.parquet"
    if not path.is_file():
        return []
    own = {"title": run["title"], "folder": run["folder"], "seed": seed}
    return [own | row for row in pq.read_table(path).to_pylist()]


def _different(values: Any) -> list[Any]:
    seen = {canonical_json(value): value for value in values}
    return list(seen.values())

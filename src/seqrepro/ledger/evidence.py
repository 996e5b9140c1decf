"""What the finished runs of one configuration say: their rank files, read once and checked against each other.

Shape suffixes: U users, S seeds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seqrepro.errors import InputError
from seqrepro.evaluation.metrics import user_values
from seqrepro.evaluation.ranks import SAMPLED, SCHEMA, TIES, ranks_of
from seqrepro.files import Json, read_json
from seqrepro.ledger.statistics import Array, Sample

KEYS = ["split", "user", "position"]  # what names a row
Row = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """One configuration on one dataset: its finished seeds, their facts and their ranks."""

    run: Json  # the entry of the request: dataset, model, title, published_as, folder, seeds, protocol, ...
    seeds: list[int]  # the finished ones
    facts: list[Json]  # metrics.json of each finished seed
    ranks: list[pa.Table]  # split and ranks of each finished seed; the same rows in all

    @property
    def place(self) -> tuple[str, str]:
        """Dataset and protocol: only what agrees in both is compared."""
        return self.run["dataset"], self.run["protocol"]

    @property
    def missing(self) -> list[int]:
        """The seeds that were asked for and are not there."""
        return [seed for seed in self.run["seeds"] if seed not in self.seeds]

    @property
    def deterministic(self) -> bool:
        """Whether the model is a closed form that runs once, as seed 0: another seed would give the same ranks."""
        once = self.run["seeds"] == [0]
        return once and bool(self.facts) and all(fact["stopped"] == "closed_form" for fact in self.facts)

    def split(self, name: str, *columns: str) -> list[pa.Table]:
        """The rank rows of one split, a table a seed; without names the column of the split alone."""
        return [table.select(["split", *columns]).filter(pc.field("split") == name) for table in self.ranks]

    def sample(self, metric: str, split: str, masking: str = "masked", ties: str = "pessimistic") -> Sample:
        """What each user gained with each seed, [U, S]."""
        tables = self.split(split, f"rank_{masking}_{TIES[ties]}")
        ranks = [ranks_of(table, masking, ties) for table in tables]
        gains_US: Array = np.empty((len(ranks[0]), len(ranks)))
        for seed, fact in enumerate(self.facts):
            gains_US[:, seed] = user_values(metric, ranks[seed], fact["n_items"])
        return Sample(gains_US, self.deterministic)


def collect(runs: Iterable[Json]) -> list[Evidence]:
    """Read the finished seeds of each run entry; a seed without its files is missing, not an error.

    Raises:
        InputError: a rank file lacks columns, or runs on one dataset under one protocol do not rank for the same users
            and positions.
    """
    found = [_read(run) for run in runs]
    for group in by_place(found):
        _same_users(group)
    return found


def grouped(rows: Iterable[Row], *names: str) -> Iterator[tuple[tuple[Any, ...], list[Row]]]:
    """Rows by the values of some columns, groups in the order of their first rows."""

    def place(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in names)

    rows = list(rows)
    order = {key: number for number, key in enumerate(dict.fromkeys(map(place, rows)))}
    for key, own in groupby(sorted(rows, key=lambda row: order[place(row)]), place):
        yield key, list(own)


def by_place(evidence: list[Evidence]) -> list[list[Evidence]]:
    """The configurations of each dataset and protocol, in order of first appearance."""
    places = dict.fromkeys(one.place for one in evidence)
    return [[one for one in evidence if one.place == place] for place in places]


def seed_folder(run: Json, seed: int) -> Path:
    """The folder of one run."""
    return Path(run["folder"]) / f"seed-{seed}"


def _read(run: Json) -> Evidence:
    seeds = [seed for seed in run["seeds"] if all(path.is_file() for path in _files(run, seed))]
    tables = [_read_ranks(_files(run, seed)[0], run) for seed in seeds]
    return Evidence(run, seeds, [read_json(_files(run, seed)[1]) for seed in seeds], tables)


def _files(run: Json, seed: int) -> tuple[Path, Path]:
    folder = seed_folder(run, seed)
    return folder / "ranks.parquet", folder / "metrics.json"


def _read_ranks(path: Path, run: Json) -> pa.Table:
    found = pq.read_schema(path).names
    expected = [*SCHEMA.names, *(SAMPLED.names if "sampled" in run["rankings"] else [])]
    lacking = [name for name in expected if name not in found]
    if lacking:
        raise InputError(f"{path}: no column '{lacking[0]}', expected {', '.join(expected)}")
    wanted = [name for name in expected if name == "split" or name.startswith("rank_")]
    return pq.read_table(path, columns=wanted, read_dictionary=["split"])


def _same_users(evidence: list[Evidence]) -> None:
    reference: tuple[Path, pa.Table] | None = None
    for path in (_files(one.run, seed)[0] for one in evidence for seed in one.seeds):
        rows = pq.read_table(path, columns=KEYS)
        if reference is None:
            reference = path, rows
        elif not rows.equals(reference[1]):
            raise InputError(f"{path}: users and positions differ from those of {reference[0]}, expected the same rows")

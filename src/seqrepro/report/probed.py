"""What probes measured on the runs of a section, as rows: title, folder and seed of a run, and the probe's own columns.

A section may have several probes of a kind, such as a costly one and a cheap one. One of them is shown, the same for
all models, or their numbers would not compare.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from seqrepro.files import Json, read_json
from seqrepro.ledger.evidence import Row, seed_folder
from seqrepro.probes.measurements import FILE


def chosen(runs: list[Json], probes: dict[str, str], kind: str, file: str) -> str | None:
    """The probe of a kind that has measured most of the runs, the first one of equals; None if none has any.

    Args:
        runs: entries of the request.
        probes: the kind of each probe, by its name.
        kind: the one that is looked for.
        file: what a probe of this kind leaves.
    """
    found = {name: len([*_files(runs, name, file)]) for name, own in probes.items() if own == kind}
    best = max(found, key=lambda name: found[name], default=None)
    return best if best and found[best] else None


def read_probe(runs: list[Json], probe: str | None, file: str) -> list[Row]:
    """The rows of a probe's file, of all seeds that it was measured on."""
    return [own | row for own, path in _files(runs, probe, file) for row in pq.read_table(path).to_pylist()]


def machines(runs: list[Json], probe: str | None) -> str:
    """What a probe measured its times on, in a sentence; nothing if it did not say."""
    beside = (path.with_name("machine.json") for _, path in _files(runs, probe, FILE))
    told = [read_json(path) for path in beside if path.is_file()]
    words = dict.fromkeys(
        ", ".join([one["device"], f"threads: {one['threads']}", *([one["dtype"]] if "dtype" in one else [])])
        for one in told
    )
    return f"Measured on {'; '.join(words)}." if words else ""


def _files(runs: list[Json], probe: str | None, file: str) -> Iterator[tuple[Row, Path]]:
    for run in runs if probe else []:
        for seed in run["seeds"]:
            path = seed_folder(run, seed) / f"probes/{probe}/{file}"
            if path.is_file():
                yield {"title": run["title"], "folder": run["folder"], "seed": seed}, path

"""What a suite has to judge by: its runs, what probes measured on them, its tables, and what papers printed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from seqrepro.files import Json
from seqrepro.ledger.evidence import Evidence, seed_folder
from seqrepro.ledger.measurements import Measurement, read_measurements
from seqrepro.ledger.published import Published

PUBLISHED = "registry/papers/{paper}/published.csv"


@dataclass(frozen=True)
class Grounds:
    """The planned and the finished work of a suite, and published numbers; descriptions as in the request."""

    suite: str
    results: Path  # the suite's folder, where tables lie
    evidence: list[Evidence] = field(default_factory=list)
    inputs: frozenset[str] = frozenset()  # all files that the plan names; no other is read
    probes: dict[str, str] = field(default_factory=dict)  # the file of each probe
    datasets: Json = field(default_factory=dict)  # family, variant, ... of each dataset that claims name
    rankings: Json = field(default_factory=dict)  # of each protocol: its text, masked and unmasked
    published: dict[str, list[Published]] = field(default_factory=dict)  # by file
    of_controls: bool = False  # generated data judge controls, and nothing else does

    def run_of(self, model: str, dataset: str, protocol: str, generated: bool = False) -> Evidence | None:
        """The configuration that the suite plans under these names; one on generated data only if that is asked for."""
        wanted = [model, protocol]
        for one in self.evidence:
            if one.run["dataset"] == dataset and wanted in one.run["names"]:
                is_generated = one.run["data_class"] == "generated"
                return one if is_generated == self.of_controls or (is_generated and generated) else None
        return None

    def measurement_files(self, one: Evidence, probe: str) -> list[Path]:
        """What a probe shall write, or has written, for each seed of a configuration that the plan wants it of."""
        if probe not in self.probes:
            return []
        paths = [seed_folder(one.run, seed) / "probes" / probe / self.probes[probe] for seed in one.run["seeds"]]
        return [path for path in paths if path.as_posix() in self.inputs]

    def measured(self, one: Evidence, probe: str, keep: Callable[[Measurement], bool]) -> list[list[Measurement]]:
        """What a probe measured, a list for each finished run."""
        files = [path for path in self.measurement_files(one, probe) if path.is_file()]
        return [[row for row in read_measurements(path) if keep(row)] for path in files]

    def table(self, name: str) -> Path:
        """A table of the suite."""
        return self.results / name

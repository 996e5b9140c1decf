"""From the plan to requests: one file a job under `results/plan/`, rewritten only when its content changed.

Snakemake takes them as inputs. A request that is younger than its results, and not what they were made from, re-runs
the job; so does a request that the results' own sidecar does not know.
"""

from dataclasses import dataclass, field
from pathlib import Path

from seqrepro.config import dataset_plan
from seqrepro.config.claim_plan import LeftOut, needed_runs
from seqrepro.config.dataset_plan import Registry
from seqrepro.config.describe_plan import describe_requests
from seqrepro.config.law_plan import law_requests
from seqrepro.config.parameters import Parameters
from seqrepro.config.plan import Run, datasets_of
from seqrepro.config.run_plan import candidate_request, probe_requests, train_request
from seqrepro.config.suite_plan import next_step, suite_requests
from seqrepro.errors import InputError
from seqrepro.files import read_json, write_json
from seqrepro.provenance.sidecar import read_sidecar, request_hash
from seqrepro.request import Request

RUN_FILES = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")


@dataclass(frozen=True)
class SuitePlan:
    """All that one suite asks for: its runs and its requests, by the file that each stands in."""

    suite: str
    runs: list[Run]
    requests: dict[Path, Request]
    left_out: list[LeftOut] = field(default_factory=list)  # what serves no claim, published number or chapter

    @property
    def next_step(self) -> str:
        """One line that says what to do when the trials of a search are over; empty if nothing is to be selected."""
        return next_step(self.suite, self.runs)

    def of(self, step: str) -> dict[Path, Request]:
        """The requests of one step."""
        return {path: request for path, request in self.requests.items() if request.step == step}


def plan_requests(parameters: Parameters, suite: str, registry: Registry) -> SuitePlan:
    """Plan a suite down to its jobs, in topological order."""
    runs, left_out = needed_runs(parameters, suite, registry)
    requests: dict[Path, Request] = {}
    described = _described(parameters, suite, runs)
    for dataset in dict.fromkeys([*datasets_of(runs), *described]):
        requests |= dataset_plan.requests(dataset, parameters.datasets[dataset], registry)
    if parameters.measures:
        requests |= dict(describe_requests(described, parameters.measures))
    requests |= dict(candidate_request(run) for run in runs if "candidates" in run.config)
    requests |= dict(map(train_request, runs))
    requests |= dict(law_requests(parameters, runs))
    for run in runs:
        requests |= dict(probe_requests(parameters, run, runs))
    requests |= dict(suite_requests(parameters, suite, runs, described, registry))
    return SuitePlan(suite, runs, requests, left_out)


def write_requests(plan: SuitePlan) -> list[Path]:
    """Bring `results/plan/` up to date, and return the files that were written."""
    written = [path for path, request in plan.requests.items() if _must_write(path, request)]
    for path in written:
        write_json(path, plan.requests[path].as_json())
    return written


def state_of(request: Request) -> str:
    """'done', 'changed' (results of other code or parameters are there) or 'to do'."""
    try:
        record = read_sidecar(request)
    except InputError:  # not a sidecar at all
        return "changed"
    if record is None:
        return "to do"
    return "done" if record.get("request_sha256") == request_hash(request) else "changed"


def _must_write(path: Path, request: Request) -> bool:
    if not path.is_file() or state_of(request) == "changed":
        return True
    try:
        return read_json(path) != request.as_json()
    except InputError:
        return True


def _described(parameters: Parameters, suite: str, runs: list[Run]) -> list[str]:
    """The datasets that a suite describes: those of its runs, and those that it lists; none without `measures`."""
    if parameters.measures is None:
        return []
    return list(dict.fromkeys([*datasets_of(runs), *parameters.suites[suite].describe]))

"""From the plan to requests: one file a job under `results/plan/`, rewritten only when its content changed.

Snakemake takes them as inputs. A request that is younger than its results, and not what they were made from, re-runs
the job; so does a request that the results' own sidecar does not know.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrepro.config.datasets import RegistryDataset
from seqrepro.config.parameters import Parameters
from seqrepro.config.plan import Registry, Run, datasets_of, plan_suite, registry_entry
from seqrepro.errors import InputError
from seqrepro.files import read_json, write_json
from seqrepro.provenance.fingerprint import fingerprint
from seqrepro.provenance.sidecar import read_sidecar, request_hash
from seqrepro.request import Request

PLAN = Path("results/plan")
PAPERS = Path("registry/papers")
PREPARED = ("interactions.parquet", "sequences.parquet", "items.parquet", "statistics.json")
RUN_FILES = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
PROTOCOL = "leave-one-out, full ranking, history masked, ties pessimistic"
TABLES = ("metrics", "published", "comparisons", "runs")


@dataclass(frozen=True)
class SuitePlan:
    """All that one suite asks for: its runs and its requests, by the file that each stands in."""

    suite: str
    runs: list[Run]
    requests: dict[Path, Request]

    def of(self, step: str) -> dict[Path, Request]:
        """The requests of one step."""
        return {path: request for path, request in self.requests.items() if request.step == step}


def plan_requests(parameters: Parameters, suite: str, registry: Registry) -> SuitePlan:
    """Plan a suite down to its jobs, in topological order."""
    runs = plan_suite(parameters, suite, registry)
    requests: dict[Path, Request] = {}
    for dataset in datasets_of(runs):
        requests |= _dataset_requests(parameters, dataset, registry)
    for run in runs:
        requests |= dict([_train_request(run), *_probe_requests(parameters, run)])
    requests |= dict(_suite_requests(parameters, suite, runs, registry))
    return SuitePlan(suite, runs, requests)


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


def _request(step: str, module: str, folder: str, inputs: list[str], parameters: Any, *uses: str) -> Request:
    return Request(step, module, folder, inputs, parameters, list(uses), fingerprint((module, *uses)))


def _dataset_requests(parameters: Parameters, name: str, registry: Registry) -> dict[Path, Request]:
    dataset, folder = parameters.datasets[name], f"data/prepared/{name}"
    prepare, path = "seqrepro.data.prepare", PLAN / f"prepare/{name}.json"
    if not isinstance(dataset, RegistryDataset):
        made = {"dataset": name, **dataset.canonical()}
        return {path: _request("prepare", prepare, folder, [], made, "seqrepro.data.synthetic")}
    entry = registry_entry(dataset.entry, registry)
    made = {"dataset": name, **entry.preparation(dataset.filter.k_core)}
    reader = f"seqrepro.data.formats.{entry.format}"
    return {
        PLAN / f"retrieve/{dataset.entry}.json": _request(
            "retrieve", "seqrepro.data.retrieve", f"data/raw/{dataset.entry}", [], entry.retrieval()
        ),
        path: _request("prepare", prepare, folder, entry.raw_paths(), made, reader),
    }


def _train_request(run: Run) -> tuple[Path, Request]:
    model, training = run.config["model"], run.config["training"]
    modules = [f"seqrepro.models.{model['family']}"]
    if run.is_trained:
        modules.append(f"seqrepro.training.objectives.{training['objective']['name']}")
        modules.append(f"seqrepro.training.optimizers.{training['optimizer']['name']}")
    folder = f"{run.folder}/seed-{run.seed}"
    wanted = {"dataset": run.dataset, "seed": run.seed, "config": run.config}
    path = PLAN / f"train/{run.dataset}/{run.name}/seed-{run.seed}.json"
    return path, _request("train", "seqrepro.training.train", folder, _prepared(run.dataset), wanted, *modules)


def _probe_requests(parameters: Parameters, run: Run) -> Iterator[tuple[Path, Request]]:
    for name in run.probes:
        probe = parameters.probes[name].canonical()
        module = f"seqrepro.probes.{probe.pop('kind')}"
        folder = f"{run.folder}/seed-{run.seed}"
        inputs = [*_prepared(run.dataset), f"{folder}/model.safetensors", f"{folder}/ranks.parquet"]
        wanted = {"dataset": run.dataset, "seed": run.seed, "config": run.config, **probe}
        model = f"seqrepro.models.{run.config['model']['family']}"
        path = PLAN / f"probe/{name}/{run.dataset}/{run.name}/seed-{run.seed}.json"
        yield path, _request("probe", module, f"{folder}/probes/{name}", inputs, wanted, model)


def _suite_requests(
    parameters: Parameters, suite: str, runs: list[Run], registry: Registry
) -> Iterator[tuple[Path, Request]]:
    settings, results = parameters.suites[suite], f"results/{suite}"
    described = {
        "suite": suite,
        "datasets": {name: _describe(parameters, name, registry) for name in datasets_of(runs)},
        "runs": _grouped(parameters, runs),
    }
    published = sorted(path.as_posix() for path in PAPERS.glob("*/published.csv"))
    ranks = [f"{run.folder}/seed-{run.seed}/{name}" for run in runs for name in ("ranks.parquet", "metrics.json")]
    compared = {**described, "split": "test", "protocol": PROTOCOL, "papers": sorted(_papers(runs))}
    yield (
        PLAN / f"compare/{suite}.json",
        _request("compare", "seqrepro.ledger.compare", f"{results}/tables", [*ranks, *published], compared),
    )
    extra = []
    if settings.refit:
        points = [f"{PAPERS}/performance_law/{name}" for name in ("published_points.csv", "published_r2.csv")]
        fitted = {"suite": suite, "pf1": settings.refit.inverse_p1}
        yield PLAN / f"refit/{suite}.json", _request("refit", "seqrepro.laws.refit", f"{results}/laws", points, fitted)
        extra.append({"title": "Refit of the published points (Performance Law)", "path": f"{results}/laws/r2.csv"})
    shown = {
        **described,
        "title": settings.title,
        "description": settings.description,
        "tables": f"{results}/tables",
        "figures": f"{results}/figures",
        "extra_tables": extra,
    }
    tables = [f"{results}/tables/{name}.parquet" for name in TABLES] + [table["path"] for table in extra]
    yield (
        PLAN / f"report/{suite}.json",
        _request("report", "seqrepro.report.page", f"{results}/report", tables, shown),
    )


def _describe(parameters: Parameters, name: str, registry: Registry) -> dict[str, Any]:
    dataset = parameters.datasets[name]
    if not isinstance(dataset, RegistryDataset):
        return {"title": name, "family": "generated", "variant": "generated", "published_variants": []}
    entry = registry_entry(dataset.entry, registry)
    core = f", {dataset.filter.k_core}-core" if dataset.filter.k_core else ""
    return {
        "title": entry.title,
        "family": entry.family,
        "variant": f"{entry.variant}{core}",
        "published_variants": list(entry.published_variants),
    }


def _grouped(parameters: Parameters, runs: list[Run]) -> list[dict[str, Any]]:
    """One entry a configuration, with all its seeds."""
    groups: dict[str, dict[str, Any]] = {}
    for run in runs:
        need = run.needs[0]
        model = parameters.models[need.model]
        group = groups.setdefault(
            run.folder,
            {
                "dataset": run.dataset,
                "model": need.model,
                "title": model.title,
                "published_as": model.published_as,
                "folder": run.folder,
                "seeds": [],
                "experiment": need.experiment,
                "papers": list(need.papers),
                "probes": list(run.probes),
            },
        )
        group["seeds"].append(run.seed)
    return list(groups.values())


def _papers(runs: list[Run]) -> set[str]:
    return {paper for run in runs for need in run.needs for paper in need.papers}


def _prepared(dataset: str) -> list[str]:
    return [f"data/prepared/{dataset}/{name}" for name in ("sequences.parquet", "statistics.json")]

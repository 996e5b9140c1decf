"""From the plan to requests: one file a job under `results/plan/`, rewritten only when its content changed.

Snakemake takes them as inputs. A request that is younger than its results, and not what they were made from, re-runs
the job; so does a request that the results' own sidecar does not know.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqrepro.config import dataset_plan
from seqrepro.config.claim_plan import LeftOut, needed_runs
from seqrepro.config.dataset_plan import PLAN, Registry
from seqrepro.config.describe_plan import describe_requests, survey_request, survey_tables
from seqrepro.config.parameters import Parameters
from seqrepro.config.plan import Run, awaiting_selection, datasets_of
from seqrepro.config.probes import RESULTS, Exposure
from seqrepro.errors import InputError
from seqrepro.files import canonical_json, read_json, sha256_text, write_json
from seqrepro.ledger.claims import PAPERS, OfPrinted, claim_files, read_claims
from seqrepro.provenance.fingerprint import fingerprint
from seqrepro.provenance.sidecar import read_sidecar, request_hash
from seqrepro.request import Request

CLOSED_FORM = "fp64/fp32"  # has no precision to choose: it is fitted in fp64, and kept and ranked in fp32
RUN_FILES = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
JUDGED = ("dataset", "data_class", "model", "folder", "seeds", "protocol_name", "protocol", "rankings")
PRINTED = ("family", "variant", "published_variants", "comparable", "caveat")  # what decides whether numbers compare
TABLES = ("metrics", "published", "comparisons", "runs", "exposure")


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
    requests |= dict(_candidate_request(run) for run in runs if "candidates" in run.config)
    requests |= dict(map(_train_request, runs))
    for run in runs:
        requests |= dict(_probe_requests(parameters, run, runs))
    requests |= dict(_suite_requests(parameters, suite, runs, described, registry))
    return SuitePlan(suite, runs, requests, left_out)


def next_step(suite: str, runs: list[Run]) -> str:
    """What comes after the trials, in one line; empty if nothing is to be selected."""
    waiting = awaiting_selection(runs)
    if not waiting:
        return ""
    trials = sum(any(need.trial and need.experiment in waiting for need in run.needs) for run in runs)
    return f"{', '.join(waiting)}: {trials} trials first, then `seqrepro select --suite {suite}` chooses what runs next"


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


def _candidate_request(run: Run) -> tuple[Path, Request]:
    folder, wanted = Path(_negatives(run)).parent, {"dataset": run.dataset, "config": _evaluation(run)}
    path = PLAN / f"candidates/{run.dataset}/{folder.name}.json"
    return path, _request("candidates", "seqrepro.data.candidates", folder.as_posix(), _prepared(run), wanted)


def _train_request(run: Run) -> tuple[Path, Request]:
    training, modules = run.config["training"], _model_modules(run)
    if run.is_trained:
        modules.append(f"seqrepro.training.objectives.{training['objective']['name']}")
        modules += _optimizers(training["optimizer"])
    if "pretraining" in training:
        modules.append(f"seqrepro.training.pretraining.{training['pretraining']['name']}")
    folder = f"{run.folder}/seed-{run.seed}"
    wanted = {"dataset": run.dataset, "seed": run.seed, "config": run.config}
    path = PLAN / f"train/{run.dataset}/{run.name}/seed-{run.seed}.json"
    return path, _request("train", "seqrepro.training.train", folder, [*_data(run), *_items(run)], wanted, *modules)


def _model_modules(run: Run) -> list[str]:
    """The module of the model, and that of the law if the model knows it."""
    model = run.config["model"]
    laws = [f"seqrepro.data.synthetic.{model['generator']['kind']}"] if "generator" in model else []
    return [f"seqrepro.models.{model['family']}", *laws]


def _optimizers(parameters: dict[str, Any] | None) -> list[str]:
    """The module of an optimizer, and that of the one that it is built around."""
    if parameters is None:
        return []
    return [f"seqrepro.training.optimizers.{parameters['name']}", *_optimizers(parameters.get("base"))]


def _probe_requests(parameters: Parameters, run: Run, runs: list[Run]) -> Iterator[tuple[Path, Request]]:
    for name in run.probes:
        probe = parameters.probes[name].canonical()
        module = f"seqrepro.probes.{probe.pop('kind')}"
        probe.pop("models", None)  # which models are measured is no part of a measurement
        folder = f"{run.folder}/seed-{run.seed}"
        data, negatives = _data(run)[:2], _data(run)[2:]
        inputs = [*data, f"{folder}/model.safetensors", f"{folder}/ranks.parquet", *negatives]
        if other := _other_run(run, probe.pop("towards", None), runs):
            probe["towards"] = f"{other.folder}/seed-{other.seed}/model.safetensors"
            inputs.append(probe["towards"])
        wanted = {"dataset": run.dataset, "seed": run.seed, "config": run.config, **probe}
        path = PLAN / f"probe/{name}/{run.dataset}/{run.name}/seed-{run.seed}.json"
        yield path, _request("probe", module, f"{folder}/probes/{name}", inputs, wanted, *_model_modules(run))


def _other_run(run: Run, model: str | None, runs: list[Run]) -> Run | None:
    """The run of a model that differs from a run in nothing but model and training; None if it is a run of it itself.

    Raises:
        InputError: the suite has no such run.
    """
    if model is None or model in (need.model for need in run.needs):
        return None
    for other in runs:
        same = (other.dataset, other.seed, _evaluation(other)) == (run.dataset, run.seed, _evaluation(run))
        if same and model in (need.model for need in other.needs if need.trial is None):
            return other
    raise InputError(f"probes: towards '{model}': no run of it on {run.dataset} with seed {run.seed}; expected one")


def _suite_requests(
    parameters: Parameters, suite: str, planned: list[Run], surveyed: list[str], registry: Registry
) -> Iterator[tuple[Path, Request]]:
    settings, results, runs = parameters.suites[suite], f"results/{suite}", [run for run in planned if run.final]
    names = {
        name: dataset_plan.description(name, parameters.datasets[name], registry)
        for name in dict.fromkeys([*datasets_of(runs), *surveyed])
    }
    described: dict[str, Any] = {
        "suite": suite,
        "datasets": {name: names[name] for name in datasets_of(runs)},
        "runs": _grouped(parameters, runs, names),
    }
    published = sorted(path.as_posix() for path in PAPERS.glob("*/published.csv"))
    ranks = [f"{run.folder}/seed-{run.seed}/{name}" for run in runs for name in ("ranks.parquet", "metrics.json")]
    exposed = dict(found for run in runs for found in _exposed(parameters, run))
    compared = {**described, "split": "test", "papers": sorted(_papers(runs)), "exposure": exposed}
    yield (
        PLAN / f"compare/{suite}.json",
        _request("compare", "seqrepro.ledger.compare", f"{results}/tables", [*ranks, *exposed, *published], compared),
    )
    extra = []
    if surveyed:
        yield survey_request(suite, {name: names[name] for name in surveyed}, published)
        extra += survey_tables(suite)
    if settings.refit:
        points = [f"{PAPERS}/performance_law/{name}" for name in ("published_points.csv", "published_r2.csv")]
        fitted = {"suite": suite, "pf1": settings.refit.inverse_p1}
        yield PLAN / f"refit/{suite}.json", _request("refit", "seqrepro.laws.refit", f"{results}/laws", points, fitted)
        extra.append({"title": "Refit of the published points (Performance Law)", "path": f"{results}/laws/r2.csv"})
    claims = sorted(path.as_posix() for path in claim_files(settings.claims))
    refits = [f"{results}/laws/r2.csv"] if settings.refit else []
    evidence = [*ranks, *(path for run in runs for path in _measured(parameters, run)), *refits, *published, *claims]
    judged = _judged(parameters, suite, runs, described["runs"], registry)
    yield (
        PLAN / f"judge/{suite}.json",
        _request("judge", "seqrepro.ledger.judge", f"{results}/verdicts", evidence, judged),
    )
    shown = {
        **described,
        "title": settings.title,
        "description": " ".join(text for text in (settings.description, _waiting(suite, planned)) if text),
        "tables": f"{results}/tables",
        "figures": f"{results}/figures",
        "verdicts": f"{results}/verdicts/verdicts.json",
        "extra_tables": extra,
        "papers": [_registered(Path(path)) for path in claims],
        "names": _names(parameters, runs),
    }
    tables = [f"{results}/tables/{name}.parquet" for name in TABLES] + [table["path"] for table in extra]
    registered = [path for paper in shown["papers"] for key, path in paper.items() if key != "name"]
    inputs = [*tables, shown["verdicts"], *registered]
    yield PLAN / f"report/{suite}.json", _request("report", "seqrepro.report.site", f"{results}/report", inputs, shown)


def _registered(claims: Path) -> dict[str, str]:
    """A paper's name, its claims, and what stands beside them; a single file of claims is named by itself."""
    name = claims.parent.name if claims.name == "claims.yaml" else claims.stem
    beside = {"published": claims.with_name("published.csv"), "deviations": claims.with_name("deviations.md")}
    return {"name": name, "claims": claims.as_posix()} | {
        key: path.as_posix() for key, path in beside.items() if path.is_file()
    }


def _names(parameters: Parameters, runs: list[Run]) -> dict[str, list[list[str]]]:
    """The names of each configuration: (model, protocol) of every experiment that needs it."""
    names: dict[str, list[list[str]]] = {run.folder: [] for run in runs}
    for run in runs:
        needs = [need for need in run.needs if need.trial is None]
        told = [[need.model, parameters.experiments[need.experiment].protocol] for need in needs]
        names[run.folder] += [name for name in told if name not in names[run.folder]]
    return names


def _grouped(parameters: Parameters, runs: list[Run], datasets: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry a configuration, with all its seeds."""
    groups: dict[str, dict[str, Any]] = {}
    for run in runs:
        need = run.final or run.needs[0]
        model = parameters.models[need.model]
        group = groups.setdefault(
            run.folder,
            {
                "dataset": run.dataset,
                "data_class": datasets[run.dataset]["class"],
                "model": need.model,
                "title": model.title,
                "published_as": model.published_as,
                "folder": run.folder,
                "seeds": [],
                "experiment": need.experiment,
                "papers": list(need.papers),
                "probes": list(run.probes),
                "protocol_name": parameters.experiments[need.experiment].protocol,
                "protocol": run.protocol.text(),
                "rankings": run.protocol.rankings(),
                "precision": run.config["training"].get("precision", CLOSED_FORM),
            },
        )
        group["seeds"].append(run.seed)
    return list(groups.values())


def _judged(
    parameters: Parameters, suite: str, runs: list[Run], entries: list[dict[str, Any]], registry: Registry
) -> dict[str, Any]:
    """What the judge must know beside its inputs: names of runs, and what decides whether a printed number compares."""
    names = _names(parameters, runs)
    claims = [claim for path in claim_files(parameters.suites[suite].claims) for claim in read_claims(path).claims]
    printed = [part for claim in claims for part in claim.parts if isinstance(part, OfPrinted)]
    datasets = dict.fromkeys(name for part in printed for name in part.datasets if name in parameters.datasets)
    protocols = dict.fromkeys(claim.protocol for claim in claims if claim.protocol in parameters.protocols)
    described = {name: dataset_plan.description(name, parameters.datasets[name], registry) for name in datasets}
    return {
        "suite": suite,
        "runs": [{key: entry[key] for key in JUDGED} | {"names": names[entry["folder"]]} for entry in entries],
        "probes": {name: RESULTS[parameters.probes[name].kind] for run in runs for name in run.probes},
        "datasets": {name: {key: told[key] for key in PRINTED} for name, told in described.items()},
        "rankings": {name: parameters.protocols[name].rankings() for name in protocols},
    }


def _measured(parameters: Parameters, run: Run) -> Iterator[str]:
    """What the probes of a run write for other steps to read."""
    for name in run.probes:
        yield f"{run.folder}/seed-{run.seed}/probes/{name}/{RESULTS[parameters.probes[name].kind]}"


def _exposed(parameters: Parameters, run: Run) -> Iterator[tuple[str, list[int]]]:
    """What the exposure probes of a run write, and at which cutoffs."""
    for name in run.probes:
        if isinstance(probe := parameters.probes[name], Exposure):
            yield f"{run.folder}/seed-{run.seed}/probes/{name}/{RESULTS[probe.kind]}", probe.cutoffs


def _described(parameters: Parameters, suite: str, runs: list[Run]) -> list[str]:
    """The datasets that a suite describes: those of its runs, and those that it lists; none without `measures`."""
    if parameters.measures is None:
        return []
    return list(dict.fromkeys([*datasets_of(runs), *parameters.suites[suite].describe]))


def _waiting(suite: str, runs: list[Run]) -> str:
    line = next_step(suite, runs)
    return f"Not selected yet: {line}." if line else ""


def _papers(runs: list[Run]) -> set[str]:
    return {paper for run in runs for need in run.needs for paper in need.papers}


def _data(run: Run) -> list[str]:
    """What a training reads, and every probe of it: the data, its statistics and, if there are any, the negatives."""
    return [*_prepared(run), *([_negatives(run)] if "candidates" in run.config else [])]


def _items(run: Run) -> list[str]:
    """The items with their attributes, where a recipe learns from them."""
    return [f"data/prepared/{run.dataset}/items.parquet"] if "pretraining" in run.config["training"] else []


def _prepared(run: Run) -> list[str]:
    return [f"data/prepared/{run.dataset}/{name}" for name in (run.protocol.source, "statistics.json")]


def _negatives(run: Run) -> str:
    """One file for all runs with the same dataset, split and candidates."""
    return f"data/candidates/{run.dataset}/{sha256_text(canonical_json(_evaluation(run)))[:8]}/negatives.parquet"


def _evaluation(run: Run) -> dict[str, Any]:
    """The part of a configuration that says what is held out and ranked."""
    return {key: value for key, value in run.config.items() if key not in ("model", "training")}

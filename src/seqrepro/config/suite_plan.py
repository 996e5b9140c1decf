"""The jobs of a whole suite, that read its runs: tables, refits, verdicts and the report."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from seqrepro.config import dataset_plan
from seqrepro.config.dataset_plan import PLAN, Registry
from seqrepro.config.describe_plan import survey_request, survey_tables
from seqrepro.config.law_plan import OWN_TABLES, law_entries, law_files, law_tables
from seqrepro.config.parameters import Parameters, Refit, Suite
from seqrepro.config.plan import Run, awaiting_selection, datasets_of
from seqrepro.config.probes import RESULTS, Cost, Exposure
from seqrepro.config.run_plan import other_run, request_for
from seqrepro.config.selection import read_selections, selection_path
from seqrepro.config.variant_plan import varied_entries, varied_files
from seqrepro.files import Json
from seqrepro.ledger.claims import PAPERS, claim_files, published_files, read_claims
from seqrepro.ledger.parts import OfPrinted
from seqrepro.request import Request

CLOSED_FORM = "fp64/fp32"  # has no precision to choose: it is fitted in fp64, and kept and ranked in fp32
JUDGED = ("dataset", "data_class", "model", "folder", "seeds", "protocol_name", "protocol", "rankings")
PRINTED = ("family", "variant", "published_variants", "comparable", "caveat")  # what decides whether numbers compare
LAWS: dict[str, str | None] = {  # the tables of a refit, and what the report calls those that it shows
    "r2": "Refit of the published points (Performance Law)",
    "forms": None,
    "coefficients": "Coefficients of the law, in the sign of the equation",
    "fitted": None,
    "optima": "The optimum of each panel, with its bootstrap interval",
    "constrained": "The optimum under a constraint",
    "data_factor": "Measures of data: the printed data parameter, and one law for several amounts of our own data",
    "duplication": "Approximate entropy against the share of repeated items",
    "printed": "Printed numbers beside refitted ones",
}
DRAWN = ("coefficients", "fitted", "optima", "forms")  # tables of a refit of which the report has figures
TABLES = (
    *("metrics", "published", "comparisons", "runs", "exposure", "variations", "cost", "compute", "parameters"),
    "searches",
)


@dataclass(frozen=True)
class _Suite:
    """What the jobs of a suite are made from."""

    parameters: Parameters
    name: str
    planned: list[Run]  # trials of searches and variants too
    surveyed: list[str]
    registry: Registry

    def requests(self) -> Iterator[tuple[Path, Request]]:
        yield self.compare()
        if self.surveyed:
            yield survey_request(self.name, self.described(self.surveyed), self.published)
        if self.settings.refit:
            yield self.refit(self.settings.refit)
        yield self.judge()
        yield self.report()

    @cached_property
    def settings(self) -> Suite:
        return self.parameters.suites[self.name]

    @cached_property
    def runs(self) -> list[Run]:
        return [run for run in self.planned if run.final]

    @cached_property
    def shown(self) -> dict[str, Any]:
        """The suite, its datasets and its runs, as tables and report have them."""
        datasets = self.described(datasets_of(self.runs))
        return {"suite": self.name, "datasets": datasets, "runs": _grouped(self.parameters, self.runs, datasets)}

    @cached_property
    def ranks(self) -> list[str]:
        folders = [f"{run.folder}/seed-{run.seed}" for run in self.runs]
        return [f"{folder}/{name}" for folder in folders for name in ("ranks.parquet", "metrics.json")]

    @cached_property
    def published(self) -> list[str]:
        return [path.as_posix() for path in published_files()]

    @cached_property
    def claims(self) -> list[str]:
        return sorted(path.as_posix() for path in claim_files(self.settings.claims))

    @cached_property
    def costs(self) -> dict[str, Json]:
        """Every file of a cost probe, and what its run is compared with."""
        return dict(found for run in self.runs for found in _costs(self.parameters, run, self.planned))

    @cached_property
    def laws(self) -> list[str]:
        return [self.file(f"laws/{name}.csv") for name in LAWS] if self.settings.refit else []

    @cached_property
    def own_points(self) -> list[dict[str, Any]]:
        """Our own runs that the refit reads."""
        return law_entries(self.parameters, self.planned, self.described(datasets_of(self.planned)))

    @cached_property
    def own_laws(self) -> list[str]:
        """The tables of our own points, if the suite has any."""
        return [self.file(f"laws/{name}.csv") for name in OWN_TABLES] if self.own_points else []

    @cached_property
    def public(self) -> list[str]:
        """The surveyed datasets that others published."""
        told = self.described(self.surveyed)
        return [name for name in told if told[name]["class"] not in ("generated", "user")]

    @cached_property
    def varied(self) -> list[dict[str, Any]]:
        """What experiments vary, as the tables of variations read it."""
        return varied_entries(self.parameters, self.planned, self.described(datasets_of(self.planned)))

    @cached_property
    def searched(self) -> list[dict[str, Any]]:
        """What was selected from, a model and dataset at a time; nothing of what waits for its selection."""
        trials = [(run.dataset, need) for run in self.planned for need in run.needs if need.trial]
        places = dict.fromkeys((need.experiment, dataset, need.model) for dataset, need in trials)
        named = {name: selection_path(name).as_posix() for name in read_selections(one for one, *_ in places)}
        return [
            {
                "dataset": dataset,
                "protocol_name": self.parameters.experiments[experiment].protocol,
                "experiment": experiment,
                "model": model,
                "title": self.parameters.models[model].title,
                "selection": named[experiment],
            }
            for experiment, dataset, model in places
            if experiment in named
        ]

    @cached_property
    def judged_tables(self) -> list[str]:
        """Tables of `compare` that claims may name, where they have rows."""
        names = ("robustness", "correlations", "variations") if self.varied else ()
        return [self.file(f"tables/{name}.csv") for name in names]

    def file(self, name: str) -> str:
        return f"results/{self.name}/{name}"

    def described(self, names: list[str]) -> dict[str, Any]:
        return {name: dataset_plan.description(name, self.parameters.datasets[name], self.registry) for name in names}

    def job(self, step: str, module: str, folder: str, inputs: list[str], wanted: Any) -> tuple[Path, Request]:
        return PLAN / f"{step}/{self.name}.json", request_for(step, module, self.file(folder), inputs, wanted)

    def compare(self) -> tuple[Path, Request]:
        exposed = dict(found for run in self.runs for found in _exposed(self.parameters, run))
        told = {"papers": sorted(_papers(self.runs)), "exposure": exposed, "varied": self.varied, "cost": self.costs}
        wanted = {**self.shown, "split": "test", **told, "searched": self.searched}
        selections = [one["selection"] for one in self.searched]
        trained = [told[key] for told in self.costs.values() for key in ("trained", "reference")]
        priced = [*self.costs, *(f"{folder}/history.parquet" for folder in trained)]
        inputs = [*self.ranks, *exposed, *varied_files(self.varied), *priced, *self.published, *selections]
        inputs = list(dict.fromkeys(inputs))
        return self.job("compare", "seqrepro.ledger.compare", "tables", inputs, wanted)

    def refit(self, refit: Refit) -> tuple[Path, Request]:
        names = ("published_points", "published_r2", "published")
        inputs = [f"{PAPERS}/performance_law/{name}.csv" for name in names]
        inputs += [f"results/datasets/{name}/statistics.json" for name in self.public]
        inputs += law_files(self.own_points)
        wanted = {"suite": self.name, "pf1": refit.inverse_p1, "draws": refit.draws, "seed": refit.seed}
        wanted["own"] = self.own_points
        return self.job("refit", "seqrepro.laws.refit", "laws", inputs, wanted)

    def judge(self) -> tuple[Path, Request]:
        measured = [path for run in self.runs for path in _measured(self.parameters, run)]
        tables = [*self.laws, *self.own_laws, *self.judged_tables]
        inputs = [*self.ranks, *measured, *tables, *self.published, *self.claims]
        wanted = _judged(self.parameters, self.name, self.runs, self.shown["runs"], self.registry)
        return self.job("judge", "seqrepro.ledger.judge", "verdicts", inputs, wanted)

    def report(self) -> tuple[Path, Request]:
        extra: list[Json] = [
            *(survey_tables(self.name) if self.surveyed else []),
            *({"title": title, "path": path} for path in self.laws if (title := LAWS[Path(path).stem])),
            *law_tables(self.own_laws),
        ]
        papers = [_registered(Path(path)) for path in self.claims]
        waiting = _waiting(self.name, self.planned)
        wanted = {
            **self.shown,
            "title": self.settings.title,
            "description": " ".join(text for text in (self.settings.description, waiting) if text),
            "tables": self.file("tables"),
            "figures": self.file("figures"),
            "verdicts": self.file("verdicts/verdicts.json"),
            "extra_tables": extra,
            "laws": self.file("laws") if self.laws else None,
            "papers": papers,
            "names": _names(self.parameters, self.runs),
            "probes": {name: self.parameters.probes[name].kind for run in self.runs for name in run.probes},
        }
        tables = [self.file(f"tables/{name}.parquet") for name in TABLES] + [table["path"] for table in extra]
        registered = [path for paper in papers for key, path in paper.items() if key != "name"]
        drawn = [self.file(f"laws/{name}.parquet") for name in DRAWN] if self.laws else []
        inputs = [*tables, *drawn, wanted["verdicts"], *registered]
        return self.job("report", "seqrepro.report.site", "report", inputs, wanted)


def suite_requests(
    parameters: Parameters, suite: str, planned: list[Run], surveyed: list[str], registry: Registry
) -> Iterator[tuple[Path, Request]]:
    """The jobs of a suite, in topological order, by the files that their requests stand in.

    Args:
        parameters: the parameters.
        suite: a name under `suites`.
        planned: its runs, trials of searches too.
        surveyed: the datasets that its tables describe.
        registry: of datasets.
    """
    return _Suite(parameters, suite, planned, surveyed, registry).requests()


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
        needs = [need for need in run.needs if need.is_plain]
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
                "item_table": item_table(run.config["model"]),
            },
        )
        group["seeds"].append(run.seed)
    return list(groups.values())


def item_table(model: dict[str, Any]) -> Json | None:
    """The width of a network's table of items, and its rows beyond those of the items: padding, and a mask if any."""
    if "width" not in model:
        return None
    has_mask = model["family"] == "bert4rec" or model.get("frame") == "bidirectional" or model.get("mask_row", False)
    return {"width": model["width"], "more_rows": 1 + has_mask}


def _judged(
    parameters: Parameters, suite: str, runs: list[Run], entries: list[dict[str, Any]], registry: Registry
) -> dict[str, Any]:
    """What the judge must know beside its inputs: names of runs, and what decides whether a printed number compares."""
    names = _names(parameters, runs)
    claims = [one for path in claim_files(parameters.suites[suite].claims) for one in read_claims(path).statements]
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
    return (_probed(parameters, run, name) for name in run.probes)


def _exposed(parameters: Parameters, run: Run) -> Iterator[tuple[str, list[int]]]:
    """What the exposure probes of a run write, and at which cutoffs."""
    for name in run.probes:
        if isinstance(probe := parameters.probes[name], Exposure):
            yield _probed(parameters, run, name), probe.cutoffs


def _costs(parameters: Parameters, run: Run, runs: list[Run]) -> Iterator[tuple[str, Json]]:
    """What the cost probes of a run write: the run, the other model, its run of the same seed, and what that monitors.

    Equal steps and equal compute are read off at that metric, which is one for all models beside the same other one.
    """
    for name in run.probes:
        if isinstance(probe := parameters.probes[name], Cost):
            other = other_run(run, "against", probe.against, runs) or run
            yield (
                _probed(parameters, run, name),
                {
                    "trained": f"{run.folder}/seed-{run.seed}",
                    "against": probe.against,
                    "reference": f"{other.folder}/seed-{other.seed}",
                    "metric": other.config["training"]["budget"]["monitor"],
                },
            )


def _probed(parameters: Parameters, run: Run, name: str) -> str:
    return f"{run.folder}/seed-{run.seed}/probes/{name}/{RESULTS[parameters.probes[name].kind]}"


def _waiting(suite: str, runs: list[Run]) -> str:
    line = next_step(suite, runs)
    return f"Not selected yet: {line}." if line else ""


def _papers(runs: list[Run]) -> set[str]:
    return {paper for run in runs for need in run.needs for paper in need.papers}


def next_step(suite: str, runs: list[Run]) -> str:
    """What comes after the trials, in one line; empty if nothing is to be selected."""
    waiting = awaiting_selection(runs)
    if not waiting:
        return ""
    trials = sum(any(need.trial and need.experiment in waiting for need in run.needs) for run in runs)
    return f"{', '.join(waiting)}: {trials} trials first, then `seqrepro select --suite {suite}` chooses what runs next"

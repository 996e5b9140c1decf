"""What the Snakefile asks of the plan: target files, and the resources of a job."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrepro.config.dataset_plan import PREPARED
from seqrepro.config.law_plan import OWN_TABLES
from seqrepro.config.load import load_parameters
from seqrepro.config.parameters import Parameters
from seqrepro.config.probes import RESULTS
from seqrepro.config.requests import SuitePlan, plan_requests, write_requests
from seqrepro.config.selection import selection_path
from seqrepro.config.suite_plan import LAWS
from seqrepro.data.registry import load_registry
from seqrepro.data.source_kinds import MIRROR_VARIABLE
from seqrepro.errors import SeqReproError
from seqrepro.provenance.manifest import manifest_path
from seqrepro.provenance.sidecar import path_of
from seqrepro.request import Request

OF_RUNS = ("/model.safetensors", "/metrics.json")  # what probes read of other runs


@dataclass(frozen=True)
class Workflow:
    """A suite's plan in the words of rules."""

    parameters: Parameters
    plan: SuitePlan

    @property
    def suite(self) -> str:
        """The suite's name."""
        return self.plan.suite

    @property
    def report(self) -> str:
        """The front page of the report."""
        return f"results/{self.suite}/report/index.html"

    @property
    def checked(self) -> list[str]:
        """What the check of its controls leaves, if the suite has any."""
        has_controls = "controls" in self.parameters.suites[self.suite].claims
        return [f"results/{self.suite}/controls.txt"] if has_controls else []

    @property
    def receipt(self) -> str:
        """What tracking leaves."""
        return f"results/{self.suite}/tracking.json"

    @property
    def audit(self) -> str:
        """What the audit leaves."""
        return f"results/{self.suite}/audit.csv"

    @property
    def manifest(self) -> str:
        """Where the suite's sidecars are listed."""
        return manifest_path(self.suite, self.parameters.suites[self.suite].versioned).as_posix()

    @property
    def selected(self) -> list[str]:
        """The selections that the suite's final runs come from."""
        named = self.parameters.suites[self.suite].experiments
        paths = [selection_path(name) for name in named if self.parameters.experiments[name].search]
        return [path.as_posix() for path in paths if path.is_file()]

    @property
    def extras(self) -> list[Path]:
        """Files of a finished suite that no sidecar lists."""
        return [Path(name) for name in (self.manifest, self.audit, self.receipt, *self.checked)]

    @property
    def sidecars(self) -> list[str]:
        """The sidecars of all jobs of the suite."""
        return sorted({path_of(request).as_posix() for request in self.plan.requests.values()})

    def prepared(self, wildcards: Any) -> list[str]:
        """Files of a prepared dataset."""
        return [f"data/prepared/{wildcards.dataset}/{name}" for name in PREPARED]

    def raw(self, wildcards: Any) -> list[str]:
        """The checksum file of a dataset's downloads; empty for a generated dataset."""
        inputs = self.request("prepare", f"{wildcards.dataset}.json").inputs
        return sorted({f"{Path(name).parent}/SHA256SUMS" for name in inputs})

    def compared(self) -> list[str]:
        """What the tables are made from: accuracy files of all runs, and published numbers."""
        return self.request("compare", f"{self.suite}.json").inputs

    def judged(self) -> list[str]:
        """What the verdicts are made from: files of all runs and probes, refitted laws, published numbers, claims."""
        return self.request("judge", f"{self.suite}.json").inputs

    def probe_files(self) -> list[str]:
        """The results of all probes of the suite."""
        requests = self.plan.of("probe").values()
        return [f"{request.folder}/{RESULTS[request.module.rsplit('.', 1)[1]]}" for request in requests]

    def probes(self, *kinds: str) -> str:
        """A pattern of the names of all probes of some kinds."""
        names = [re.escape(name) for name, probe in self.parameters.probes.items() if probe.kind in kinds]
        return "|".join(names) or "(?!)"

    def other_weights(self, wildcards: Any) -> list[str]:
        """What a probe reads of the other run that it looks at, if it does: weights, or more."""
        name = f"{wildcards.probe}/{wildcards.dataset}/{wildcards.run}/seed-{wildcards.seed}.json"
        _, _, weights, *others = self.request("probe", name).inputs  # data, statistics and the run's own weights
        own = Path(weights).parent
        return [path for path in others if Path(path).parent != own and path.endswith(OF_RUNS)]

    def surveys(self) -> list[str]:
        """The sidecar of the survey of datasets, if there is one."""
        return [path_of(request).as_posix() for request in self.plan.of("survey").values()]

    def surveyed(self) -> list[str]:
        """What the tables of datasets are made from."""
        return [name for request in self.plan.of("survey").values() for name in request.inputs]

    def refitted(self) -> list[str]:
        """What the laws are fitted to beside the published points: descriptions of real data, our own runs."""
        return [
            name for request in self.plan.of("refit").values() for name in request.inputs if name.startswith("results/")
        ]

    def refits(self) -> list[str]:
        """The refitted laws, if the suite asks for them."""
        return [f"{request.folder}/{name}.csv" for request in self.plan.of("refit").values() for name in LAWS]

    @property
    def own_tables(self) -> list[str]:
        """The names of the tables of our own points."""
        return list(OWN_TABLES)

    def pages(self) -> list[str]:
        """The names of the report's other pages: one a paper, the results and the runs."""
        return [*(paper["name"] for paper in self._report().parameters["papers"]), "results", "runs"]

    def registered(self) -> list[str]:
        """What the report shows of the registry: claims, published numbers and deviations of all papers."""
        return [name for name in self._report().inputs if name.startswith("registry/")]

    def candidate_data(self, wildcards: Any) -> str:
        """The interactions or sequences that negatives are drawn from."""
        return self.request("candidates", f"{wildcards.dataset}/{wildcards.drawn}.json").inputs[0]

    def measured_data(self, wildcards: Any) -> str:
        """The interactions or sequences that a measured training set is drawn from."""
        return self.request("measure", f"{wildcards.dataset}/{wildcards.seen}.json").inputs[0]

    def train_data(self, wildcards: Any) -> str:
        """The interactions or sequences that a run is trained on."""
        return self._training(wildcards).inputs[0]

    def negatives(self, wildcards: Any) -> list[str]:
        """The saved negatives of a run, if its protocol has any, and the items, if its recipe learns from them."""
        return self._training(wildcards).inputs[2:]

    def train_resources(self, wildcards: Any) -> dict[str, Any]:
        """Threads, and GPUs where the recipe asks for one."""
        training = self._training(wildcards).parameters["config"]["training"]
        return {"threads": training["threads"], "gpu": int(training.get("device") == "cuda")}

    def _report(self) -> Request:
        return self.request("report", f"{self.suite}.json")

    def _training(self, wildcards: Any) -> Request:
        return self.request("train", f"{wildcards.dataset}/{wildcards.run}/seed-{wildcards.seed}.json")

    def request(self, step: str, name: str) -> Request:
        """One request of the plan. Raises InputError if the plan has no such job."""
        return self.plan.requests[Path("results/plan") / step / name]


def announce_mirror(parameters: Parameters) -> None:
    """Hand the mirror on to the jobs. It is a fact about this machine, so no request and no sidecar holds it."""
    if parameters.mirror:
        os.environ.setdefault(MIRROR_VARIABLE, parameters.mirror)


def load_workflow(config: dict[str, Any]) -> Workflow:
    """Read params.yaml under Snakemake's `--config`, and bring the requests up to date.

    A fault in the parameters ends the program with its one line: Snakemake would print a traceback.
    """
    try:
        parameters = load_parameters(overrides=config)
        announce_mirror(parameters)
        plan = plan_requests(parameters, parameters.suite, load_registry())
        write_requests(plan)
        if plan.next_step:
            print(plan.next_step, file=sys.stderr)
    except SeqReproError as error:
        raise SystemExit(f"{error}") from None
    return Workflow(parameters, plan)

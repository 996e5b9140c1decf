"""Fixtures that several test files share: a small repository to plan in, and a finished suite made by hand."""

import shutil
from collections.abc import Callable
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

from seqrepro.config.dataset_plan import PREPARED
from seqrepro.config.load import load_parameters
from seqrepro.config.requests import RUN_FILES, SuitePlan, plan_requests, write_requests
from seqrepro.config.suite_plan import TABLES
from seqrepro.data.registry import load_registry
from seqrepro.files import write_text
from seqrepro.provenance.manifest import ROOT as MANIFEST
from seqrepro.provenance.manifest import write_manifest
from seqrepro.provenance.sidecar import write_sidecar
from seqrepro.request import Request

ROOT = Path(__file__).parents[1]

PARAMETERS = """\
suite: small
mirror: null

datasets:
  toy:
    source: generated
    generator: {kind: markov, users: 40, items: 20, mean_length: 8, concentration: 0.1, seed: 7}
  movies:
    source: registry
    entry: ml-100k
    filter: {k_core: 5}

protocols:
  leave-one-out: {split: leave_one_out}

training:
  closed-form: {kind: closed_form}
  gradient:
    kind: gradient
    objective: {name: cross_entropy}
    optimizer: {name: adam, learning_rate: 1e-3}
    budget: {epochs: 2, patience: 2, batch_size: 16}

models:
  popularity:
    title: Popularity
    architecture: {family: popularity}
    training: closed-form
  ease:
    title: EASE
    architecture: {family: ease, regularisation: 10}
    training: closed-form
  sasrec:
    title: SASRec
    architecture:
      family: sasrec
      width: 8
      layers: 1
      heads: 2
      inner_width: 16
      dropout: 0.1
      max_length: 10
    training: gradient

probes:
  robustness:
    kind: robustness
    perturbations:
      - {kind: drop_last, count: 1}
      - {kind: insert_random, ratio: 0.2}

experiments:
  baselines:
    purpose: the bar
    papers: [samrec]
    protocol: leave-one-out
    models: [popularity, ease, sasrec]
    probes: [robustness]
    shows: [accuracy]
  attention:
    purpose: another question
    papers: [hydrarec]
    protocol: leave-one-out
    models: [sasrec, ease]
    shows: [accuracy]

suites:
  small:
    title: Small
    description: for tests
    versioned: true
    experiments:
      baselines: {datasets: [toy], seeds: [1, 2]}
  both:
    title: Both
    description: two experiments that share runs
    experiments:
      baselines: {datasets: [toy], seeds: [1, 2]}
      attention: {datasets: [toy], seeds: [2, 3]}
  public:
    title: Public
    description: a dataset that is downloaded
    experiments:
      baselines: {datasets: [movies], seeds: [1]}
"""

OUTPUTS = {
    "retrieve": ["SHA256SUMS", "u.data", "u.item"],
    "prepare": [*PREPARED],
    "measure": ["measures.json"],
    "train": [*RUN_FILES],
    "probe": ["robustness.parquet"],
    "compare": [f"{name}.parquet" for name in TABLES],
    "judge": ["verdicts.json"],
    "report": ["index.html"],
}

settings.register_profile("patient", deadline=None)  # time is measured in benchmarks, not in tests
settings.load_profile("patient")


def set_up(folder: Path) -> None:
    """Put small parameters into a folder, and this repository's registry and lock."""
    (folder / "params.yaml").write_text(PARAMETERS)
    for name in ("registry", "requirements.lock", "environment.yml"):
        (folder / name).symlink_to(ROOT / name)


def carry_out(request: Request, content: str = "") -> None:
    """Pretend to carry out a request: write output files whose content depends on it, and the sidecar."""
    outputs = [request.output / name for name in OUTPUTS[request.step]]
    for path in outputs:
        write_text(path, f"{path}\n{content}")
    write_sidecar(request, outputs, datetime.now(UTC))


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A folder that looks like this repository, with small parameters; it is the working directory."""
    set_up(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def change(repository) -> Callable[[str, str], None]:
    """Replace one text by another in params.yaml."""

    def replace(old: str, new: str) -> None:
        text = Path("params.yaml").read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in params.yaml"
        Path("params.yaml").write_text(text.replace(old, new))

    return replace


@pytest.fixture
def make_plan(repository) -> Callable[..., SuitePlan]:
    """The plan of a suite of params.yaml as it stands."""
    return lambda suite="small": plan_requests(load_parameters(), suite, load_registry())


@pytest.fixture
def finish(repository) -> Callable[..., None]:
    """Pretend to carry out a request: write output files whose content depends on it, and the sidecar."""
    return carry_out


@pytest.fixture(scope="session")
def by_hand() -> tuple[Callable[[Path], None], Callable[..., None]]:
    """What makes a folder look like this repository, and what pretends to carry out a request."""
    return set_up, carry_out


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> tuple[Path, SuitePlan]:
    """The suite `small`, all jobs done, in a folder that is copied for each test."""
    folder = tmp_path_factory.mktemp("template")
    set_up(folder)
    with chdir(folder):
        plan = plan_requests(load_parameters(), "small", load_registry())
        write_requests(plan)
        for request in plan.requests.values():
            carry_out(request)
        write_manifest(plan, MANIFEST)
    return folder, plan


@pytest.fixture
def finished(repository, template) -> SuitePlan:
    """The suite `small`, all jobs done, listed in results/MANIFEST.json."""
    folder, plan = template
    for name in ("data", "results"):
        shutil.copytree(folder / name, repository / name)
    return plan

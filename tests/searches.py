"""A suite with a search, for the tests of trials and selections: parameters, and finished trials with made-up ranks."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from seqrepro.config.plan import Run
from seqrepro.config.requests import SuitePlan
from seqrepro.evaluation.ranks import SCHEMA
from seqrepro.files import write_parquet, write_text
from seqrepro.provenance.sidecar import write_sidecar

SEARCH = """\
searches:
  tries:
    trials: 4
    seed: 9
    sampling: {kind: random, seed: 5}
    spaces:
      ease:
        architecture.position_decay: [0.5, 0.8, 1]
        architecture.regularisation: {log_uniform: [1, 1000]}
      sasrec:
        architecture.dropout: [0, 0.2, 0.4]
        training.optimizer.learning_rate: {log_uniform: [1e-4, 1e-2]}

experiments:
  tuned:
    purpose: after a search
    papers: [samrec]
    protocol: leave-one-out
    models: [ease, sasrec]
    probes: [robustness]
    search: tries
    shows: [accuracy]
"""
SUITES = """\
suites:
  tuning:
    title: Tuning
    description: a search
    versioned: true
    experiments:
      tuned: {datasets: [toy], seeds: [1, 2]}
"""
USERS = 10


def add_search(folder: Path, registry: Path) -> None:
    """Let params.yaml have a search, and give the folder a registry of its own."""
    path = folder / "params.yaml"
    text = path.read_text().replace("experiments:\n", SEARCH, 1).replace("suites:\n", SUITES, 1)
    path.write_text(text)
    (folder / "registry").unlink()
    (folder / "registry/selected").mkdir(parents=True)
    for name in ("datasets.yaml", "papers"):
        (folder / "registry" / name).symlink_to(registry / name)


def rank_file(path: Path, validation: list[int], test: list[int]) -> None:
    """Ranks of both splits; the first user's targets stand in the history."""
    rows = [
        {
            **{"split": split, "user": user, "position": 3, "target_in_history": user == 1, "nll": None},
            **{name: 21 if user == 1 else rank for name in SCHEMA.names if name.startswith("rank_")},
        }
        for split, ranks in (("validation", validation), ("test", test))
        for user, rank in enumerate(ranks, start=1)
    ]
    write_parquet(path, pa.Table.from_pylist(rows, schema=SCHEMA))


def finish_training(plan: SuitePlan, run: Run, rank: int, test: int = 1) -> None:
    """Results of a training in which every validation target has one rank, and every test target another."""
    request = next(r for r in plan.of("train").values() if r.folder == f"{run.folder}/seed-{run.seed}")
    rank_file(request.output / "ranks.parquet", [rank] * USERS, [test] * USERS)
    others = [request.output / name for name in ("model.safetensors", "history.parquet", "metrics.json")]
    for path in others:
        write_text(path, f"{path} {rank}")
    write_sidecar(request, [*others, request.output / "ranks.parquet"], datetime.now(UTC))

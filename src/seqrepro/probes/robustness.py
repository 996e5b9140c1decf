"""Robustness: how much the test metrics of a trained model change when the histories that it sees are perturbed.

The perturbations are those of `data/disturbances.py`, each with its own seeded generator. The target is never inserted.
The candidates stay those of the run: the items of the true history are excluded, inserted ones are not.

Shapes: U users, K inserted items.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from seqrepro.data.disturbances import disturb
from seqrepro.data.sequences import Sequences
from seqrepro.evaluation.metrics import NAMES, all_means
from seqrepro.evaluation.ranking import Scorer, rank_all
from seqrepro.evaluation.ranks import rank_table, ranks_of
from seqrepro.files import write_parquet
from seqrepro.models.interfaces import restore
from seqrepro.request import Request
from seqrepro.training import machine
from seqrepro.training.inputs import read_split
from seqrepro.training.randomness import generator_for

Parameters = dict[str, Any]
UNPERTURBED = "none"
SCHEMA = pa.schema(
    [("perturbation", pa.string()), ("metric", pa.string()), ("value", pa.float64()), ("relative_change", pa.float64())]
)


def run(request: Request) -> list[Path]:
    """Rank the perturbed test histories of a run.

    Parameters of the request: dataset, seed, config (of the run), perturbations. Inputs: sequences.parquet,
    statistics.json, model.safetensors, ranks.parquet. Writes `robustness.parquet`: metrics (masked, pessimistic) with
    their change relative to the unperturbed run, null where that is 0; and, unless `keep_ranks` is false,
    `ranks-<perturbation>.parquet` for each perturbation.

    Raises:
        InputError: an unknown perturbation.
    """
    config = request.parameters["config"]
    machine.prepare(config["training"] | {"device": "cpu"})
    split = read_split(request)
    histories, targets, negatives = split.evaluation("test")
    model = restore(config, histories.n_items, Path(request.inputs[2]))
    likelihood = config["training"]["kind"] == "gradient"
    tables = {}
    for perturbation in request.parameters["perturbations"]:
        generator = generator_for(request.parameters["seed"], f"robustness:{label(perturbation)}")
        shown = perturb(histories, targets, perturbation, generator)
        tables[label(perturbation)] = _ranks(model, shown, histories, (targets, negatives), likelihood)
    kept = tables if request.parameters.get("keep_ranks", True) else {}
    paths = [request.output / f"ranks-{name}.parquet" for name in kept]
    for path, table in zip(paths, kept.values(), strict=True):
        write_parquet(path, table)
    summary = _summary({UNPERTURBED: _test_ranks(Path(request.inputs[3]))} | tables, histories.n_items)
    paths.append(request.output / "robustness.parquet")
    write_parquet(paths[-1], summary)
    return paths


def label(perturbation: Parameters) -> str:
    """A name for files and tables: the kind and its strength, such as 'drop_last-1'."""
    return "-".join(str(value) for value in (perturbation["kind"], *_strength(perturbation)))


def perturb(histories: Sequences, targets: Tensor, perturbation: Parameters, generator: torch.Generator) -> Sequences:
    """The histories as the perturbation leaves them. `targets` [U] are never inserted.

    Raises:
        InputError: an unknown kind, or a missing or impossible strength.
    """
    return disturb(histories, perturbation, generator, partial(_other_item, targets, histories.n_items))


def _other_item(targets: Tensor, n_items: int, owners: Tensor, generator: torch.Generator) -> Tensor:
    """A random item [K] that is not the target of each owner [K]."""
    drawn = torch.randint(1, n_items, owners.shape, generator=generator)
    return drawn + (drawn >= targets[owners])


def _strength(perturbation: Parameters) -> list[Any]:
    return [value for name, value in sorted(perturbation.items()) if name != "kind"]


def _ranks(
    model: Scorer, shown: Sequences, histories: Sequences, ranked: tuple[Tensor, Tensor | None], likelihood: bool
) -> pa.Table:
    ranks = rank_all(model, shown, *ranked, likelihood=likelihood, masked=histories)
    return rank_table("test", histories, ranks)


def _test_ranks(path: Path) -> pa.Table:
    table = pq.read_table(path)
    return table.filter(pc.equal(table["split"], "test"))


def _summary(tables: dict[str, pa.Table], n_items: int) -> pa.Table:
    values = {name: all_means(ranks_of(table), n_items) for name, table in tables.items()}
    reference = values[UNPERTURBED]
    rows = [
        (name, metric, means[metric], means[metric] / reference[metric] - 1 if reference[metric] else None)
        for name, means in values.items()
        for metric in NAMES
    ]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)],
        schema=SCHEMA,
    )

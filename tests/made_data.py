"""Small made-up sequences, and requests to train on them."""

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.data.splits import Split
from seqrepro.files import write_json, write_parquet
from seqrepro.request import Request

torch.set_num_threads(1)  # several threads only slow such small data down

Rows = list[list[int]]
SASREC: dict[str, Any] = {
    "family": "sasrec",
    "width": 8,
    "layers": 2,
    "heads": 2,
    "inner_width": 16,
    "dropout": 0.2,
    "attention_dropout": 0.2,
    "max_length": 10,
}
GRADIENT: dict[str, Any] = {
    "kind": "gradient",
    "objective": {"name": "cross_entropy"},
    "optimizer": {"name": "adam", "learning_rate": 5e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    "budget": {"epochs": 3, "patience": 3, "batch_size": 16, "monitor": "ndcg@10"},
    "view": "all_positions",
    "precision": "fp32",
    "threads": 1,
}
SHARP_OWN: dict[str, dict[str, Any]] = {  # what each sharpness-aware optimizer has besides those of all
    "sam": {"rho": 0.05},
    "asam": {"rho": 0.5, "eta": 0.01},
    "gsam": {"rho": 0.05, "alpha": 0.4},
    "looksam": {"rho": 0.05, "alpha": 0.7, "period": 4},
    "random_sam": {"rho": 0.05},
}
CLOSED_FORM: dict[str, Any] = {"kind": "closed_form", "fit_on": "train", "threads": 1}


def sharp(name: str, **changes: Any) -> dict[str, Any]:
    """The parameters of a sharpness-aware optimizer around Adam, in full."""
    shared = {"name": name, "base": GRADIENT["optimizer"], "masks": "same", "decay": "base", "parts": "all"}
    return shared | SHARP_OWN[name] | changes


def sequences_of(rows: Rows, n_items: int) -> Sequences:
    """Sequences of users 1, 2, ... without timestamps."""
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    values = torch.tensor([item for row in rows for item in row], dtype=torch.int64)
    return Sequences(torch.arange(1, len(rows) + 1), values, offsets_of(lengths), None, n_items)


def split_of(train: Sequences) -> Split:
    """A split that trains on the rows and holds nothing out."""
    return Split(train, train, train, {}, {})


def rows_of(sequences: Sequences) -> Rows:
    """The items of each row as lists."""
    borders = sequences.offsets.tolist()
    return [sequences.values[a:b].tolist() for a, b in pairwise(borders)]


def random_rows(n_users: int, n_items: int, seed: int = 0, longest: int = 14) -> Rows:
    """Rows of 3 to `longest` items; the next item is often the successor of the last one."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda low, high: int(torch.randint(low, high, (), generator=generator))  # noqa: E731
    rows = []
    for _ in range(n_users):
        row = [draw(1, n_items + 1)]
        for _ in range(draw(2, longest)):
            row.append(row[-1] % n_items + 1 if draw(0, 10) < 7 else draw(1, n_items + 1))
        rows.append(row)
    return rows


def write_prepared(folder: Path, rows: Rows, n_items: int, timestamps: Rows | None = None) -> list[str]:
    """Write sequences.parquet and statistics.json and return their paths."""
    stamps = timestamps if timestamps is not None else pa.nulls(len(rows))
    table = pa.table(
        {
            "user": pa.array(range(1, len(rows) + 1), pa.int64()),
            "items": pa.array(rows, pa.list_(pa.int32())),
            "timestamps": pa.array(stamps, pa.list_(pa.int64())),
        }
    )
    write_parquet(folder / "sequences.parquet", table)
    write_json(
        folder / "statistics.json",
        {"n_users": len(rows), "n_items": n_items, "n_interactions": sum(map(len, rows))},
    )
    return [str(folder / "sequences.parquet"), str(folder / "statistics.json")]


def train_request(
    inputs: list[str],
    model: dict[str, Any],
    training: dict[str, Any],
    folder: str = "results/runs/toy/model-00000000/seed-3",
) -> Request:
    """A request to train with seed 3."""
    config = {"dataset": {"content": "toy"}, "split": "leave_one_out", "model": model, "training": training}
    parameters = {"dataset": "toy", "seed": 3, "config": copy.deepcopy(config)}
    return Request("train", "seqrepro.training.train", folder, inputs, parameters, [], "fingerprint")


def probe_request(kind: str, run: Request, folder: Path, against: Request | None = None, **settings: Any) -> Request:
    """A request to probe what a training made, beside what another one made if there is one."""
    inputs = [*run.inputs, f"{run.folder}/model.safetensors", f"{run.folder}/ranks.parquet"]
    parameters = {**run.parameters, **settings}
    if against:
        weights = f"{against.folder}/model.safetensors"
        inputs.append(weights)
        parameters["against"] = {"config": against.parameters["config"], "weights": weights}
    return Request("probe", f"seqrepro.probes.{kind}", str(folder), inputs, parameters, [], "code")

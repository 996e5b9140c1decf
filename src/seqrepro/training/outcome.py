"""What a training hands over, and the run folder that is written from it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from safetensors.torch import save
from torch import Tensor

from seqrepro.data.splits import SPLITS, Split
from seqrepro.evaluation.metrics import NAMES, all_means
from seqrepro.evaluation.ranking import Ranks, Scorer, rank_all
from seqrepro.evaluation.ranks import rank_table, summarise
from seqrepro.files import atomic, write_json, write_parquet, write_text
from seqrepro.training.progress import Line, as_json_line

HISTORY_SCHEMA = pa.schema(
    [
        ("epoch", pa.int32()),
        ("train_loss", pa.float64()),
        *((f"validation_{name}", pa.float64()) for name in NAMES),
        ("is_best", pa.bool_()),
    ]
)


PARTS = (
    "pretraining",
    "batch",
    "step",
    "forward_backward",
    "validation",
    "checkpoint",
)  # a step has its forward_backward


@dataclass(frozen=True)
class Work:
    """What a training by gradients did, and the seconds that its parts took; lost work of a killed one is not in it."""

    targets: int  # predicted in training steps
    steps: int
    passes: int  # forward and backward through the network; some optimizers need several a step
    seconds: dict[str, float]  # by PARTS

    def as_json(self) -> dict[str, Any]:
        """Targets per second of the training steps, and the seconds of each part."""
        seconds = dict(self.seconds)
        step = seconds.pop("step")
        training = seconds["batch"] + step
        if not seconds["pretraining"]:
            del seconds["pretraining"]
        seconds["optimizer"] = step - seconds["forward_backward"]
        return {
            "targets": self.targets,
            "steps": self.steps,
            "passes": self.passes,
            "targets_per_second": round(self.targets / training, 1) if training else None,
            "seconds_by_part": {part: round(value, 6) for part, value in seconds.items()},
        }


@dataclass(frozen=True)
class Outcome:
    """A trained model with its ranks."""

    weights: dict[str, Tensor]  # what `model.safetensors` holds
    n_parameters: int  # number of trained values
    ranks: dict[str, pa.Table]  # rank table of each split
    log: list[Line]  # one line an epoch: epoch, train_loss, validation metrics, seconds, what the optimizer measured
    best_epoch: int
    stopped: str  # patience, budget or closed_form
    ranking_seconds: float
    work: Work | None = None  # of a training by gradients
    pretraining: list[float] = field(default_factory=list)  # mean loss of each epoch of a first stage


def rank_split(model: Scorer, split: Split, name: str, *, likelihood: bool) -> pa.Table:
    """The rank table of one evaluation split."""
    return rank_table(name, split.histories[name], rank_all(model, *split.evaluation(name), likelihood=likelihood))


def watched(validation: Ranks, budget: dict[str, Any] | None = None) -> Tensor:
    """The validation ranks [U] that a log tells of: pessimistic, and masked unless the budget says otherwise."""
    unmasked = budget is not None and budget.get("masking") == "unmasked"
    return validation.unmasked_worst if unmasked else validation.masked_worst


def epoch_line(epoch: int, train_loss: float | None, ranks: Tensor, n_items: int, seconds: float) -> Line:
    """The log line of an epoch, with the metrics of the validation ranks [U]."""
    metrics = all_means(ranks, n_items)
    named = {f"validation_{name}": value for name, value in metrics.items()}
    return {"epoch": epoch, "train_loss": train_loss, **named, "seconds": round(seconds, 3)}


def write_log(folder: Path, lines: list[Line]) -> Path:
    """Write `log.jsonl`, whole, with one line an epoch."""
    path = folder / "log.jsonl"
    write_text(path, "".join(map(as_json_line, lines)))
    return path


def write_run(folder: Path, outcome: Outcome, n_items: int, machine: dict[str, Any]) -> list[Path]:
    """Write the run folder and return the files; `machine` says what was computed with: device, threads, memory."""
    paths = [folder / name for name in ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")]
    with atomic(paths[0]) as partial:
        partial.write_bytes(save({name: tensor.cpu().contiguous() for name, tensor in outcome.weights.items()}))
    write_parquet(paths[1], _history(outcome))
    write_parquet(paths[2], pa.concat_tables(outcome.ranks[name] for name in SPLITS))
    write_json(paths[3], _metrics(outcome, n_items))
    timing = folder / "timing.json"
    write_json(timing, _timing(outcome) | machine)
    return [*paths, timing, write_log(folder, outcome.log)]


def _history(outcome: Outcome) -> pa.Table:
    rows = [line | {"is_best": line["epoch"] == outcome.best_epoch} for line in outcome.log]
    measured = [name for name in outcome.log[0] if name not in (*HISTORY_SCHEMA.names, "seconds")]
    return pa.Table.from_pylist(rows, pa.schema([*HISTORY_SCHEMA, *((name, pa.float64()) for name in measured)]))


def _metrics(outcome: Outcome, n_items: int) -> dict[str, Any]:
    work = outcome.work
    in_history = {name: sum(table["target_in_history"].to_pylist()) for name, table in outcome.ranks.items()}
    return {
        "n_users": len(outcome.ranks["test"]),
        "n_items": n_items,
        "parameters": outcome.n_parameters,
        "targets_in_history": in_history,
        "best_epoch": outcome.best_epoch,
        "epochs": outcome.log[-1]["epoch"],
        "stopped": outcome.stopped,
        **({"passes": work.passes} if work and work.passes > work.steps else {}),
        **({"pretraining_losses": outcome.pretraining} if outcome.pretraining else {}),
        "metrics": {name: summarise(table, n_items) for name, table in outcome.ranks.items()},
    }


def _timing(outcome: Outcome) -> dict[str, Any]:
    seconds = [line["seconds"] for line in outcome.log]
    before = outcome.work.seconds["pretraining"] if outcome.work else 0.0
    return {
        "seconds_total": round(before + sum(seconds) + outcome.ranking_seconds, 3),
        "seconds_per_epoch": seconds,
        "seconds_ranking": round(outcome.ranking_seconds, 3),
        **(outcome.work.as_json() if outcome.work else {}),
    }

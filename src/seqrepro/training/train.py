"""The training step: one run, from prepared sequences to a run folder."""

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from seqrepro.data.splits import Split
from seqrepro.errors import InputError
from seqrepro.files import canonical_json, sha256_file, sha256_text
from seqrepro.request import Request
from seqrepro.training import machine
from seqrepro.training.checkpoint import CheckpointStore, Identity, remove_unfinished
from seqrepro.training.closed_form import fit_closed_form
from seqrepro.training.loop import fit_gradient
from seqrepro.training.memory import one_line_when_exhausted
from seqrepro.training.outcome import Outcome, write_log, write_run
from seqrepro.training.progress import Line, display
from seqrepro.training.rows import read_seen


def run(request: Request) -> list[Path]:
    """Train or fit one model, rank validation and test over the full catalogue, write the run folder.

    Parameters of the request: dataset, seed, config. Inputs: sequences.parquet, statistics.json.

    Raises:
        InputError: a parameter or a file that cannot be used, or too little memory for the recipe.
        CheckFailed: a loss or a score is not a number.
    """
    config, seed = request.parameters["config"], request.parameters["seed"]
    remove_unfinished(request.output)
    split = read_seen(request)
    device = machine.prepare(config["training"])
    store = CheckpointStore(checkpoint_folder(request.output), _identity(request))
    try:
        with one_line_when_exhausted(config, split.train.n_items, device):
            outcome = _outcome(request.output, config, split, seed, device, store)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("model", *first["loc"])))
        raise InputError(f"{place}: {first['msg']}, found {first['input']!r}") from None
    used = machine.used(config["training"], device)
    paths = write_run(request.output, outcome, split.train.n_items, used)
    store.remove()
    return paths


def checkpoint_folder(folder: Path) -> Path:
    """Where a run keeps its checkpoints: .../runs/<run> -> .../checkpoints/<run>, elsewhere <folder>/checkpoints."""
    parts = list(folder.parts)
    if "runs" not in parts:
        return folder / "checkpoints"
    parts[parts.index("runs")] = "checkpoints"
    return Path(*parts)


def _identity(request: Request) -> Identity:
    parameters = {"config": request.parameters["config"], "seed": request.parameters["seed"]}
    return Identity(
        config=sha256_text(canonical_json(parameters)), data=sha256_file(Path(request.inputs[0])), code=request.code
    )


def _outcome(
    folder: Path, config: dict[str, Any], split: Split, seed: int, device: torch.device, store: CheckpointStore
) -> Outcome:
    if config["training"]["kind"] == "closed_form":
        return fit_closed_form(config, split)
    with display(config["training"]["budget"]["epochs"]) as show:

        def on_epoch(lines: list[Line]) -> None:
            write_log(folder, lines)
            show(lines[-1])

        return fit_gradient(config, split, seed, device, store, on_epoch)

"""Checkpoints: what a killed training needs to go on as if nothing had happened.

A folder holds the two newest checkpoints, each with its sha256 beside it, so that a damaged file is noticed and the
one before is used; if both are damaged, the training starts anew. A checkpoint belongs to one configuration, one data
file and one version of the code. It holds tensors, numbers and strings only, never code.
"""

import logging
import pickle
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from seqrepro.files import atomic, sha256_file, write_text

KEPT = 2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """What a checkpoint must agree on with the run that wants to use it."""

    config: str  # sha256 of the canonical configuration and the seed
    data: str  # sha256 of sequences.parquet
    code: str  # fingerprint of the source


class CheckpointStore:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        self.identity = identity

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after `step` optimizer steps, and drop all but the two newest."""
        path = self.folder / f"step-{step:09d}.pt"
        with atomic(path) as partial:
            torch.save({"identity": asdict(self.identity), "state": state}, partial)
            digest = sha256_file(partial)
        write_text(_digest_path(path), digest + "\n")
        for old in self._newest_first()[KEPT:]:
            _delete(old)

    def load(self) -> dict[str, Any] | None:
        """The newest state that is whole and belongs to this run, or None. What is refused is deleted, in one line."""
        remove_unfinished(self.folder)
        refused: list[str] = []
        state, then = None, "the training starts anew"
        for path in self._newest_first():
            content = _read(path)
            if content is not None and content["identity"] == asdict(self.identity):
                state, then = content["state"], f"{path.name} is used"
                break
            refused.append(f"{path.name} is {self._difference(content)}")
            _delete(path)
        if refused:
            log.warning("%s: checkpoint %s; %s", self.folder, ", ".join(refused), then)
        return state

    def remove(self) -> None:
        """Delete all checkpoints of the run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"), reverse=True)

    def _difference(self, content: dict[str, Any] | None) -> str:
        if content is None:
            return "damaged"
        mine, other = asdict(self.identity), content["identity"]
        return "of another " + " and ".join(key for key in mine if other.get(key) != mine[key])


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed process was in the middle of writing into a folder."""
    for partial in folder.glob(".*.partial"):
        partial.unlink()


def _digest_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _delete(path: Path) -> None:
    _digest_path(path).unlink(missing_ok=True)  # first: killed in between, what is left is not taken for a whole one
    path.unlink()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        whole = sha256_file(path).encode() == _digest_path(path).read_bytes().strip()
        return torch.load(path, map_location="cpu", weights_only=True) if whole else None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return None

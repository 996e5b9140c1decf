"""The data of a run: what its training, and every probe of it, reads in the same way."""

from pathlib import Path

from seqrepro.data.sequences import Sequences, read_sequences
from seqrepro.data.splits import Split, leave_one_out
from seqrepro.errors import InputError
from seqrepro.files import read_json
from seqrepro.request import Request

SPLITTERS = {"leave_one_out": leave_one_out}


def read_split(request: Request) -> Split:
    """The split that the request's configuration names, of its sequences."""
    name = request.parameters["config"]["split"]
    if name not in SPLITTERS:
        raise InputError(f"split: found '{name}', expected one of {', '.join(SPLITTERS)}")
    return SPLITTERS[name](_sequences(request))


def _sequences(request: Request) -> Sequences:
    sequences, statistics = map(Path, request.inputs[:2])
    n_items = read_json(statistics).get("n_items")
    if not isinstance(n_items, int) or n_items < 1:
        raise InputError(f"{statistics}: n_items is {n_items!r}; expected a positive whole number")
    return read_sequences(sequences, n_items)
